"""The quick size of every reliability scenario; the full size runs outside of this suite."""

from __future__ import annotations

import importlib.util
import random
import sys
from pathlib import Path

import pytest

RUN = Path(__file__).resolve().parents[4] / "tests" / "reliability" / "orchestra" / "run.py"


@pytest.fixture(scope="module")
def reliability():
    spec = importlib.util.spec_from_file_location("orchestra_reliability", RUN)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


@pytest.mark.parametrize("name", [f"C-{n}" for n in range(1, 9)])
def test_promises_hold(reliability, name):
    seed = random.SystemRandom().randrange(1_000_000)
    (facts,) = reliability.run("quick", seed, only=name)
    assert facts["id"] == name


def test_a_broken_promise_is_an_error(reliability):
    with pytest.raises(reliability.BrokenPromiseError, match="C2"):
        reliability.in_order(["a:1", "a:3", "a:2"], "a")
    assert reliability.in_order(["a:1", "b:0", "a:1", "a:2"], "a") == ([1, 2], 1)
