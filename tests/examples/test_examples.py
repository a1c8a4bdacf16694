"""Every example runs and prints what ``expected.txt`` beside it says.

An example is a folder ``examples/<name>/`` with ``main.py`` and ``expected.txt``; ``...`` in the expectation matches
anything. It runs in a fresh working directory, as a user would run it.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from expected_output import matches
from workspace_checks import ROOT

EXAMPLES = sorted(path.parent for path in (ROOT / "examples").glob("*/main.py"))
PROGRAMS = sorted(path for folder in EXAMPLES for path in folder.iterdir() if path.suffix in (".py", ".orca"))
LINES_MAX = 80
EXAMPLE_TIMEOUT_S = 300


def test_there_are_examples() -> None:
    assert EXAMPLES


@pytest.mark.parametrize("path", PROGRAMS, ids=[f"{path.parent.name}/{path.name}" for path in PROGRAMS])
def test_a_program_is_short(path: Path) -> None:
    assert len(path.read_text("utf-8").splitlines()) < LINES_MAX


@pytest.mark.parametrize("folder", EXAMPLES, ids=[folder.name for folder in EXAMPLES])
def test_an_example_prints_what_it_should(folder: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(folder / "main.py")],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=EXAMPLE_TIMEOUT_S,
    )
    assert done.returncode == 0, done.stderr
    expected = (folder / "expected.txt").read_text("utf-8")
    assert matches(expected, done.stdout), f"expected:\n{expected}\nprinted:\n{done.stdout}"
