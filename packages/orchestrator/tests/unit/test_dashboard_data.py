"""What charts get: columns from stored results, without a browser."""

from __future__ import annotations

from typing import Any

from orca.orchestrator.dashboard.data import _columns


def row(day: int, version: str, station: str, number: float | None) -> dict[str, Any]:
    return {
        "kind": 2,
        "number": number,
        "payload": None,
        "size": None,
        "time_from": day * 10**9,
        "time_to": (day + 1) * 10**9,
        "window_id": day,
        "filter_key": f'{{"station":"{station}"}}' if station else "",
        "version": version,
    }


def test_versions_lie_over_each_other_and_lanes_share_their_moments() -> None:
    found = [row(1, "1.0.0", "sf", 1.0), row(1, "2.0.0", "sf", 1.5), row(2, "2.0.0", "sf", 2.5)]
    drawn = _columns(found, "")
    assert drawn["names"] == ["1.0.0 sf", "2.0.0 sf"]
    assert drawn["times"] == [2.0, 3.0]
    assert drawn["series"] == [[1.0, None], [1.5, 2.5]]


def test_one_version_is_not_named_and_a_lane_without_metadata_has_its_fields_name() -> None:
    assert _columns([row(1, "1.0.0", "sf", 1.0), row(1, "1.0.0", "seattle", 2.0)], "")["names"] == [
        "sf",
        "seattle",
    ]
    assert _columns([row(1, "1.0.0", "", 1.0)], "")["names"] == ["value"]
