"""Pages that stay open while things happen: runs, restarts, many tabs, machines and tasks of other programs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dashboard_cores import ATTACK, Core, day
from orca.processor import OrcaClient
from orca.statemachine import parse_orca
from orca.statemachine.runtime.sqlite import SQLiteStore
from orca.statemachine.runtime.sync import SyncMachine
from orchestra.sdk import Budgets, OrchestraSDK
from ports import free_port

LIVE_MS = 60_000


def test_a_run_is_followed_live_without_loading_the_page_anew(visit: Any, busy: Core, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    with OrcaClient(busy.address) as client:
        (answer,) = client.emit_many([day(100, gate=str(gate))])
        page = visit(busy).open(f"/windows/{answer.window_id}")
        page.locator("#state .open").wait_for()
        page.locator(".gantt .state.running").first.wait_for()
        page.evaluate("window.same = true")
        first = page.locator(".gantt rect.running").first.get_attribute("width")
        assert float(first) > 0, "what runs now has a length"
        gate.write_text("go", "utf-8")
        page.locator("#state .succeeded").wait_for(timeout=LIVE_MS)
        assert page.locator(".gantt .state.succeeded").count() == 4
        assert page.evaluate("window.same"), "the page was not loaded anew"


def test_what_happens_between_a_page_and_its_stream_is_not_lost(
    visit: Any, busy: Core, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    with OrcaClient(busy.address) as client:
        (answer,) = client.emit_many([day(101, gate=str(gate))])
        view = visit(busy)

        def late(route: Any) -> None:
            # The run ends while the page is there, and before its script can listen.
            gate.write_text("go", "utf-8")
            client.wait(answer)
            route.continue_()

        view.page.route("**/static/orca.js*", late)
        page = view.open(f"/windows/{answer.window_id}")
        page.locator("#state .succeeded").wait_for(timeout=LIVE_MS)


@pytest.mark.parametrize(
    "sight",
    [
        ("/queue", "tbody tr", ".empty"),
        ("/dag", ".node.running", ".node.succeeded"),
        ("/", ".state.open", ".cards:has-text('nothing waits')"),
        ("/windows", ".lane path.open", ".lanes:not(:has(path.open))"),
    ],
)
def test_other_pages_follow_too(
    visit: Any, busy: Core, tmp_path: Path, sight: tuple[str, str, str], request: Any
) -> None:
    path, during, after = sight
    gate = tmp_path / "gate"
    page = visit(busy).open(path)
    page.evaluate("window.same = true")
    number = 110 + len(request.node.name)
    with OrcaClient(busy.address) as client:
        (answer,) = client.emit_many([day(number, gate=str(gate), page=path)])
        page.locator(during).first.wait_for(timeout=LIVE_MS)
        gate.write_text("go", "utf-8")
        client.wait(answer)
        page.locator(after).first.wait_for(timeout=LIVE_MS)
        assert page.evaluate("window.same"), "the page was not loaded anew"


def test_a_page_reconnects_and_catches_up_when_the_core_restarts(
    visit: Any, chromium: Any, tmp_path: Path
) -> None:
    core = Core(tmp_path / "core", web_port=free_port())
    view = visit(core)
    page = view.open("/")
    page.evaluate("window.same = true")
    core.stop()
    page.locator("#link[data-state=lost]").wait_for()
    again = Core(tmp_path / "core", web_port=core.port)
    try:
        assert again.port == core.port
        with OrcaClient(again.address) as client:
            client.emit_many([day(1)])
        page.locator("#link[data-state=live]").wait_for(timeout=LIVE_MS)
        page.locator(".cards", has_text="1\nwindows").wait_for(timeout=LIVE_MS)
        assert page.evaluate("window.same"), "the page was not loaded anew"
    finally:
        again.stop()
        view.faults.clear()  # a browser tells of each refused connection


def test_eight_tabs_share_one_stream_and_all_get_news(visit: Any, busy: Core) -> None:
    view = visit(busy)
    tabs = [view.context.new_page() for _ in range(8)]
    for tab in tabs:
        tab.goto(busy.base + "/")
        tab.locator("#link[data-state=live]").wait_for()
        tab.evaluate("window.same = true")
    assert sum(url.endswith("/events") for url in view.requests) <= 1
    with OrcaClient(busy.address) as client:
        (answer,) = client.emit_many([day(150, tabs=8)])
        client.wait(answer)
    for tab in tabs:
        tab.bring_to_front()
        tab.locator("td", has_text="tabs 8").first.wait_for(timeout=LIVE_MS)
        assert tab.evaluate("window.same")


def test_a_machine_of_another_program_is_drawn_live(visit: Any, tmp_path: Path) -> None:
    definition = parse_orca(
        """
machine Order
context { note: string = "" }
state open [initial] {
  state fresh [initial]
  state checked
}
state paid [final]
transitions {
  fresh + CHECK -> checked
  open + PAY -> paid
}
"""
    )
    core = Core(tmp_path / "core")
    try:
        view = visit(core)
        page = view.open("/machines")
        page.locator(".empty").wait_for()
        with (
            SQLiteStore(core.folder / "machines.db") as store,
            SyncMachine(definition, persistence=store, run_id="order-7", context={"note": ATTACK}) as machine,
        ):
            page.get_by_role("link", name="order-7").click(timeout=LIVE_MS)
            page.locator("#state", has_text="open.fresh").wait_for()
            assert ATTACK in page.inner_text("main")
            page.evaluate("window.same = true")
            machine.send("CHECK")
            page.locator("#state", has_text="open.checked").wait_for(timeout=LIVE_MS)
            picture = page.locator(".picture img")
            assert "in state open.checked" in picture.get_attribute("alt")
            drawing = view.context.request.get(core.base + picture.get_attribute("src")).text()
            assert drawing.count('class="state active"') == 2
            assert '<g class="state active" data-state="open.checked">' in drawing
            machine.send("PAY")
            page.locator("#state", has_text="paid").wait_for(timeout=LIVE_MS)
            assert "open.checked → paid" in page.inner_text("main")
            assert page.evaluate("window.same"), "the page was not loaded anew"
    finally:
        core.stop()


def test_undelivered_task_events_are_told_with_the_reason(visit: Any, tmp_path: Path) -> None:
    core = Core(tmp_path / "core")
    try:
        page = visit(core).open("/tasks")
        page.locator(".empty").first.wait_for()
        sdk = OrchestraSDK(
            "key",
            webhook_url="http://127.0.0.1:1/",  # nobody listens there
            task_run_id="5d1a1b7e-0000-4000-8000-000000000007",
            spool=core.folder / "outbox",
            budgets=Budgets(terminal_s=0.5),
        )
        with sdk.task("nightly"):
            page.locator(".notes li", has_text="nightly").wait_for(timeout=LIVE_MS)
        table = page.locator("table")
        table.locator("td", has_text="5d1a1b7e").first.wait_for(timeout=LIVE_MS)
        table.locator("td", has_text="refused").first.wait_for(timeout=LIVE_MS)
        sdk.close()
    finally:
        core.stop()
