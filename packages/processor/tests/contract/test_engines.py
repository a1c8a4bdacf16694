"""Algorithms on real distributed engines, each in an environment of its own."""

from __future__ import annotations

import json
import os
import subprocess
from importlib.metadata import requires
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from published import published_python

ROOT = Path(__file__).resolve().parents[4]
SUPPORT = ROOT / "packages" / "processor" / "tests" / "support_processor"
SOURCES = [ROOT / "packages" / name / "src" for name in ("common", "processor")]
# Nothing of Ray leaves this machine, and nobody else uses it.
RAY = {
    "RAY_AUTH_MODE": "disabled",
    "RAY_USAGE_STATS_ENABLED": "0",
    # It would end workers when other programs have taken the machine's memory.
    "RAY_memory_monitor_refresh_ms": "0",
}


def requirements() -> list[str]:
    """What our packages need; they themselves come from the checkout, so that it is their present state that is run."""
    declared = [one for name in ("orca-common", "orca-processor") for one in requires(name) or ()]
    return [one for one in declared if "extra ==" not in one and not one.startswith("orca-")]


@pytest.mark.parametrize(
    ("engine", "requirement"), [("dask", "distributed==2026.8.0"), ("ray", "ray==2.60.0")]
)
def test_algorithms_run_on_an_engine_and_fail_alone(engine: str, requirement: str, tmp_path: Path) -> None:
    python = published_python(requirement, *requirements())
    path = os.pathsep.join(str(one) for one in [*SOURCES, SUPPORT, ROOT / "tests" / "support"])
    # Ray refuses files inside of the virtual environment that is active, where nox puts temporary folders.
    own = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
    with TemporaryDirectory(prefix="orca-", dir="/tmp") as short:
        done = subprocess.run(
            [str(python), str(SUPPORT / "engine_program.py"), engine],
            env={**own, "PYTHONPATH": path, "TMPDIR": short, "RAY_TMPDIR": short, **RAY},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=550,
            check=False,
        )
    line = next((one for one in done.stdout.splitlines() if one.startswith("RESULT ")), None)
    assert line is not None, done.stdout + done.stderr[-5000:]
    answer: dict[str, Any] = json.loads(line.removeprefix("RESULT "))
    records = answer["records"]
    assert records["Double_1.0.0"]["error"] == {}
    assert records["Double_1.0.0"]["value"]["asset"] == 1.0
    assert records["Double_1.0.0"]["value"]["pid"] != answer["pid"]
    assert records["Fail_1.0.0"]["error"]["type"] == "KeyError"
    assert records["Fail_1.0.0"]["error"]["kind"] == "raised"
    assert records["Die_1.0.0"]["error"]["kind"] == "lost"
    if engine == "ray":
        assert records["Hang_1.0.0"]["error"]["kind"] == "timeout"
    assert records["Double_1.0.0 again"]["value"]["asset"] == 1.0
    assert records["Named_1.0.0"]["value"] == 1.0
    assert records["Unlike_1.0.0"]["value"]["id"] != records["Unlike_1.0.0 again"]["value"]["id"]
