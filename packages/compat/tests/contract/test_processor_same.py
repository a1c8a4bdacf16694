"""Processors that register and answer the same with a published orca-python and with this package."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from cores import emit, environment, here, published, running, wait_for_port
from google.protobuf.json_format import MessageToDict

from ports import free_port
from scripted_core import ScriptedCore

START = "\nproc.Register()\nproc.Start()\n"
PROGRAMS = {
    "the first form": (
        "0.2.0",
        """
from orca_python import Processor
proc = Processor("ml", max_workers=4)

@proc.algorithm("Struct", "1.0.0", "Every30Second", "1.0.0")
def struct() -> dict:
    return {"a": 1, "b": [1, 2.5], "c": {"d": True, "e": None, "f": "text"}}

@proc.algorithm("Value", "1.2.3", "Every30Second", "1.0.0")
def value():
    return 4

@proc.algorithm("Array", "1.0.0", "Every30Second", "1.0.0", depends_on=[value])
def array(dependencies=None):
    return [dependencies["Value_1.2.3"], 2, 0.5]

@proc.algorithm("Sum", "1.0.0", "Every30Second", "1.0.0", [struct, array])
def total(**kwargs):
    got = kwargs["dependencies"]
    return got["Struct_1.0.0"]["a"] + sum(got["Array_1.0.0"])

@proc.algorithm("Fails", "1.0.0", "Every30Second", "1.0.0")
def fails():
    raise ValueError("no data")
""",
    ),
    "the later form": (
        "0.13.0",
        '''
import datetime as dt
from orca_python import ExecutionParams, MetadataField, Processor, StructResult, ValueResult, WindowType, lookback
half = WindowType("Every30Second", "1.0.0", "each half minute", [MetadataField("asset", "which one")])
proc = Processor("ml")

@proc.algorithm("Struct", "1.0.0", half, "what it does")
def struct(params: ExecutionParams) -> StructResult:
    span = params.window.time_to - params.window.time_from
    return StructResult({"seconds": span.total_seconds(), "origin": params.window.origin})

@proc.algorithm("Value", "1.0.0", half, depends_on=[struct])
def value(params: ExecutionParams) -> ValueResult:
    """Twice the seconds."""
    rows = params.dependencies.get_result(struct)
    return ValueResult(rows.results[0].result["seconds"] * 2 + len(rows.results))

@proc.algorithm("Late", "1.0.0", half, "looks back", depends_on=[lookback(value, n=3)])
def late(params) -> ValueResult:
    got = params.dependencies.get_result(value)
    return ValueResult(got.results[-1].result)

@proc.algorithm("Fails", "1.0.0", half, "fails")
def fails(params: ExecutionParams) -> ValueResult:
    raise ValueError("no data")
''',
    ),
}


def run(python: Path, source: str, folder: Path, count: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """The registration and the results of a processor, without what belongs to the machine."""
    port = free_port()
    with ScriptedCore() as core:
        with running(source + START, folder, environment(core.address, port), python=python) as log:
            core.wait(lambda: core.registrations)
            wait_for_port(port, log)
            emit(core, metadata={"asset": 7})
            # To the end of the last call, not only to its result: afterwards the processor is ended.
            core.wait(lambda: core.failures or core.runs)
            assert not core.failures, log.read_text()
        assert len(core.results) == count
        registration = MessageToDict(core.registrations[0], preserving_proto_field_name=True)
        results = {name: MessageToDict(one) for name, one in core.results.items()}
    assert registration.pop("connection_str") == f"127.0.0.1:{port}"
    for result in results.values():
        result.pop("timestamp", None)
        result.get("structValue", {}).pop("stack_trace", None)
        result.pop("error", None)  # a field of the contract that the published releases do not know
    return registration, results


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_same(name: str, tmp_path: Path) -> None:
    version, source = PROGRAMS[name]
    count = source.count("@proc.algorithm")
    before, earlier = run(published(version), source, tmp_path / "published", count)
    after, now = run(here, source, tmp_path / "here", count)
    for algorithm in after["supported_algorithms"]:
        if version == "0.2.0":
            # The later contract needs both; the first one has neither.
            assert algorithm.pop("description")
            algorithm.pop("result_type", None)
    assert after == before
    if version == "0.13.0" and sys.version_info < (3, 11):
        # The released 0.13 asks for datetime.UTC, so that on Python 3.10 each of its executions fails.
        assert {result["status"] for result in earlier.values()} == {"RESULT_STATUS_UNHANDLED_FAILED"}
        assert [name for name, result in now.items() if "SUCEEDED" not in result["status"]] == ["Fails_1.0.0"]
        return
    assert now == earlier
