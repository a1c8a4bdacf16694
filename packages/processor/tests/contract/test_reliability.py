"""Bad input and bad user code, in a size for every day; the full size is tests/reliability/processor/run.py."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).resolve().parents[4] / "tests" / "reliability" / "processor" / "run.py"
SEED = 20_262


def script() -> Any:
    """The script as a module of its own name: other packages have a ``run.py`` too."""
    name = "processor_reliability"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, SCRIPT)
        assert spec is not None
        assert spec.loader is not None
        sys.modules[name] = module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return sys.modules[name]


@pytest.mark.parametrize("transport", ["asyncio", "grpc"])
@pytest.mark.parametrize("name", ["A-10", "A-11", "A-14"])
def test_the_processor_lives_and_nobody_else_notices(name: str, transport: str) -> None:
    report = script().run_one(name, transport, size="quick", seed=SEED)
    assert report["passed"], report


def test_a_wrong_answer_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(script().misbehaving.EXPECTED, "Raises", "timeout")
    report = script().run_one("A-14", "asyncio", size="quick", seed=SEED)
    assert not report["passed"]
    assert "ThreadRaises: raised" in str(report["wrong"])
