"""Who may see the pages, and what the vendored files are: without a browser."""

from __future__ import annotations

import hashlib
import json
import stat
from pathlib import Path

import pytest

from orca.orchestrator.dashboard.access import SESSION_S, Access, load_secret
from orca.orchestrator.dashboard.lanes import COLUMNS, LANES_MAX, Bar, lanes_of
from orca.orchestrator.dashboard.site import STATIC

KEY = b"k" * 32


def test_a_link_works_once_and_the_next_one_differs() -> None:
    used: list[int] = []
    access = Access(KEY, port=1, used=lambda: used.append(1))
    token = access.token
    assert access.knows(access.enter(token))
    assert access.enter(token) == ""
    assert access.token != token
    assert used == [1]


@pytest.mark.parametrize("cookie", ["", ".", "1.2.3", "9999999999.x.", "9999999999.x.é", "a.b"])
def test_a_made_up_cookie_is_unknown(cookie: str) -> None:
    assert not Access(KEY, port=1).knows(cookie)


def test_a_cookie_ends_and_another_core_does_not_take_it() -> None:
    now = [1000.0]
    access = Access(KEY, port=1, now=lambda: now[0])
    cookie = access.enter(access.token)
    assert not Access(b"x" * 32, port=1, now=lambda: now[0]).knows(cookie)
    assert Access(KEY, port=1, now=lambda: now[0]).knows(cookie), "it outlives a restart"
    now[0] += SESSION_S
    assert not access.knows(cookie)


def test_two_cores_have_two_cookies() -> None:
    assert Access(KEY, port=1).cookie != Access(b"x" * 32, port=2).cookie


def test_the_key_is_made_once_and_readable_by_the_user_alone(tmp_path: Path) -> None:
    key = load_secret(tmp_path)
    assert load_secret(tmp_path) == key
    assert stat.S_IMODE((tmp_path / "dashboard.key").stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("headers", "allowed"),
    [
        ({"origin": "http://127.0.0.1:1", "host": "127.0.0.1:1", "x-orca": "1"}, True),
        ({"origin": "http://localhost:1", "host": "localhost:1", "x-orca": "1"}, True),
        ({"origin": "http://127.0.0.1:1", "host": "127.0.0.1:1"}, False),
        ({"host": "127.0.0.1:1", "x-orca": "1"}, False),
        ({"origin": "null", "host": "127.0.0.1:1", "x-orca": "1"}, False),
        ({"origin": "http://127.0.0.1:2", "host": "127.0.0.1:1", "x-orca": "1"}, False),
        ({"origin": "https://127.0.0.1:1", "host": "127.0.0.1:1", "x-orca": "1"}, False),
        ({"origin": "http://evil.example", "host": "127.0.0.1:1", "x-orca": "1"}, False),
        (
            {
                "origin": "http://127.0.0.1:1",
                "host": "127.0.0.1:1",
                "x-orca": "1",
                "sec-fetch-site": "same-site",
            },
            False,
        ),
    ],
)
def test_changes_need_the_same_origin_and_the_header(headers: dict[str, str], allowed: bool) -> None:
    assert Access(KEY, port=1).may_change(headers) is allowed


@pytest.mark.parametrize("host", ["", "evil.example", "127.0.0.1", "127.0.0.1:2", "127.0.0.1:1.evil.example"])
def test_other_hosts_are_foreign(host: str) -> None:
    assert not Access(KEY, port=1).host_allowed(host)


def test_vendored_files_are_the_listed_ones() -> None:
    folder = STATIC / "vendor"
    listed = json.loads((folder / "vendored.json").read_text("utf-8"))
    for entry in listed:
        assert hashlib.sha256((folder / entry["file"]).read_bytes()).hexdigest() == entry["sha256"]
        assert (folder / entry["licence_file"]).read_text("utf-8").strip()
        assert entry["version"]
        assert entry["licence"]
    known = {entry["file"] for entry in listed} | {entry["licence_file"] for entry in listed}
    assert {path.name for path in folder.iterdir()} == known | {"vendored.json"}


def test_lanes_are_bounded_however_many_windows_there_are() -> None:
    bars = [Bar((f"T{n % 100}", ""), n * 10, n * 10 + 10, "succeeded", n * 10 + 12) for n in range(20_000)]
    lanes = lanes_of(bars, 0, 200_000)
    assert len(lanes) == LANES_MAX
    assert all(len(path) < 20 * COLUMNS for lane in lanes for path in lane.paths.values())


def test_lanes_count_overlaps_and_show_the_worst_state_of_a_step() -> None:
    key = ("T", "")
    spans = [(0, 600, "succeeded"), (500, 1200, "failed"), (600, 700, "succeeded")]
    bars = [Bar(key, a, b, state, b) for a, b, state in spans]
    (lane,) = lanes_of(bars, 0, 1200)
    assert lane.overlaps == 2
    assert lane.gap_count == 0
    assert lane.paths == {"succeeded": "M0 0h500v20h-500z", "failed": "M500 0h700v20h-700z"}
