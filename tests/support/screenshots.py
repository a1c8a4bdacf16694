"""Pictures of every page, light and dark, wide and narrow, of a core that runs: look at each one.

    python tests/support/screenshots.py FOLDER [--out reports/screenshots]

FOLDER is a core's folder, such as .orca/weather_station after ``examples/weather_station/run.py --keep``.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from chromium import browser

PAGES = {
    "home": "/",
    "windows": "/windows",
    "runs": "/runs",
    "run": "/runs/1",
    "dag": "/dag",
    "algorithm": "/algorithms/DailyStatistics/1.0.0",
    "results": "/results?algorithm=DailyStatistics+1.0.0&field=mean",
    "failures": "/failures",
    "queue": "/queue",
    "processors": "/processors",
    "freshness": "/freshness",
    "machines": "/machines",
    "machine": "/machines/seattle",
    "tasks": "/tasks",
}
LOOKS = {
    "": {"viewport": {"width": 1280, "height": 860}, "color_scheme": "light"},
    "-dark": {"viewport": {"width": 1280, "height": 860}, "color_scheme": "dark"},
    "-narrow": {"viewport": {"width": 400, "height": 800}, "color_scheme": "light"},
}


def main() -> None:
    """Enter once, then walk through everything."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--out", type=Path, default=Path("reports") / "screenshots")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    link = json.loads((options.folder / "core.json").read_text("utf-8"))["web"]
    base = link.partition("/?")[0]
    with browser() as chromium:
        context = chromium.new_context()
        context.new_page().goto(link)
        known = context.storage_state()
        for suffix, look in LOOKS.items():
            page = chromium.new_context(storage_state=known, **look).new_page()
            for name, path in PAGES.items():
                page.goto(base + path)
                if page.locator("[data-chart]").count():
                    page.locator("[data-drawn]").first.wait_for(timeout=10_000)
                page.screenshot(path=options.out / f"{name}{suffix}.png")
                print(f"{name}{suffix}")


if __name__ == "__main__":
    main()
