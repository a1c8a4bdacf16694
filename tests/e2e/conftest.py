"""One browser and one core of each kind for all tests of the pages."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

import dashboard_cores
from chromium import WAIT_MS, browser
from dashboard_cores import Core


class Visit:
    """A known browser context that remembers what went wrong and where requests went."""

    def __init__(self, chromium: Any, core: Core, **look: Any) -> None:
        self.context = chromium.new_context(**look)
        self.context.set_default_timeout(WAIT_MS)
        self.page = self.context.new_page()
        self.core = core
        self.faults: list[str] = []
        self.requests: list[str] = []
        self.page.goto(core.link())
        self.page.on("console", lambda message: message.type == "error" and self.faults.append(message.text))
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))
        self.page.on("dialog", lambda dialog: (self.faults.append("dialog"), dialog.dismiss()))
        self.context.on("request", lambda request: self.requests.append(request.url))

    def open(self, path: str) -> Any:
        """A page whose stream is live and whose charts are drawn."""
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


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    with browser() as started:
        yield started


@pytest.fixture(scope="session")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Core]:
    """Nothing has happened."""
    core = Core(tmp_path_factory.mktemp("empty") / "core")
    yield core
    core.stop()


@pytest.fixture(scope="session")
def busy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Core]:
    """Twenty days, one of which fails, and hostile metadata."""
    with dashboard_cores.busy(tmp_path_factory.mktemp("busy")) as core:
        yield core


@pytest.fixture(scope="session")
def weather(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Core]:
    """The data of the weather station."""
    with dashboard_cores.demo(tmp_path_factory.mktemp("weather")) as core:
        yield core


@pytest.fixture(scope="session")
def huge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Core]:
    """10,000 windows, and a graph of 500 algorithms."""
    with dashboard_cores.huge(tmp_path_factory.mktemp("huge")) as core:
        yield core


@pytest.fixture
def visit(chromium: Any) -> Iterator[Any]:
    """Begins a `Visit`; at the end each of them is checked."""
    visits: list[Visit] = []

    def begin(core: Core, **look: Any) -> Visit:
        visits.append(Visit(chromium, core, **look))
        return visits[-1]

    yield begin
    for one in visits:
        one.check()
        one.context.close()
