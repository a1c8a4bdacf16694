"""The quick sizes of the reliability scenarios."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

RUN = Path(__file__).resolve().parents[4] / "tests" / "reliability" / "statemachine" / "run.py"
NAMES = [
    "resume_after_every_step",
    "kill_at_any_moment",
    "damage_snapshots",
    "many_senders",
    "many_timers",
    "broken_texts",
    "effects_while_it_crashes",
    "many_writers",
]


@pytest.mark.parametrize("name", NAMES)
def test_scenario(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = importlib.util.spec_from_file_location("orca_reliability_statemachine", RUN)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)  # its dataclasses look themselves up
    spec.loader.exec_module(module)
    assert {scenario.__name__ for scenario in module.SCENARIOS} == set(NAMES)
    outcome = getattr(module, name)(20_261, full=False)
    assert outcome.problems == []
    assert outcome.counts
