"""What type checkers see of the public names; checked by `nox -s types`, never run."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

from typing_extensions import assert_type

from orca.common.retry import Decision, RetryPolicy
from orca.processor import Emitted, OrcaClient, Processor, Results, Run, Window
from orca.statemachine import MachineDef, OrcaMachine, TransitionResult, parse_orca
from orchestra.sdk import OrchestraSDK

proc = Processor("ml")


@proc.algorithm("Mean", "1.0.0", "Every30Second", "1.0.0")
def mean(values: list[float]) -> float:
    return sum(values) / len(values)


assert_type(mean([1.0]), float)


def client(core: OrcaClient, window: Window) -> None:
    emitted = core.emit(window)
    assert_type(emitted, Emitted)
    assert_type(core.wait(emitted), Run)
    assert_type(core.results("Mean"), Results)


async def machine(text: str) -> None:
    definition = parse_orca(text)
    assert_type(definition, MachineDef)
    assert_type(await OrcaMachine(definition).send("GO"), TransitionResult)


sdk = OrchestraSDK("key")


@sdk.run
def load(rows: int) -> str:
    return str(rows)


@sdk.run()
async def fetch(rows: int) -> str:
    return str(rows)


@sdk.run
def stream(rows: int) -> Iterator[int]:
    yield rows


@sdk.run
async def events(rows: int) -> AsyncIterator[int]:
    yield rows


assert_type(load(1), str)


async def awaited() -> None:
    assert_type(await fetch(1), str)


assert_type(stream(1), Iterator[int])
assert_type(events(1), AsyncIterator[int])


def retried(policy: RetryPolicy) -> None:
    assert_type(policy.call(lambda: 3, decide=lambda error: Decision(retry=False, after_s=None)), int)
