"""Draw what ``run.py --json FILE`` wrote: ``plots.py FILE FOLDER`` makes SVG files and a table."""

from __future__ import annotations

import json
import math
import sys
from html import escape
from pathlib import Path
from typing import Any, NamedTuple

WIDTH, HEIGHT, LEFT, TOP, RIGHT, BOTTOM = 640, 300, 64, 34, 150, 46
INK, GRID, COLOURS = "#24292f", "#d0d7de", ("#0969da", "#bc4c00", "#1a7f37")


class Line(NamedTuple):
    """A named line through points."""

    name: str
    points: list[tuple[float, float]]


def _nice(top: float) -> float:
    """The next 1, 2 or 5 times a power of ten."""
    power = 10 ** math.floor(math.log10(top))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= top)


def plot(title: str, x_name: str, y_name: str, lines: list[Line], *, logarithmic: bool) -> str:
    """One chart; the y axis begins at zero."""
    xs = [x for line in lines for x, _ in line.points]
    top = _nice(max(y for line in lines for _, y in line.points) * 1.05)
    scale = math.log10 if logarithmic else float
    low, high = scale(min(xs)), scale(max(xs))
    wide, tall = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM

    def at(x: float, y: float) -> tuple[float, float]:
        return LEFT + (scale(x) - low) / (high - low) * wide, TOP + (1 - y / top) * tall

    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" font-size="12" '
        f'font-family="sans-serif" fill="{INK}"><title>{escape(title)}</title>'
    )
    parts = [
        head,
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        f'<text x="{LEFT}" y="20"><tspan font-weight="bold">{escape(title)}</tspan> ({escape(y_name)})</text>',
    ]
    for step in range(5):
        value = top * step / 4
        y = at(min(xs), value)[1]
        parts.append(f'<path d="M{LEFT} {y:.1f}H{LEFT + wide}" stroke="{GRID}"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{value:g}</text>')
    marks = sorted(set(xs)) if logarithmic else [min(xs) + (max(xs) - min(xs)) * n / 4 for n in range(5)]
    for x in marks:
        place = at(x, 0)
        text = f"{x:,.0f}"
        parts.append(f'<text x="{place[0]:.1f}" y="{place[1] + 18:.1f}" text-anchor="middle">{text}</text>')
    parts.append(f'<text x="{LEFT + wide / 2}" y="{HEIGHT - 8}" text-anchor="middle">{escape(x_name)}</text>')
    for line, colour in zip(lines, COLOURS, strict=False):
        places = [at(x, y) for x, y in line.points]
        path = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in places)
        parts.append(f'<path d="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        if len(places) < 20:
            parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in places]
        x, y = places[-1]
        parts.append(f'<text x="{x + 8:.1f}" y="{y + 4:.1f}" fill="{colour}">{escape(line.name)}</text>')
    return "\n".join([*parts, "</svg>", ""])


def rows(table: dict[str, Any]) -> str:
    """The systems side by side, as a table of Markdown."""
    lines = ["| system | windows/s | p50 of one window | durable |", "|---|---|---|---|"]
    for name, found in table.items():
        if "not_run" in found:
            lines.append(
                f"| {name} | not run: {found['not_run'].strip().splitlines()[-1][:80]} | | {found['durable']} |"
            )
        elif "windows_per_s" in found:
            rate, middle = found["windows_per_s"], found["p50_ms"]
            lines.append(f"| {name} | {rate:,.0f} | {middle:.1f} ms | {found['durable']} |")
    return "\n".join(lines)


def main(source: Path, folder: Path) -> None:
    """Write the charts, print the table."""
    table = json.loads(source.read_text("utf-8"))
    print(rows(table))
    sizes = table["sizes"]["sizes"]

    def grown(name: str) -> list[tuple[float, float]]:
        return [(one["windows"], one[name]) for one in sizes]

    about = "windows stored"
    charts = {
        "cost": plot(
            "CPU of one window", about, "µs", [Line("local mode", grown("window_cpu_us"))], logarithmic=True
        ),
        "look-back": plot(
            "Look-back of 100 rows", about, "ms", [Line("p50", grown("look_back_100_ms"))], logarithmic=True
        ),
        "memory": plot(
            "Memory of the process", about, "MB", [Line("resident", grown("resident_mb"))], logarithmic=True
        ),
    }
    samples = table["backlog"]["samples"]
    charts["backlog"] = plot(
        f"A backlog of {table['backlog']['windows']:,} windows, accepted and drained",
        "seconds",
        "MB; windows / 1,000",
        [
            Line("memory, MB", [(one["at_s"], one["resident_mb"]) for one in samples]),
            Line("open, thousands", [(one["at_s"], one["open"] / 1000) for one in samples]),
        ],
        logarithmic=False,
    )
    for name, text in charts.items():
        (folder / f"orchestrator-{name}.svg").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
