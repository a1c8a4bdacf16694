"""Importing a package costs little and starts nothing: heavy parts wait until they are used."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = [
    "grpc",
    "httpx",
    "lark",
    "numpy",
    "pandas",
    "rich",
    "sqlite3",
    "starlette",
    "structlog",
    "tenacity",
    "typer",
]


def run(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout


@pytest.mark.parametrize("module", ["orca.common", "orca.statemachine", "orchestra.sdk", "orca.processor"])
def test_an_import_pulls_in_nothing_heavy(module: str) -> None:
    loaded = run(f"import {module}, sys; print(*[m for m in {HEAVY!r} if m in sys.modules])").split()
    assert loaded == []


@pytest.mark.parametrize(
    "module", ["orca.common", "orca.statemachine", "orchestra.sdk", "orca.processor", "orca.orchestrator"]
)
def test_an_import_adds_no_log_handler_and_starts_no_thread(module: str) -> None:
    code = f"import {module}, logging, threading; print(len(logging.getLogger().handlers), threading.active_count())"
    assert run(code).split() == ["0", "1"]
