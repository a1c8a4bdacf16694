"""Every page with no data, with a year of weather, with a failing run, and with 10,000 windows and 500 algorithms."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from chromium import npm_file
from dashboard_cores import ATTACK, Core

MENU = [
    "/",
    "/windows",
    "/runs",
    "/dag",
    "/results",
    "/failures",
    "/queue",
    "/processors",
    "/freshness",
    "/machines",
    "/tasks",
]
PAGES = {
    "empty": MENU,
    "weather": [
        *MENU,
        "/runs/1",
        "/windows?from=2010-07-01&to=2010-08-01",
        "/algorithms/DailyStatistics/1.0.0",
        "/machines/seattle",
        "/machines/seattle?steps=all",
    ],
    "busy": [*MENU, "/runs/20", "/algorithms/Alarm/1.0.0"],
    "huge": [*MENU, "/runs/1", "/algorithms/A7/1.0.0"],
}
KINDS = pytest.mark.parametrize("kind", list(PAGES))


@KINDS
def test_every_page_at_400_pixels_has_no_horizontal_scroll(visit: Any, kind: str, request: Any) -> None:
    view = visit(request.getfixturevalue(kind), viewport={"width": 400, "height": 800})
    for path in PAGES[kind]:
        page = view.open(path)
        assert page.locator("h1").inner_text()
        wide = page.evaluate("document.documentElement.scrollWidth")
        assert wide <= 400, f"{path} is {wide} pixels wide"
        here = page.locator("nav [aria-current]").bounding_box()
        assert here["x"] >= 0, path
        assert here["x"] + here["width"] <= 400, f"{path}: its place in the menu is out of sight"


@KINDS
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_page_passes_axe(visit: Any, kind: str, scheme: str, request: Any) -> None:
    axe = npm_file("axe-core", "axe.min.js").read_text("utf-8")
    view = visit(request.getfixturevalue(kind), color_scheme=scheme)
    for path in PAGES[kind]:
        page = view.open(path)
        dark = page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(20, 23, 29)"
        assert dark is (scheme == "dark"), path
        page.evaluate(axe)
        found = page.evaluate("axe.run(document)")["violations"]
        serious = [
            (one["id"], [node["html"][:200] for node in one["nodes"][:3]])
            for one in found
            if one["impact"] in ("serious", "critical")
        ]
        assert not serious, path


def test_without_data_each_page_says_so_and_what_to_do_next(visit: Any, empty: Core) -> None:
    view = visit(empty)
    page = view.open("/")
    assert "Three commands" in page.inner_text("main")
    for path in MENU[1:]:
        page = view.open(path)
        assert page.locator(".empty").count(), path
        assert page.locator(".loading").count() == 0, path


def test_a_year_of_weather_on_every_page(visit: Any, weather: Core) -> None:
    view = visit(weather)
    page = view.open("/")
    assert "730" in page.inner_text(".cards")
    assert "2,190 results" in page.inner_text(".cards")
    page = view.open("/windows")
    assert page.locator(".lane").count() == 2
    assert "365 windows" in page.inner_text(".lanes")
    assert "gap" not in page.inner_text(".lanes")
    page = view.open("/windows?from=2010-07-01&to=2010-08-01&metadata=station%3Dseattle")
    assert "31 windows" in page.inner_text(".lanes")
    assert page.locator(".lane").count() == 1
    page = view.open("/runs/730")
    assert page.locator(".gantt-row").count() == 3
    assert page.locator(".gantt .succeeded").count() >= 3
    page = view.open("/dag")
    assert page.locator(".graph a").count() == 3
    assert "last 14" in page.inner_text(".graph")
    page = view.open("/algorithms/DailyStatistics/1.0.0")
    assert "730 of 730" in page.inner_text("#live")
    assert page.locator("#chart").get_attribute("data-drawn") == "365"
    page = view.open("/results?algorithm=DailyStatistics+1.0.0&field=high")
    assert page.locator("#chart .u-legend").inner_text().count("seattle") == 1
    assert page.locator("#field option").all_inner_texts() == ["high", "hours", "low", "mean"]
    page = view.open("/freshness")
    assert "730" in page.inner_text("table")
    page = view.open("/processors")
    # It registers before it listens; the page follows.
    page.locator("table", has_text="serving").first.wait_for()
    for path in ("/failures", "/queue"):
        assert view.open(path).locator(".empty").count() == 1


def test_a_machine_is_drawn_with_its_state_and_told_by_its_history(visit: Any, weather: Core) -> None:
    view = visit(weather)
    page = view.open("/machines")
    assert page.locator("tbody tr").count() == 2
    page.get_by_role("link", name="seattle").click()
    page.locator("h1", has_text="seattle").wait_for()
    picture = page.locator(".picture img")
    assert picture.evaluate("image => image.decode().then(() => image.naturalWidth)") > 300
    drawing = view.context.request.get(weather.base + picture.get_attribute("src")).text()
    assert '<g class="state active" data-state="closed">' in drawing
    assert '<g class="state" data-state="heat_wave.severe">' in drawing
    assert "heat_wave.declared → heat_wave.severe" in page.inner_text("main")
    page.get_by_role("link", name="Every step").click()
    page.locator("tbody tr").nth(150).wait_for()


def test_a_failing_run_shows_cause_frame_and_inputs(visit: Any, busy: Core) -> None:
    view = visit(busy)
    page = view.open("/failures")
    group = page.locator(".group", has_text="Alarm").first
    assert "KeyError" in group.inner_text()
    assert 'raise KeyError("threshold")' in group.inner_text()
    group.locator(".pill").last.click()
    page.locator("#state .failed").wait_for()
    row = page.locator(".gantt-row:has(a.name:has-text('Alarm'))")
    assert "KeyError: 'threshold'" in row.inner_text()
    row.locator("summary").click()
    assert "in alarm" in row.inner_text()
    assert "skipped" in page.locator(".gantt-row:has(a.name:has-text('Summary'))").inner_text()
    retried = page.locator(".gantt-row:has(a.name:has-text('Trend'))")
    assert "the archive did not answer" in retried.inner_text()
    assert retried.locator("rect.retry").count() == 1
    assert retried.locator("rect.succeeded").count() == 1


def test_the_copied_command_repeats_the_failure_in_a_terminal(visit: Any, busy: Core) -> None:
    view = visit(busy)
    view.context.grant_permissions(["clipboard-read", "clipboard-write"], origin=busy.base)
    page = view.open("/failures")
    group = page.locator(".group", has_text="Alarm").first
    group.get_by_role("button", name="Copy").click()
    group.get_by_role("button", name="Copied").wait_for()
    command = page.evaluate("navigator.clipboard.readText()")
    assert command.startswith("orca run ")
    done = subprocess.run(
        ["sh", "-c", command],
        env={**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"},
        cwd=busy.folder.parent,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == 1
    assert 'raise KeyError("threshold")' in done.stdout


def test_script_in_metadata_is_text_wherever_it_is_shown(visit: Any, busy: Core) -> None:
    view = visit(busy)
    for path in ("/", "/windows", "/runs", "/runs/20", "/failures"):
        page = view.open(path)
        assert ATTACK in page.inner_text("main"), path
        assert page.locator("main img").count() == 0, path


def test_ten_thousand_windows_and_500_algorithms(visit: Any, huge: Core) -> None:
    view = visit(huge)
    page = view.open("/windows?type=Day+1.0.0")
    assert "2,500 windows" in page.inner_text(".lanes")
    assert page.locator(".lane").count() == 4
    page.get_by_role("link", name="Older windows").click()
    page.locator("tbody tr").nth(49).wait_for()
    page = view.open("/dag")
    assert page.locator(".graph a").count() == 500
    box = page.locator("#graph").bounding_box()
    seen = [one.bounding_box() for one in page.locator(".graph a").all()]
    assert any(box["y"] < one["y"] < box["y"] + box["height"] for one in seen), (
        "the first look shows something"
    )
    page.locator("#find").fill("A321")
    page.locator("#find").press("Enter")
    found = page.locator(".graph a.found").bounding_box()
    assert box["x"] < found["x"] < box["x"] + box["width"]
    assert box["y"] < found["y"] < box["y"] + box["height"]
    page.get_by_role("button", name="Fit").click()
    assert page.locator(".graph svg").bounding_box()["height"] <= box["height"]
    page = view.open("/queue")
    assert "processor big, which is not there" in page.inner_text("table")
    page = view.open("/runs/1")
    assert page.locator(".gantt-row").count() == 500
