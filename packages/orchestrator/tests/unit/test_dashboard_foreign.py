"""The list of state machines, read from a store of another program."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from types import FrameType, SimpleNamespace
from typing import Any, cast

import pytest

from orca.orchestrator.dashboard import foreign
from orca.orchestrator.dashboard.site import Site
from orca.orchestrator.settings import CoreSettings

COUNT = 3_000
SIZE = 20_000
READS = Path("/proc/self/io")


@pytest.fixture
def store(tmp_path: Path) -> Path:
    path = tmp_path / "machines.db"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(
            "CREATE TABLE orca_runs (run_id TEXT PRIMARY KEY, sequence INTEGER NOT NULL, machine TEXT NOT NULL, "
            "snapshot TEXT NOT NULL) WITHOUT ROWID"
        )
        text = json.dumps({"state": "a", "configuration": ["a"], "context": {"x": "y" * SIZE}})
        rows = ((f"r{number:05}", number, f"M{number % 7}", text) for number in range(COUNT))
        connection.executemany("INSERT INTO orca_runs VALUES (?, ?, ?, ?)", rows)
    return path


class Page:
    """Stands where the templates are: it takes what they would show."""

    def __init__(self, path: Path) -> None:
        self.core = SimpleNamespace(settings=CoreSettings(folder=path.parent, machines=str(path)))
        self.shown: dict[str, Any] = {}

    def page(self, _request: object, _template: str, _title: str, **values: Any) -> None:
        self.shown = values


def listed(page: Page) -> list[dict[str, Any]]:
    asyncio.run(foreign.machines(cast("Site", page), cast("Any", None)))
    return [row for kind in page.shown["kinds"] for row in kind["rows"]]


def bytes_read() -> int:
    return int(READS.read_text("ascii").split()[1])


def test_instances_are_listed_by_machine_and_name_and_none_twice(store: Path) -> None:
    page = Page(store)
    rows = listed(page)
    every = sorted((f"M{number % 7}", f"r{number:05}") for number in range(COUNT))
    assert [(row["machine"], row["run_id"]) for row in rows] == every[: foreign.INSTANCES_MAX]
    assert page.shown["full"]
    assert {row["state"] for row in rows} == {"a"}
    assert rows[1]["sequence"] == 7


def test_a_file_that_its_owner_is_making_holds_nothing_yet(tmp_path: Path) -> None:
    for path in (tmp_path / "machines.db", tmp_path / "outbox" / "outbox.db"):
        path.parent.mkdir(exist_ok=True)
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("PRAGMA journal_mode=WAL")
    page = Page(tmp_path / "machines.db")
    assert listed(page) == []
    assert page.shown["found"]
    asyncio.run(foreign.tasks(cast("Site", page), cast("Any", None)))
    assert [page.shown[name] for name in ("waiting", "dead", "running")] == [[], [], []]


@pytest.mark.skipif(not READS.exists(), reason="only Linux counts what a process reads")
def test_only_the_snapshots_that_are_shown_are_read(store: Path) -> None:
    page = Page(store)
    before = bytes_read()
    assert len(listed(page)) == foreign.INSTANCES_MAX
    assert bytes_read() - before < COUNT * SIZE / 2


def test_snapshots_are_parsed_beside_the_loop(store: Path) -> None:
    """A core serves calls in the loop: half a thousand snapshots would hold them up."""
    parsed: list[str] = []

    def note(frame: FrameType, event: str, _argument: object) -> None:
        if event == "call" and frame.f_code is foreign._object.__code__:
            parsed.append(event)

    page = Page(store)
    sys.setprofile(note)  # of this thread only
    try:
        asyncio.run(foreign.machines(cast("Site", page), cast("Any", None)))
    finally:
        sys.setprofile(None)
    assert page.shown["full"]
    assert parsed == []
