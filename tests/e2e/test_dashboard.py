"""The pages in a real browser, over a real core and a real processor: empty, busy, failing, hostile, huge."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import grpc
import pytest

from chromium import browser, npm_file
from orca.orchestrator.process import start_background, stop_background
from orca.orchestrator.settings import CoreSettings
from orca.processor import OrcaClient, Window, wire

PROCESSOR = """
import sys, threading, time
from pathlib import Path
from orca.processor import ExecutionParams, MetadataField, Processor, WindowType

day = WindowType("Day", "1.0.0", "a day", (MetadataField("station", "where", filter=True),))
proc = Processor("probe")

@proc.algorithm("Mean", "1.0.0", day)
def mean(params: ExecutionParams) -> float:
    gate = params.window.metadata.get("gate")
    for _ in range(2000):
        if not gate or Path(str(gate)).exists():
            break
        time.sleep(0.01)
    return 20.5

@proc.algorithm("Alarm", "1.0.0", day, depends_on=[mean])
def alarm(params: ExecutionParams) -> float:
    if params.window.metadata.get("bad"):
        raise KeyError("threshold")
    return 1.0

def end():
    sys.stdin.read()
    proc.stop()

threading.Thread(target=end, daemon=True).start()
proc.run()
"""
ATTACK = "<img src=x onerror=alert(1)>"
START = datetime(2026, 1, 1, tzinfo=timezone.utc)
DAY = timedelta(days=1)
PAGES = [
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
WAIT_S = 30.0


def day(number: int, **metadata: Any) -> Window:
    start = START + number * DAY
    return Window(start, start + DAY, "Day", "1.0.0", "test", {"station": "seattle", **metadata})


class Core:
    """A core as a process of its own, with the address of its pages."""

    def __init__(self, folder: Path, web_port: int = 0) -> None:
        self.folder = folder
        known = start_background(CoreSettings(folder=folder, port=0, web_port=web_port))
        self.address = known["address"]
        self.base = known["web"].partition("/?")[0]
        self.port = urlsplit(self.base).port or 0

    def link(self) -> str:
        return str(json.loads((self.folder / "core.json").read_text("utf-8"))["web"])

    def stop(self) -> None:
        stop_background(self.folder)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with browser() as started:
        yield started


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Core]:
    core = Core(tmp_path_factory.mktemp("empty") / "core")
    yield core
    core.stop()


@pytest.fixture(scope="module")
def busy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Core]:
    """Twenty days, one of which fails, and hostile metadata."""
    folder = tmp_path_factory.mktemp("busy")
    core = Core(folder / "core")
    (folder / "processor.py").write_text(PROCESSOR, "utf-8")
    with (folder / "processor.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "processor.py"],
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            env={**os.environ, "ORCA_CORE": core.address},
        )
    client = OrcaClient(core.address)
    try:
        until(lambda: client.status().processors_serving == 1)
        client.emit_many([day(number) for number in range(20) if number != 7])
        client.emit_many([day(30, bad=True, note=ATTACK)])
        until(lambda: client.status().open_runs == 0)
        yield core
    finally:
        client.close()
        assert process.stdin is not None
        process.stdin.close()
        process.wait(timeout=WAIT_S)
        core.stop()


def until(condition: Any) -> None:
    deadline = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline, "it did not become true in time"
        time.sleep(0.02)


class Visit:
    """A known browser context that remembers what went wrong and where requests went."""

    def __init__(self, chromium: Any, core: Core, **look: Any) -> None:
        self.context = chromium.new_context(**look)
        self.page = self.context.new_page()
        self.core = core
        self.faults: list[str] = []
        self.requests: list[str] = []
        self.sizes: list[int] = []
        self.page.goto(core.link())
        self.page.on("console", lambda message: message.type == "error" and self.faults.append(message.text))
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))
        self.page.on("dialog", lambda dialog: (self.faults.append("dialog"), dialog.dismiss()))
        self.context.on("request", lambda request: self.requests.append(request.url))

    def open(self, path: str) -> Any:
        answer = self.page.goto(self.core.base + path)
        assert answer.status == 200, path
        self.page.locator("#link[data-state=live]").wait_for()
        for chart in self.page.locator("[data-chart]").all():
            chart.locator("canvas, .loading:not(:text('Loading'))").first.wait_for()
        return self.page

    def check(self) -> None:
        """Nothing failed, and nothing left this machine."""
        assert not self.faults
        outside = [url for url in self.requests if urlsplit(url).hostname not in ("127.0.0.1", None)]
        assert not outside


@pytest.fixture
def visit(chromium: Any) -> Iterator[Any]:
    visits: list[Visit] = []

    def begin(core: Core, **look: Any) -> Visit:
        visits.append(Visit(chromium, core, **look))
        return visits[-1]

    yield begin
    for one in visits:
        one.check()
        one.context.close()


@pytest.mark.parametrize("kind", ["empty", "busy"])
def test_every_page_at_400_pixels_has_no_horizontal_scroll(visit: Any, kind: str, request: Any) -> None:
    view = visit(request.getfixturevalue(kind), viewport={"width": 400, "height": 800})
    paths = PAGES if kind == "empty" else [*PAGES, "/runs/1", "/algorithms/Mean/1.0.0"]
    for path in paths:
        page = view.open(path)
        assert page.locator("h1").inner_text()
        wide = page.evaluate("document.documentElement.scrollWidth")
        assert wide <= 400, f"{path} is {wide} pixels wide"


@pytest.mark.parametrize("kind", ["empty", "busy"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_page_passes_axe(visit: Any, kind: str, scheme: str, request: Any) -> None:
    axe = npm_file("axe-core", "axe.min.js").read_text("utf-8")
    view = visit(request.getfixturevalue(kind), color_scheme=scheme)
    paths = PAGES if kind == "empty" else [*PAGES, "/runs/20", "/algorithms/Mean/1.0.0"]
    for path in paths:
        page = view.open(path)
        page.evaluate(axe)
        found = page.evaluate("axe.run(document)")["violations"]
        serious = [
            (one["id"], [node["html"][:200] for node in one["nodes"][:3]])
            for one in found
            if one["impact"] in ("serious", "critical")
        ]
        assert not serious, path


def test_an_empty_core_says_what_to_do_next(visit: Any, empty: Core) -> None:
    page = visit(empty).open("/")
    assert "Three commands" in page.inner_text("main")
    assert page.locator(".loading").count() == 0


def test_the_failing_run_shows_cause_frame_and_what_was_given_as_text(visit: Any, busy: Core) -> None:
    view = visit(busy)
    page = view.open("/failures")
    assert "KeyError" in page.inner_text(".group")
    assert 'raise KeyError("threshold")' in page.inner_text(".group")
    assert ATTACK in page.inner_text(".group")
    for path in ("/", "/windows", "/runs"):
        page = view.open(path)
        assert ATTACK in page.inner_text("main"), path
        assert page.locator("img").count() == 0


def test_a_run_is_followed_live_without_loading_the_page_anew(visit: Any, busy: Core, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    client = OrcaClient(busy.address)
    (answer,) = client.emit_many([day(100, gate=str(gate))])
    page = visit(busy).open(f"/windows/{answer.window_id}")
    page.locator("#state .open").wait_for()
    page.locator(".gantt .state.running").first.wait_for()
    page.evaluate("window.same = true")
    gate.write_text("go", "utf-8")
    page.locator("#state .succeeded").wait_for(timeout=10_000)
    assert page.locator(".gantt .state.succeeded").count() == 2
    assert page.evaluate("window.same"), "the page was not loaded anew"
    client.close()


def test_a_page_reconnects_when_the_core_restarts(chromium: Any, tmp_path: Path) -> None:
    core = Core(tmp_path / "core")
    view = Visit(chromium, core)
    page = view.open("/")
    core.stop()
    page.locator("#link[data-state=lost]").wait_for()
    again = Core(tmp_path / "core", web_port=core.port)
    try:
        assert again.port == core.port
        page.locator("#link[data-state=live]").wait_for(timeout=15_000)
    finally:
        view.context.close()
        again.stop()


def test_eight_tabs_share_one_stream(visit: Any, busy: Core) -> None:
    view = visit(busy)
    for _ in range(7):
        tab = view.context.new_page()
        tab.goto(busy.base + "/")
        tab.locator("#link[data-state=live]").wait_for()
    assert sum(url.endswith("/events") for url in view.requests) <= 1


def test_emit_retry_replay_annotate_and_reprocess_by_keyboard(visit: Any, busy: Core) -> None:
    view = visit(busy)
    page = view.open("/windows")
    form = page.locator("form[hx-post='/actions/emit']")
    form.locator("[name=type]").fill("Day 1.0.0")
    form.locator("[name=from]").fill("2026-03-01T00:00:00")
    form.locator("[name=to]").fill("2026-03-02T00:00:00")
    form.locator("[name=metadata]").fill('{"station": "sf"}')
    form.locator("button").press("Enter")
    form.locator(".said .good").wait_for()
    page = view.open("/failures")
    page.locator(".pill").first.press("Enter")
    page.locator("#state .failed").wait_for()
    page.get_by_role("button", name="Retry failed").press("Enter")
    assert "1 new run" in page.locator("#said .good").inner_text()
    page.get_by_role("button", name="Replay").press("Enter")
    page = view.open("/results?algorithm=Mean+1.0.0")
    chart = page.locator("#chart")
    for key in ("Home", "b", "ArrowRight", "e", "n"):
        chart.press(key)
    page.keyboard.type("sensor was cleaned")
    page.keyboard.press("Enter")
    page.locator("#note .said .good").wait_for()
    page.locator("#notes li").first.wait_for()
    page = view.open("/windows?from=2026-01-01&to=2026-01-03")
    assert page.locator(".note").count() == 1
    page.locator("#span button", has_text="Reprocess").press("Enter")
    assert "new run" in page.locator("#span .said .good").inner_text()


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


def ask(core: Core, path: str, method: str = "GET", **headers: str) -> tuple[int, str]:
    """One plain request; redirects and faults are answers."""
    request = urllib.request.Request(core.base + path, method=method, data=b"" if method == "POST" else None)
    for name, value in headers.items():
        request.add_header(name.replace("_", "-"), value)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, dict(answer.headers).get("content-security-policy", "")
    except urllib.error.HTTPError as error:
        return error.code, dict(error.headers).get("content-security-policy", "")


POSTS = [
    "/actions/emit",
    "/actions/reprocess",
    "/actions/annotate",
    "/actions/runs/1/retry",
    "/actions/runs/1/cancel",
]
GETS = [*PAGES, "/events", "/static/orca.css", "/data/results", "/export/results.csv", "/nowhere"]


@pytest.mark.parametrize("path", [*GETS, *POSTS])
def test_a_foreign_host_and_an_unknown_browser_are_refused(busy: Core, path: str) -> None:
    method = "POST" if path in POSTS else "GET"
    for host in ("evil.example", f"evil.example:{busy.port}", "127.0.0.1"):
        status, policy = ask(busy, path, method, Host=host)
        assert status == 421, host
        assert "default-src 'none'" in policy
    if not path.startswith("/static"):
        assert ask(busy, path, method)[0] == 401


def test_the_csrf_matrix(visit: Any, busy: Core) -> None:
    view = visit(busy)
    cookie = "; ".join(f"{one['name']}={one['value']}" for one in view.context.cookies())
    assert all(one["httpOnly"] and one["sameSite"] == "Lax" for one in view.context.cookies())
    for origin in ("", "null", "http://evil.example", f"http://127.0.0.1:{busy.port + 1}", busy.base):
        for header in ("", "1"):
            extra = {key: value for key, value in (("Origin", origin), ("X-Orca", header)) if value}
            allowed = origin == busy.base and header == "1"
            for path in POSTS:
                status, _ = ask(busy, path, "POST", Cookie=cookie, **extra)
                assert (status != 403) is allowed, (origin, header, path, status)


def test_the_link_works_once(chromium: Any, busy: Core) -> None:
    link = busy.link()
    first, second = chromium.new_context(), chromium.new_context()
    assert first.new_page().goto(link).status == 200
    assert second.new_page().goto(link).status == 401
    assert busy.link() != link
    first.close()
    second.close()


def test_the_first_page_is_light(chromium: Any, busy: Core) -> None:
    context = chromium.new_context()
    page = context.new_page()
    answers: dict[str, Any] = {}

    def keep(answer: Any) -> None:
        if answer.url.startswith("http") and answer.status == 200:
            answers[urlsplit(answer.url).path] = answer

    page.on("response", keep)
    begun = time.monotonic()
    page.goto(busy.link())
    page.locator("#link[data-state=live]").wait_for()
    took_s = time.monotonic() - begun
    weight = sum(len(answer.body()) for path, answer in answers.items() if path != "/events")
    weight += (0 if "/static/worker.js" in answers else 1000) + sum(len(path) for path in answers)
    # The worker and its stream belong to the browser, not to the tab; they are counted all the same.
    count = 1 + len(answers.keys() | {"/static/worker.js", "/events"})  # and the redirect of the link
    print(f"first page: {weight / 1000:.0f} KB, {count} requests, {took_s:.2f} s: {sorted(answers)}")
    assert weight <= 200_000
    assert count <= 8
    context.close()


def test_ten_thousand_windows_and_a_graph_of_500(visit: Any, tmp_path: Path) -> None:
    core = Core(tmp_path / "core")
    try:
        client = OrcaClient(core.address)
        client.emit_many([day(number, station=f"s{number % 4}") for number in range(10_000)])
        client.close()
        message = wire.ProcessorRegistration(name="big", runtime="3.11", connection_str="127.0.0.1:1")
        for number in range(500):
            one = message.supported_algorithms.add(name=f"A{number}", version="1.0.0", result_type=wire.VALUE)
            one.window_type.name, one.window_type.version = "Big", "1.0.0"
            for need in {number // 2, number // 3} - {number}:
                one.dependencies.add(name=f"A{need}", version="1.0.0")
        with grpc.insecure_channel(core.address) as channel:
            wire.call(channel, wire.OrcaCore.RegisterProcessor)(message, timeout=30)
        view = visit(core)
        begun = time.monotonic()
        page = view.open("/windows")
        windows_s = time.monotonic() - begun
        assert "2,500 windows" in page.inner_text(".lanes")
        assert page.locator(".lane").count() == 4
        begun = time.monotonic()
        page = view.open("/dag")
        print(f"10,000 windows: {windows_s:.2f} s; 500 nodes: {time.monotonic() - begun:.2f} s")
        assert page.locator(".graph a").count() == 500
    finally:
        core.stop()


def test_state_machines_and_tasks_of_other_stores(visit: Any, tmp_path: Path) -> None:
    folder = tmp_path / "core"
    (folder / "outbox").mkdir(parents=True)
    with closing(sqlite3.connect(folder / "machines.db")) as store, store:
        store.execute("CREATE TABLE orca_runs (run_id, sequence, machine, snapshot)")
        store.execute("CREATE TABLE orca_journal (run_id, sequence, entry)")
        snapshot = {"state": "open", "status": "running", "context": {"note": ATTACK}, "timestamp": 1.0}
        snapshot["definition_version"] = "1.0.0"
        store.execute("INSERT INTO orca_runs VALUES ('order 7', 1, 'Order', ?)", (json.dumps(snapshot),))
        entry = {"event": "PAID", "from": "new", "to": "open", "delta": {}}
        store.execute("INSERT INTO orca_journal VALUES ('order 7', 1, ?)", (json.dumps(entry),))
    with closing(sqlite3.connect(folder / "outbox" / "outbox.db")) as store, store:
        store.execute("CREATE TABLE events (id, run, size, created, attempts, error)")
        store.execute("CREATE TABLE dead (id, run, created, died, reason)")
        store.execute("CREATE TABLE runs (run, name, started)")
        store.execute("INSERT INTO events VALUES (1, 'r-1', 10, 1.0, 3, 'connection refused')")
        store.execute("INSERT INTO dead VALUES (2, 'r-2', 1.0, 2.0, 'answered 410')")
    core = Core(folder)
    try:
        view = visit(core)
        page = view.open("/machines")
        page.get_by_role("link", name="order 7").click()
        page.locator("h1", has_text="order 7").wait_for()
        assert "PAID" in page.inner_text("main")
        assert ATTACK in page.inner_text("main")
        page = view.open("/tasks")
        assert "connection refused" in page.inner_text("main")
        assert "answered 410" in page.inner_text("main")
    finally:
        core.stop()
