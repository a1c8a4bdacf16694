"""What orchestra_sdk says about the environment, and the stubs that orca_python finds."""

from __future__ import annotations

import importlib
import logging
import os
import sys
import uuid
from pathlib import Path

import pytest

from orchestra_sdk.check_environment import validate_environment
from orchestra_sdk.linked_connections import list_linked_connections

RUN = "11111111-2222-4333-8444-555555555555"


@pytest.mark.parametrize(
    ("environ", "level", "message"),
    [
        ({}, logging.WARNING, "No environment variables loaded"),
        ({"A": "b"}, logging.WARNING, "Missing environment variables: ORCHESTRA_TASK_RUN_ID"),
        (
            {"ORCHESTRA_TASK_RUN_ID": "x"},
            logging.ERROR,
            "Error processing environment variables: badly formed hexadecimal UUID string",
        ),
    ],
)
def test_what_is_wrong_is_logged(
    environ: dict[str, str],
    level: int,
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(os, "environ", environ)
    with caplog.at_level(logging.DEBUG):
        assert validate_environment() is None
    monkeypatch.undo()
    expected = ("orchestra_sdk.check_environment", level, message)
    found = caplog.record_tuples[0]
    # A hint may follow in further lines.
    assert (*found[:2], found[2].splitlines()[0]) == expected


def test_what_is_right(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORCHESTRA_TASK_RUN_ID", RUN)
    assert validate_environment() == uuid.UUID(RUN)
    monkeypatch.setenv("DB__MAIN__USER", "me")
    assert [one.integration for one in list_linked_connections()] == ["DB"]


@pytest.mark.parametrize("place", ["registry", ".orca/registry"])
def test_stubs_come_from_the_nearest_folder(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    (tmp_path / place).mkdir(parents=True)
    (tmp_path / place / "algorithms.py").write_text("mean = 1\n")
    monkeypatch.chdir(below)
    for name in ("orca_python.registry", "orca_python.registry.algorithms"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    assert importlib.import_module("orca_python.registry.algorithms").mean == 1
