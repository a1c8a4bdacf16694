"""The table of commands that are not installed yet agrees with what the packages beside this one declare."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from orca.common.cli import GROUP, HOMES

PACKAGES = Path(__file__).parents[3]


@pytest.mark.parametrize("command", sorted(HOMES))
def test_whoever_declares_a_command_is_its_home(command: str) -> None:
    for path in PACKAGES.glob("*/pyproject.toml"):
        text = path.read_text()
        _, _, table = text.partition(f'[project.entry-points."{GROUP}"]\n')
        declared = re.findall(r"^([\w-]+) = ", table.partition("\n[")[0], flags=re.MULTILINE)
        if command in declared:
            assert f'name = "{HOMES[command]}"' in text
