"""The published packages themselves, each in an environment of its own, on the other side of the wire."""

from __future__ import annotations

import datetime as dt
import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from serving import serving

from orca.processor import ExecutionParams, Processor, WindowType, convert
from published import published_python
from scripted_core import scripted_core

CORE = Path(__file__).resolve().parents[1] / "support_processor" / "published_core.py"


@contextmanager
def published_core(version: str, generation: str) -> Iterator[tuple[int, Any]]:
    """The port of a core in the words of ``version``, and a function that reads its next line."""
    python = published_python(f"orca-python=={version}")
    with subprocess.Popen(
        [str(python), str(CORE), generation], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None

        def read() -> Any:
            return json.loads(child.stdout.readline())  # type: ignore[union-attr]

        yield read()["port"], read
        child.stdin.close()
        child.wait(60)


@pytest.mark.parametrize(("version", "generation"), [("0.2.0", "0.2"), ("0.6.0", "0.6"), ("0.13.0", "0.13")])
def test_our_processor_registers_with_and_is_run_by_every_generation(version: str, generation: str) -> None:
    with published_core(version, generation) as (port, read):
        proc = Processor("ml", core=f"grpc://127.0.0.1:{port}", bind="127.0.0.1:0", environ={})

        @proc.algorithm("MyAlgo", "1.0.0", "Every30Second", "1.0.0")
        def my_algorithm() -> dict[str, int]:
            return {"result": 42}

        @proc.algorithm("Uses", "1.0.0", WindowType("Every30Second", "1.0.0", "half"))
        def uses(params: ExecutionParams) -> float:
            assert params.window.start == dt.datetime(2025, 5, 18, 15, 31, 14, tzinfo=dt.timezone.utc)
            return float(params.dependencies["Mean"]) * 2

        @proc.algorithm("Bad", "1.0.0", "Every30Second", "1.0.0")
        def bad() -> list[float]:
            raise KeyError("threshold")

        with serving(proc, register=True):
            registration = read()["registration"]
            answer = read()
    assert registration["name"] == "ml"
    assert [one["name"] for one in registration["supportedAlgorithms"]] == ["MyAlgo", "Uses", "Bad"]
    assert answer["health"] == 1
    assert int(answer["memory"]) > 1_000_000
    results = answer["results"]
    assert results["MyAlgo"]["status"] == "RESULT_STATUS_SUCEEDED"
    assert results["MyAlgo"]["structValue"] == {"result": 42.0}
    assert results["Uses"]["singleValue"] == 5.0
    assert results["Bad"]["status"] == "RESULT_STATUS_UNHANDLED_FAILED"
    assert results["Bad"]["structValue"]["error"] == "'threshold'"
    assert "KeyError" in results["Bad"]["structValue"]["stack_trace"]


SEED_EMIT = """
from orca_python.main import EmitWindow, Window
EmitWindow(Window(time_from=1747582274, time_to=1747582304, name="Every30Second", version="1.0.0", origin="Example"))
"""
LATER_EMIT = """
import datetime as dt
from orca_python import EmitWindow, Window
utc = dt.timezone.utc
EmitWindow(Window(
    time_from=dt.datetime(2025, 5, 18, 15, 31, 14, tzinfo=utc), time_to=dt.datetime(2025, 5, 18, 15, 31, 44,
    tzinfo=utc), name="Every30Second", version="1.0.0", origin="Example", metadata={"asset_id": 1}))
"""


@pytest.mark.parametrize(("version", "program"), [("0.2.0", SEED_EMIT), ("0.13.0", LATER_EMIT)])
def test_windows_of_the_published_packages_are_understood(version: str, program: str, tmp_path: Path) -> None:
    python = published_python(f"orca-python=={version}")
    with scripted_core(ours=False) as core:
        address = f"127.0.0.1:{core.port}"
        env = {
            "PATH": os.environ["PATH"],
            "ORCASERVER": address,
            "HOST": "127.0.0.1",
            "PORT": "50505",
            "ORCA_CORE": address,
            "PROCESSOR_ADDRESS": "127.0.0.1:50505",
            "PROCESSOR_EXTERNAL_PORT": "50505",
        }
        done = subprocess.run(
            [str(python), "-c", program],
            capture_output=True,
            text=True,
            timeout=60,
            env=env,
            cwd=tmp_path,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        window = convert.window_from_wire(core.windows[0])
    assert window.start == dt.datetime(2025, 5, 18, 15, 31, 14, tzinfo=dt.timezone.utc)
    assert window.duration_s == 30
    assert (window.full_name, window.origin) == ("Every30Second_1.0.0", "Example")
    assert window.metadata == ({} if version == "0.2.0" else {"asset_id": 1})
    assert (convert.seed_window_times(core.windows[0]) is not None) == (version == "0.2.0")


PUBLISHED_PROCESSOR = """
from orca_python import Processor, StructResult, WindowType, ExecutionParams
proc = Processor("ml")
@proc.algorithm("Mean", "1.0.0", WindowType("Every30Second", "1.0.0", "half"))
def mean(params: ExecutionParams) -> StructResult:
    "The mean."
    return StructResult({"origin": params.window.origin})
proc.Register()
"""


def test_a_registration_of_the_published_sdk_reads_as_a_spec(tmp_path: Path) -> None:
    python = published_python("orca-python==0.13.0")
    with scripted_core(ours=False) as core:
        env = {
            "PATH": os.environ["PATH"],
            "ORCA_CORE": f"127.0.0.1:{core.port}",
            "PROCESSOR_ADDRESS": "127.0.0.1:50505",
            "PROCESSOR_EXTERNAL_PORT": "50505",
        }
        subprocess.run(
            [str(python), "-c", PUBLISHED_PROCESSOR], timeout=60, env=env, cwd=tmp_path, check=True
        )
        spec = convert.processor_from_wire(core.registrations[0])
    assert (spec.name, spec.address, spec.algorithms[0].full_name) == ("ml", "127.0.0.1:50505", "Mean_1.0.0")
    assert spec.algorithms[0].result_kind.name == "STRUCT"
    assert spec.algorithms[0].description == "The mean."
