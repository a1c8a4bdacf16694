"""What is public is there, is documented, and costs nothing to those who do not use it."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

import orca.common

PACKAGE = Path(orca.common.__file__).parent
REFERENCE = Path(__file__).parents[4] / "docs" / "reference" / "common.md"
MODULES = sorted(path.stem for path in PACKAGE.glob("*.py") if not path.stem.startswith("_"))

HEAVY = {"asyncio", "click", "pydantic", "rich", "structlog", "tenacity", "typer"}
#: What each module may load by being imported; the others load none of the heavy ones.
ALLOWED = {"completion": {"typer", "rich"}, "config": {"pydantic"}}


@pytest.mark.parametrize("name", MODULES)
def test_every_public_name_is_there_and_in_the_reference(name: str) -> None:
    module = importlib.import_module(f"orca.common.{name}")
    page = REFERENCE.read_text()
    assert f"orca.common.{name}" in page
    for public in module.__all__:
        assert hasattr(module, public)
        assert public in page, f"orca.common.{name}.{public} is not in {REFERENCE.name}"
    assert sorted(module.__all__, key=_as_ruff_sorts) == list(module.__all__)


def _as_ruff_sorts(name: str) -> tuple[int, str]:
    return (0 if name.isupper() else 1 if name[0].isupper() else 2, name)


@pytest.mark.parametrize("name", ["__init__", *MODULES])
def test_nothing_heavy_is_imported_by_the_way(name: str) -> None:
    module = "orca.common" if name == "__init__" else f"orca.common.{name}"
    code = f"import {module}, json, sys; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    loaded = HEAVY & set(json.loads(done.stdout))
    assert loaded <= ALLOWED.get(name, set())


@pytest.mark.parametrize("name", MODULES)
def test_importing_adds_no_handler_and_starts_no_thread(name: str) -> None:
    code = (
        f"import orca.common.{name}, logging, threading\n"
        "assert logging.getLogger().handlers == []\n"
        "assert all(not logging.getLogger(n).handlers for n in logging.root.manager.loggerDict if 'orca' in n)\n"
        "assert threading.active_count() == 1\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
