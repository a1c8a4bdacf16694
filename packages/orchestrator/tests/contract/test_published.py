"""The published SDKs, unmodified, each in an environment of its own, against a core of ours."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest
from running import go, running, until

from orca.processor import wire_query as q
from ports import free_port
from published import published_python


def modern_python():
    """0.13.0 fails on Python 3.10, where datetime.UTC does not exist: it gets a later one."""
    if sys.version_info >= (3, 11):
        return sys.executable
    homes = sorted((Path(sys.base_prefix).parent).glob("3.1[1-3].*/bin/python"))
    return str(homes[0]) if homes else None


PYTHON_311 = modern_python()

VIBRATION = """
from orca_python import (ExecutionParams, MetadataField, Processor, StructResult, ValueResult, WindowType, lookback)
import statistics

proc = Processor("vibration")
Every30Second = WindowType("Every30Second", "1.0.0", "thirty seconds of a sensor",
                           metadataFields=[MetadataField("asset_id", "the machine")])

@proc.algorithm("Summary", "1.0.0", Every30Second, "summary statistics")
def summary(params: ExecutionParams) -> StructResult:
    samples = [0.1, 0.2, 0.3, 0.4]
    return StructResult({"mean": statistics.fmean(samples), "max": max(samples)})

@proc.algorithm("Prediction", "1.0.0", Every30Second, "remaining life", depends_on=[summary])
def prediction(params: ExecutionParams) -> ValueResult:
    row = params.dependencies.get_result(summary).results[0]
    assert row.window.name == "Every30Second"
    return ValueResult(100.0 * row.result["mean"] / row.result["max"])

if __name__ == "__main__":
    proc.Register()
    proc.Start()
"""
EMIT_13 = """
import datetime as dt
from orca_python import EmitWindow, Window
start = dt.datetime(2026, 1, 1, tzinfo=dt.timezone.utc)
EmitWindow(Window(start, start + dt.timedelta(seconds=30), "Every30Second", "1.0.0", "test", {"asset_id": 1}))
"""
SEED = """
from orca_python import Processor
proc = Processor("ml")

@proc.algorithm("MyAlgo", "1.0.0", "Every30Second", "1.0.0")
def my_algorithm() -> dict:
    return {"result": 42}

if __name__ == "__main__":
    proc.Register()
    proc.Start()
"""
EMIT_SEED = """
from orca_python import EmitWindow, Window
now = 1767225630
EmitWindow(Window(time_from=now - 30, time_to=now, name="Every30Second", version="1.0.0", origin="Example"))
"""


async def processor_of(core, python, source, folder, environ):
    path = folder / "processor.py"
    path.write_text(source)
    process = await asyncio.create_subprocess_exec(
        str(python),
        str(path),
        env={**os.environ, **environ},
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=None,
    )
    await until(
        lambda: any(i.state == "serving" for link in core.core.links for i in link.instances.values())
    )
    return process


async def emitted_by(python, source, folder, environ):
    path = folder / "emit.py"
    path.write_text(source)
    process = await asyncio.create_subprocess_exec(
        str(python),
        str(path),
        env={**os.environ, **environ},
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()
    return output.decode()


async def ended(process):
    process.terminate()
    try:
        await asyncio.wait_for(process.wait(), 30)
    except asyncio.TimeoutError:
        process.kill()
        await process.wait()


@pytest.mark.skipif(PYTHON_311 is None, reason="the published SDK itself fails on Python 3.10 (datetime.UTC)")
def test_0_13_vibration_example_gives_the_dependent_its_input(tmp_path):
    python = published_python("orca-python==0.13.0", python=PYTHON_311)

    async def main():
        async with running(tmp_path / "core") as core:
            port = free_port()
            environ = {
                "ORCA_CORE": core.address,
                "PROCESSOR_ADDRESS": f"127.0.0.1:{port}",
                "PROCESSOR_EXTERNAL_PORT": str(port),
            }
            process = await processor_of(core, python, VIBRATION, tmp_path, environ)
            try:
                output = await emitted_by(python, EMIT_13, tmp_path, environ)
                assert "PROCESSING_TRIGGERED" in output
                detail = await core.finished(1)
                assert [(e.algorithm.name, e.status) for e in detail.executions] == [
                    ("Summary", "succeeded"),
                    ("Prediction", "succeeded"),
                ]
                (row,) = await core.results("Prediction")
                assert row.value.number == pytest.approx(62.5, abs=1e-4)
                assert row.metadata == '{"asset_id":1.0}'
                (summary,) = await core.results("Summary")
                assert summary.value.json == '{"max":0.4,"mean":0.25}'
            finally:
                await ended(process)

    go(main())


def test_0_2_with_its_environment_variables(tmp_path):
    python = published_python("orca-python==0.2.0", python=PYTHON_311 or sys.executable)

    async def main():
        async with running(tmp_path / "core") as core:
            environ = {"ORCASERVER": core.address, "HOST": "127.0.0.1", "PORT": str(free_port())}
            process = await processor_of(core, python, SEED, tmp_path, environ)
            try:
                await emitted_by(python, EMIT_SEED, tmp_path, environ)
                detail = await core.finished(1)
                assert [(e.algorithm.name, e.status) for e in detail.executions] == [("MyAlgo", "succeeded")]
                (row,) = await core.results("MyAlgo")
                assert row.value.json == '{"result":42.0}'
                (found,) = await core.rows(q.OrcaQuery.ListWindows, q.ListWindowsRequest())
                assert (found.time_from_ns, found.origin) == (1767225600 * 10**9, "Example")
            finally:
                await ended(process)

    go(main())
