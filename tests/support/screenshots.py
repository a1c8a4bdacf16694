"""Pictures of every page: a year of weather, failures and a queue, 10,000 windows and 500 algorithms, nothing at all.

    python tests/support/screenshots.py [--out reports/screenshots] [--docs docs/howto]

Light and dark, wide and 400 pixels. With ``--docs`` the best ones replace those of the documentation.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from chromium import browser
from dashboard_cores import ATTACK, Core, busy, day, demo, huge
from orca.processor import OrcaClient

WIDE = {"width": 1280, "height": 860}
LOOKS: dict[str, dict[str, Any]] = {
    "light": {"viewport": WIDE, "color_scheme": "light"},
    "dark": {"viewport": WIDE, "color_scheme": "dark"},
    "narrow": {"viewport": {"width": 400, "height": 800}, "color_scheme": "light"},
}
COMMON = {
    "home": "/",
    "windows": "/windows",
    "runs": "/runs",
    "dag": "/dag",
    "results": "/results",
    "failures": "/failures",
    "queue": "/queue",
    "processors": "/processors",
    "freshness": "/freshness",
    "machines": "/machines",
    "tasks": "/tasks",
}
WEATHER = {
    **COMMON,
    "run": "/runs/1",
    "algorithm": "/algorithms/DailyStatistics/1.0.0",
    "results": "/results?algorithm=DailyStatistics+1.0.0&field=mean",
    "spring": "/results?algorithm=DailyStatistics+1.0.0&field=high&from=2010-03-01&to=2010-04-01",
    "month": "/windows?from=2010-07-01&to=2010-08-01",
    "machine": "/machines/seattle",
}
FAILING = {
    **{name: COMMON[name] for name in ("home", "windows", "runs", "dag", "failures", "queue", "processors")},
    "run-failed": "/runs/20",
    "run-open": "/runs/21",
    "fault": "/runs/999",
}
HUGE = {
    **{name: COMMON[name] for name in ("home", "windows", "dag", "queue", "processors")},
    "run": "/runs/1",
}
# The documentation's pictures: which one, and under what name.
CHOSEN = {
    "weather-month-light": "windows",
    "failing-run-failed-light": "run",
    "failing-failures-light": "failures",
    "weather-results-dark": "results-dark",
    "weather-dag-light": "dag",
    "weather-machine-light": "machine",
}


Plan = tuple[str, Any, dict[str, str], list[str]]
"""Name, what brings the core up (None for an empty one), pages, looks."""


@contextmanager
def failing(folder: Path) -> Iterator[Core]:
    """The failing core with three windows that wait for a file."""
    gate = folder / "gate"
    with busy(folder) as core, OrcaClient(core.address) as client:
        client.emit_many([day(number, bad=True, note=ATTACK) for number in range(40, 43)])
        for answer in client.emit_many([day(number, gate=str(gate)) for number in range(60, 63)]):
            if not answer.duplicate:
                for run in client.watch(answer, timeout_s=60):
                    if any(one.status == "running" for one in run.executions):
                        break
        try:
            yield core
        finally:
            gate.touch()


def take(chromium: Any, core: Core, plan: Plan, out: Path) -> None:
    """Enter once, then walk through the pages."""
    kind, _, pages, looks = plan
    context = chromium.new_context()
    context.new_page().goto(core.link())
    known = context.storage_state()
    context.close()
    for look in looks:
        page = chromium.new_context(storage_state=known, **LOOKS[look]).new_page()
        for name, path in pages.items():
            page.goto(core.base + path)
            page.locator("#link[data-state=live]").wait_for()
            for chart in page.locator("[data-chart]").all():
                chart.locator("canvas, .loading:not(:text('Loading'))").first.wait_for()
            page.screenshot(path=out / f"{kind}-{name}-{look}.png", full_page=name == "machine")
        page.context.close()
        print(f"{kind}: {len(pages)} pages {look}", flush=True)


def report(chromium: Any, path: Path, out: Path) -> None:
    """The page that the weather station writes."""
    for name, look in LOOKS.items():
        page = chromium.new_context(**look).new_page()
        page.goto(path.as_uri())
        page.screenshot(path=out / f"report-{name}.png", full_page=True)
        page.context.close()


def main() -> None:
    """Bring every kind of core up, photograph it, and end it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("reports") / "screenshots")
    parser.add_argument("--docs", type=Path, help="replace the pictures of this folder by the best ones")
    parser.add_argument("--only", default="", help="weather, failing, huge or empty")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    both = ["light", "dark", "narrow"]
    plans: list[Plan] = [
        ("weather", demo, WEATHER, both),
        ("failing", failing, FAILING, both),
        ("huge", huge, HUGE, ["light", "narrow"]),
        ("empty", None, COMMON, ["light", "dark"]),
    ]
    with browser() as chromium, tempfile.TemporaryDirectory() as temporary:
        for plan in plans:
            kind, bring, _, _ = plan
            if options.only not in ("", kind):
                continue
            folder = Path(temporary) / kind
            folder.mkdir()
            with ExitStack() as stack:
                if bring is None:
                    core = Core(folder / "core")
                    stack.callback(core.stop)
                else:
                    core = stack.enter_context(bring(folder))
                take(chromium, core, plan, options.out)
                if kind == "weather":
                    report(chromium, folder / "report.html", options.out)
    if options.docs is not None:
        for name, target in CHOSEN.items():
            shutil.copy(options.out / f"{name}.png", options.docs / f"orchestrator-dashboard-{target}.png")


if __name__ == "__main__":
    main()
