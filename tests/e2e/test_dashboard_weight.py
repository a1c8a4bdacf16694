"""What the pages weigh: bytes, requests and time, printed for every page, and bounded for the first."""

from __future__ import annotations

import time
from typing import Any
from urllib.parse import urlsplit

from chromium import WAIT_MS
from dashboard_cores import Core

FIRST_BYTES_MAX = 200_000
FIRST_REQUESTS_MAX = 8
PAGES = (
    "/",
    "/windows",
    "/runs",
    "/runs/1",
    "/dag",
    "/algorithms/DailyStatistics/1.0.0",
    "/results",
    "/failures",
    "/queue",
    "/processors",
    "/freshness",
    "/machines",
    "/machines/seattle",
    "/tasks",
)


def measured(chromium: Any, core: Core, path: str) -> tuple[int, int, float]:
    """Bytes, requests and seconds of a page in a browser that has kept nothing."""
    context = chromium.new_context()
    context.set_default_timeout(WAIT_MS)
    page = context.new_page()
    answers: dict[str, Any] = {}

    def keep(answer: Any) -> None:
        if answer.url.startswith("http") and answer.status == 200:
            answers[urlsplit(answer.url).path] = answer

    page.on("response", keep)
    begun = time.monotonic()
    page.goto(core.link().replace("/?", f"{path}?", 1))
    page.locator("#link[data-state=live]").wait_for()
    for chart in page.locator("[data-chart]").all():
        chart.locator("canvas").first.wait_for()
    took_s = time.monotonic() - begun
    weight = sum(len(answer.body()) for name, answer in answers.items() if name != "/events")
    # The worker and its stream belong to the browser, not to the tab; they are counted all the same.
    weight += 0 if "/static/worker.js" in answers else 1000
    count = 1 + len(answers.keys() | {"/static/worker.js", "/events"})  # and the redirect of the link
    context.close()
    return weight, count, took_s


def test_every_page_is_light(chromium: Any, weather: Core) -> None:
    for path in PAGES:
        weight, count, took_s = measured(chromium, weather, path)
        print(f"{path}: {weight / 1000:.0f} KB, {count} requests, {took_s:.2f} s")
        assert weight <= FIRST_BYTES_MAX, path
        # Pages with charts fetch their numbers, and diagrams are pictures.
        assert count <= FIRST_REQUESTS_MAX + (0 if path == "/" else 5), path
