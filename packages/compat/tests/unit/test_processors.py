"""Definitions with orca_python: both forms, mistakes where they stand, functions of the first form."""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
from typing import Any

import grpc
import pytest

from orca.processor import InvalidDefinitions
from orca_python import (
    EmitWindow,
    ExecutionParams,
    MetadataField,
    Processor,
    StructResult,
    Window,
    WindowType,
    main,
)
from orca_python.exceptions import (
    BaseOrcaException,
    InvalidAlgorithmArgument,
    InvalidAlgorithmReturnType,
    InvalidDependency,
    InvalidMetadataFieldArgument,
    InvalidWindowArgument,
)

HALF = WindowType("Half", "1.0.0", "half a minute")


def function() -> int:
    return 1


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("bad name", "1.0.0", "Half", "1.0.0"), InvalidAlgorithmArgument),
        (("Good", "1", "Half", "1.0.0"), InvalidAlgorithmArgument),
        (("Good", "1.0.0", "half", "1.0.0"), InvalidAlgorithmArgument),
        (("Good", "1.0.0", "Half", "1"), InvalidAlgorithmArgument),
        (("Good", "1.0.0", "Half", "1.0.0", [function]), InvalidDependency),
        (("Good", "1.0.0", HALF, "text", [function]), InvalidDependency),
    ],
)
def test_a_mistake_is_raised_where_it_stands(arguments: tuple[Any, ...], error: type[Exception]) -> None:
    proc = Processor("ml")
    with pytest.raises(error):
        proc.algorithm(*arguments)(function)
    assert len(proc.registry) == 0
    proc.check()


def test_what_cannot_be_returned() -> None:
    proc = Processor("ml")

    def wrong() -> bytes:
        return b""

    with pytest.raises(InvalidAlgorithmReturnType):
        proc.algorithm("Wrong", "1.0.0", HALF, "d")(wrong)


def test_the_values_check_themselves() -> None:
    with pytest.raises(InvalidMetadataFieldArgument):
        MetadataField("", "text")
    with pytest.raises(InvalidWindowArgument):
        WindowType("lower", "1.0.0", "text")
    with pytest.raises(BaseOrcaException):
        main.get_id(len)


def test_annotations_that_are_not_there_yet() -> None:
    proc = Processor("ml")

    @proc.algorithm("Early", "1.0.0", HALF, "d")
    def early(params: Later) -> StructResult:  # type: ignore[name-defined]  # noqa: F821
        return StructResult({})

    assert main.get_id(early) == "Early_1.0.0"
    with pytest.raises(InvalidDefinitions, match="Later"):
        proc.check()


def test_functions_of_the_first_form_get_what_they_ask_for() -> None:
    proc = Processor("ml")
    seen: list[Any] = []

    @proc.algorithm("Base", "1.0.0", "Half", "1.0.0")
    def base() -> int:
        return 2

    @proc.algorithm("Plain", "1.0.0", "Half", "1.0.0", [base])
    def plain(dependencies: Any = None) -> int:
        seen.append(dependencies)
        return 1

    @proc.algorithm("Any", "1.0.0", "Half", "1.0.0")
    async def anything(**given: Any) -> int:
        seen.append(given)
        return 1

    proc.check()
    by_name = {one.name: one.function for one in proc.registry}
    by_name["Plain"]({"Base_1.0.0": 2.0})
    by_name["Plain"]({})
    asyncio.run(by_name["Any"]({"Base_1.0.0": 2.0}))
    assert seen == [{"Base_1.0.0": 2.0}, None, {"dependencies": {"Base_1.0.0": 2.0}}]
    assert by_name["Plain"].__name__ == "plain"
    assert plain(5) == 1


def test_both_forms_in_one_processor() -> None:
    proc = Processor("ml", 3)

    @proc.algorithm("First", "1.0.0", "Half", "1.0.0")
    def first() -> dict[str, int]:
        return {"a": 1}

    @proc.algorithm("Later", "1.0.0", HALF, depends_on=[first])
    def later(params: ExecutionParams) -> StructResult:
        """What it is for."""
        return StructResult({})

    specs = proc.spec("h:1").algorithms
    assert [one.window_type.full_name for one in specs] == ["Half_1.0.0"] * 2
    assert specs[1].dependencies[0].full_name == "First_1.0.0"
    assert specs[1].description == "What it is for."


def test_a_core_that_is_away_is_an_error_of_grpc_too(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("ORCASERVER", "grpc://127.0.0.1:1")
    monkeypatch.delenv("ORCA_CORE", raising=False)
    at = dt.datetime(2026, 1, 1, tzinfo=dt.timezone.utc)
    with caplog.at_level(logging.INFO, "orca_python.main"), pytest.raises(grpc.RpcError) as caught:
        EmitWindow(Window(at, at, "Half", "1.0.0", "me"))
    assert isinstance(caught.value, ConnectionError)
    assert isinstance(caught.value, BaseOrcaException)
    assert type(caught.value).__name__ == "CoreUnreachable"
    assert {record.name for record in caplog.records} == {"orca_python.main"}
