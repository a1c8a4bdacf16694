"""The run as one self-contained HTML page: charts, the state diagram, the figures. No script, no outside request."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

__all__ = ["Day", "StationYear", "page"]

WIDTH, HEIGHT, LEFT, BOTTOM, TOP = 940, 220, 44, 24, 12
STATE_COLOURS = {
    "calm": "var(--calm)",
    "warming": "var(--warm)",
    "declared": "var(--hot)",
    "severe": "var(--severe)",
}


@dataclass(frozen=True, slots=True)
class Day:
    """What the run found for one station and day; temperatures in degrees Celsius."""

    day: datetime
    low: float
    mean: float
    high: float
    anomaly: float | None
    state: str


@dataclass(frozen=True, slots=True)
class StationYear:
    """A station's year, oldest day first."""

    name: str
    days: tuple[Day, ...]

    @property
    def waves(self) -> int:
        """How often a heat wave began."""
        hot = [day.state in ("declared", "severe") for day in self.days]
        return sum(now and not before for before, now in zip([False, *hot], hot, strict=False))


def page(title: str, facts: Sequence[tuple[str, str]], years: Sequence[StationYear], diagram: str) -> str:
    """Return the whole page. ``diagram`` is an SVG element; ``facts`` are label and value of the tiles on top."""
    tiles = "".join(f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in facts)
    stations = "".join(
        f"<section><h2>{escape(year.name)} <small>heat waves: {year.waves}</small></h2>"
        f"{_temperatures(year)}{_anomalies(year)}</section>"
        for year in years
    )
    return f"""<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title><style>{STYLE}</style>
<main><h1>{escape(title)}</h1><dl>{tiles}</dl>{stations}
<section><h2>The heat-wave machine</h2><div class="diagram">{diagram}</div></section></main></html>
"""


class _Axes:
    """Maps days and values onto a chart's pixels."""

    def __init__(self, count: int, low: float, high: float, height: int) -> None:
        self._count, self._low, self._high, self._height = count, low, high, height

    def x(self, index: float) -> float:
        return round(LEFT + index / max(1, self._count - 1) * (WIDTH - LEFT - 8), 1)

    def y(self, value: float) -> float:
        share = (value - self._low) / (self._high - self._low)
        return round(self._height - BOTTOM - share * (self._height - BOTTOM - TOP), 1)

    def frame(self, days: Sequence[Day], unit: str, step: float) -> str:
        """Horizontal lines with their values, and the months."""
        parts = []
        value = -(-self._low // step) * step
        while value <= self._high:
            y = self.y(value)
            parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - 8}" y1="{y}" y2="{y}"/>')
            parts.append(f'<text x="{LEFT - 6}" y="{y + 4}" text-anchor="end">{value:g}{unit}</text>')
            value += step
        for index, day in enumerate(days):
            if day.day.day == 1:
                parts.append(f'<text x="{self.x(index)}" y="{self._height - 6}">{day.day:%b}</text>')
        return "".join(parts)


def _temperatures(year: StationYear) -> str:
    days = year.days
    low, high = min(day.low for day in days), max(day.high for day in days)
    axes = _Axes(len(days), low - 1, high + 1, HEIGHT)
    above = [f"{axes.x(i)},{axes.y(day.high)}" for i, day in enumerate(days)]
    below = [f"{axes.x(i)},{axes.y(day.low)}" for i, day in enumerate(days)]
    mean = " ".join(f"{axes.x(i)},{axes.y(day.mean)}" for i, day in enumerate(days))
    width = axes.x(1) - axes.x(0) + 0.2
    strip = "".join(
        f'<rect x="{axes.x(i)}" y="0" width="{width:.1f}" height="8" fill="{STATE_COLOURS.get(day.state, "none")}">'
        f"<title>{day.day:%d %b}: {escape(day.state)}</title></rect>"
        for i, day in enumerate(days)
    )
    label = "Daily low, mean and high in degrees Celsius; the state of the machine along the top edge"
    return (
        f'<figure><svg role="img" aria-label="{label}" viewBox="0 0 {WIDTH} {HEIGHT}">'
        f'{axes.frame(days, "°", 5)}<polygon class="band" points="{" ".join([*above, *reversed(below)])}"/>'
        f'<polyline class="mean" points="{mean}"/>{strip}</svg><figcaption>{label}: '
        '<i class="calm"></i> calm <i class="warm"></i> warming <i class="hot"></i> heat wave '
        '<i class="severe"></i> severe</figcaption></figure>'
    )


def _anomalies(year: StationYear) -> str:
    values = [day.anomaly or 0.0 for day in year.days]
    bound = max(1.0, *(abs(value) for value in values))
    height = 130
    axes = _Axes(len(values), -bound, bound, height)
    zero = axes.y(0)
    bars = "".join(
        f'<line class="{"up" if value > 0 else "down"}" x1="{axes.x(i)}" x2="{axes.x(i)}"'
        f' y1="{zero}" y2="{axes.y(value)}"/>'
        for i, value in enumerate(values)
        if value
    )
    label = "Anomaly: standard deviations of the day's mean from the 14 days before"
    return (
        f'<figure><svg role="img" aria-label="{label}" viewBox="0 0 {WIDTH} {height}">'
        f"{axes.frame(year.days, '', 2)}{bars}</svg><figcaption>{label}</figcaption></figure>"
    )


STYLE = """
:root{color-scheme:light dark;--ink:#1c2733;--soft:#5d6b7a;--paper:#fff;--line:#e3e8ee;--band:#cfe0f3;--mean:#1f6fb2;
--calm:#dfe6ed;--warm:#f3c26b;--hot:#e2703a;--severe:#a8201a;--up:#d1495b;--down:#3a7ca5}
@media(prefers-color-scheme:dark){:root{--ink:#e6ebf1;--soft:#9fb0c0;--paper:#12181f;--line:#28323d;--band:#24405c;
--mean:#7cb8ee;--calm:#2b3640}
}
body{margin:0;background:var(--paper);color:var(--ink);font:15px/1.5 system-ui,sans-serif}
main{max-width:980px;margin:0 auto;padding:24px 20px 48px}
h1{font-size:24px;margin:0 0 16px}
h2{font-size:17px;margin:32px 0 4px}
h2 small{color:var(--soft);font-weight:400}
dl{display:grid;grid-template-columns:repeat(auto-fit,minmax(150px,1fr));gap:10px;margin:0}
dl div{border:1px solid var(--line);border-radius:8px;padding:10px 12px}
dt{color:var(--soft);font-size:12px}
dd{margin:0;font-size:18px;font-weight:600;overflow-wrap:anywhere}
figure{margin:8px 0;overflow-x:auto}
svg{width:100%;min-width:620px;height:auto;display:block}
svg text{fill:var(--soft);font-size:11px}
.grid{stroke:var(--line)}
.band{fill:var(--band)}
.mean{fill:none;stroke:var(--mean);stroke-width:1.6}
.up{stroke:var(--up);stroke-width:1.8}
.down{stroke:var(--down);stroke-width:1.8}
figcaption{color:var(--soft);font-size:12px}
i{display:inline-block;width:10px;height:10px;border-radius:2px;margin-left:8px}
i.calm{background:var(--calm)}
i.warm{background:var(--warm)}
i.hot{background:var(--hot)}
i.severe{background:var(--severe)}
.diagram{overflow-x:auto}
.diagram svg{width:auto;min-width:0;max-width:100%;border-radius:8px}
"""
