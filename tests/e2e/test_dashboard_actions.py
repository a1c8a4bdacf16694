"""What people do from the pages: emit, retry, replay, reprocess, cancel, annotate, export; also without a mouse."""

from __future__ import annotations

import csv
import io
import json
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pyarrow.parquet

from dashboard_cores import Core, day
from orca.processor import OrcaClient

TABS_MAX = 250


def tab_to(page: Any, selector: str) -> Any:
    """Press Tab until it has the focus, and see that the focus shows."""
    for _ in range(TABS_MAX):
        page.keyboard.press("Tab")
        if page.evaluate("selector => document.activeElement.matches(selector)", selector):
            assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none", selector
            return page.locator(":focus")
    raise AssertionError(f"{selector} is not reached by Tab")


def test_everything_is_reached_by_keyboard_alone(visit: Any, busy: Core) -> None:
    view = visit(busy)
    page = view.open("/")
    page.keyboard.press("Tab")
    assert page.locator(":focus").inner_text() == "Skip to content"
    page.keyboard.press("Enter")
    page.wait_for_function("document.activeElement.id === 'content'")
    page = view.open("/")
    tab_to(page, "nav a[href='/failures']")
    page.keyboard.press("Enter")
    page.locator("h1", has_text="Failures").wait_for()
    tab_to(page, "a.pill")
    page.keyboard.press("Enter")
    page.locator("#state .failed").wait_for()
    tab_to(page, "button[hx-post$=retry]")
    page.keyboard.press("Enter")
    assert "1 new run" in page.locator("#said .good").inner_text()
    made_run = int(page.locator("#said a").first.get_attribute("href").rpartition("/")[2])
    tab_to(page, "summary")
    page.keyboard.press("Enter")
    page.locator("details[open] pre").first.wait_for()
    with OrcaClient(busy.address) as client:
        # The pages follow it: what can have the focus is counted once nothing changes any more.
        client.wait(client.run(made_run).window_id)
    for path in ("/windows", "/results", "/dag", "/runs"):
        page = view.open(path)
        wanted = page.evaluate(
            "[...document.querySelectorAll('a[href],button,input:not([type=hidden]),select,summary,[tabindex=\"0\"]')]"
            ".filter((one) => one.offsetParent || one.getBoundingClientRect().width).length"
        )
        seen = set()
        for _ in range(wanted + 5):
            page.keyboard.press("Tab")
            seen.add(
                page.evaluate(
                    "[...document.querySelectorAll('*')].indexOf(document.activeElement)",
                )
            )
        assert len(seen) >= wanted, path


def test_emit_and_notes_by_keyboard(visit: Any, busy: Core) -> None:
    view = visit(busy)
    page = view.open("/windows")
    tab_to(page, "form[hx-post='/actions/emit'] [name=type]")
    page.keyboard.type("Day 1.0.0")
    for text in ("2026-03-01", "2026-03-02 00:00", '{"station": "sf"}'):
        page.keyboard.press("Tab")
        page.keyboard.type(text)
    page.keyboard.press("Enter")
    form = page.locator("form[hx-post='/actions/emit']")
    assert "is stored" in form.locator(".said .good").inner_text()
    page.keyboard.press("Enter")
    form.locator(".said .good", has_text="is known already").wait_for()
    with OrcaClient(busy.address) as client:
        (window,) = client.windows("Day", metadata={"station": "sf"})
        assert (window.window.start.month, window.window.start.day, window.window.end.day) == (3, 1, 2)
    page = view.open("/results?algorithm=Mean+1.0.0")
    chart = tab_to(page, "#chart")
    for key in ("Home", "b", "ArrowRight", "e", "n"):
        chart.press(key)
    page.keyboard.type("sensor was cleaned")
    page.keyboard.press("Enter")
    page.locator("#note .said .good").wait_for()
    page.locator("#notes li", has_text="sensor was cleaned").wait_for()
    assert view.open("/windows?from=2026-01-01&to=2026-01-03").locator(".note").count() == 1
    page = view.open("/results?algorithm=Mean+1.0.0")
    tab_to(page, "#notes button")
    page.keyboard.press("Enter")
    page.locator("#notes .empty").wait_for()


def test_a_wrong_form_says_what_is_wrong(visit: Any, busy: Core) -> None:
    view = visit(busy)
    page = view.open("/windows")
    form = page.locator("form[hx-post='/actions/emit']")
    form.locator("[name=type]").fill("Day")
    form.locator("[name=from]").fill("2026-03-01")
    form.locator("[name=to]").fill("2026-03-02")
    form.locator("button").click()
    assert "a name and a version" in form.locator(".said .bad").inner_text()
    form.locator("[name=type]").fill("Day 1.0.0")
    form.locator("[name=metadata]").fill("no json")
    form.locator("button").click()
    form.locator(".said .bad", has_text="metadata").wait_for()
    view.faults = [
        text for text in view.faults if "422" not in text
    ]  # the browser's own line about the answer


def test_retry_replay_and_reprocess_a_range(visit: Any, busy: Core) -> None:
    view = visit(busy)

    def ran() -> tuple[int, int]:
        """How many bodies of two algorithms have run, as their processor says."""
        text = (busy.folder.parent / "processor.log").read_text("utf-8")
        return text.count("Running algorithm Mean"), text.count("Running algorithm Alarm")

    with OrcaClient(busy.address) as client:
        failed = client.runs(state="failed", limit=1)[0]
        means, alarms = ran()
        page = view.open(f"/runs/{failed.id}")
        page.get_by_role("button", name="Retry failed").click()
        made_run = page.locator("#said a").first.get_attribute("href")
        page.locator("#said a").first.click()
        page.wait_for_url(f"**{made_run}")
        page.locator("#state .failed").wait_for(timeout=60_000)
        assert page.locator(".gantt .state.failed").count() == 1
        again = client.run(int(made_run.rpartition("/")[2]))
        assert [one.status for one in again.executions].count("succeeded") == 2
        assert ran() == (means, alarms + 1), "what had succeeded was not run again"

        page = view.open("/runs/1")
        page.get_by_role("button", name="Replay").click()
        made_run = page.locator("#said a").first.get_attribute("href")
        page.locator("#said a").first.click()
        page.wait_for_url(f"**{made_run}")
        page.locator("#state .succeeded").wait_for(timeout=60_000)

        before = len(client.runs(limit=1000))
        page = view.open("/windows")
        box = page.locator(".lane svg").last.bounding_box()
        page.locator("#span [name=from]").fill("2026-01-03")
        page.locator("#span [name=to]").fill("2026-01-06")
        page.locator("#span button", has_text="Reprocess").click()
        assert "3 new runs" in page.locator("#span .said .good").inner_text()
        made = client.runs(limit=1000)
        assert len(made) == before + 3
        assert sorted(run.window.start.day for run in made[:3]) == [3, 4, 5]
        assert box is not None
        for run in made[:3]:
            client.wait(run.window_id)


def test_dragging_across_lanes_chooses_a_span(visit: Any, busy: Core) -> None:
    page = visit(busy).open("/windows?from=2026-01-01&to=2026-01-11")
    box = page.locator(".lane svg").last.bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.2, box["y"] + 5)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + 5)
    page.mouse.up()
    chosen = [page.locator(f"#span [name={name}]").input_value() for name in ("from", "to")]
    assert [text[:10] for text in chosen] == ["2026-01-03", "2026-01-06"] or chosen[0] < chosen[1]
    assert chosen[0].startswith("2026-01-0")
    assert "2026-01-0" in page.locator("#export").get_attribute("href")
    page.get_by_role("button", name="Zoom in").click()
    page.locator(".lane").first.wait_for()
    assert "from=2026-01-0" in page.url


def test_an_open_run_is_cancelled_and_stays_so(visit: Any, busy: Core, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    with OrcaClient(busy.address) as client:
        (answer,) = client.emit_many([day(200, gate=str(gate))])
        try:
            page = visit(busy).open(f"/windows/{answer.window_id}")
            page.locator(".gantt .state.running").first.wait_for()
            page.get_by_role("button", name="Cancel").press("Enter")
            page.locator("#state .cancelled").wait_for()
            assert page.get_by_role("button", name="Cancel").count() == 0
        finally:
            gate.write_text("go", "utf-8")
        assert client.wait(answer).state == "cancelled"
        page.reload()
        page.locator("#state .cancelled").wait_for()


def test_exports_are_what_the_core_has(visit: Any, weather: Core) -> None:
    view = visit(weather, accept_downloads=True)
    path = "/results?algorithm=DailyStatistics+1.0.0&field=mean&from=2010-07-01&to=2010-08-01"
    page = view.open(path)
    with page.expect_download() as download:
        page.get_by_role("link", name="Export CSV").click()
    text = Path(download.value.path()).read_text("utf-8")
    rows = list(csv.DictReader(io.StringIO(text)))
    with page.expect_download() as download:
        page.get_by_role("link", name="Parquet").click()
    # The browser names the file without an ending, which is fine for Arrow.
    table = pyarrow.parquet.read_table(download.value.path()).to_pylist()
    with OrcaClient(weather.address) as client:
        known = {
            (row.window.metadata["station"], row.window.start.day): row.value
            for row in client.results(
                "DailyStatistics",
                "1.0.0",
                since=datetime(2010, 7, 1, tzinfo=timezone.utc),
                until=datetime(2010, 8, 1, tzinfo=timezone.utc),
            )
        }
    assert len(known) == len(rows) == len(table) == 62

    def keyed(found: list[dict[str, Any]], column: str) -> dict[Any, Any]:
        return {
            (json.loads(row["metadata"])["station"], int(row["time_from"][8:10])): json.loads(row[column])
            for row in found
        }

    assert keyed(rows, "value") == keyed(table, "json") == known
    page = view.open("/windows?from=2010-07-01&to=2010-08-01&metadata=station%3Dseattle")
    with page.expect_download() as download:
        page.get_by_role("link", name="Export CSV").click()
    text = Path(download.value.path()).read_text("utf-8")
    assert [row["state"] for row in csv.DictReader(io.StringIO(text))] == ["succeeded"] * 31
