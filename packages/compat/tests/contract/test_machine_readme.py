"""The README examples of published orca-runtime-python releases run with this package in its place.

They are the programs of the state machine page, which the tests of that page run block by block; here it is shown that
the releases print the same blocks, and their quick start runs.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from programs import run_program

import sdists
import seeds
from orca_runtime_python import parse_orca

VERSIONS = ["0.1.0", "0.1.30"]


@pytest.mark.parametrize("version", VERSIONS)
def test_the_quick_start(version: str, tmp_path: Path) -> None:
    blocks = seeds.fenced(sdists.readme("orca-runtime-python", version), "python")
    assert len(blocks) == 4
    done = run_program(blocks[0], tmp_path)
    assert (done.returncode, done.stdout) == (0, "Initial state: pending\nAfter event: fulfilled\n"), (
        done.stderr
    )


@pytest.mark.parametrize("version", VERSIONS)
def test_the_machine_of_the_language_section(version: str) -> None:
    (source,) = seeds.fenced(sdists.readme("orca-runtime-python", version), "orca")
    assert [state.name for state in parse_orca(source).states] == ["idle", "combat", "game_over"]


@pytest.mark.skipif(seeds.MISSING, reason="the seed documents are not beside this checkout")
@pytest.mark.parametrize("version", VERSIONS)
def test_all_blocks_are_those_of_the_page(version: str) -> None:
    text = sdists.readme("orca-runtime-python", version)
    page = seeds.machine_page()
    blocks = [page.quick_start, page.machine, page.bus, page.effects, page.language]
    published = [*seeds.fenced(text, "python"), *seeds.fenced(text, "orca")]
    assert [block.strip() for block in published] == [block.strip() for block in blocks]
