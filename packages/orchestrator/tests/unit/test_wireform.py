"""What a processor announces becomes the definitions that the core runs by."""

from __future__ import annotations

import json

import pytest

from orca.orchestrator.errors import InvalidFieldError
from orca.orchestrator.model import AlgorithmOptions
from orca.orchestrator.settings import CoreSettings
from orca.orchestrator.wireform import read_registration
from orca.processor import Processor, convert, wire
from orca.processor.registration import OPTIONS_KEY, metadata_for

SETTINGS = CoreSettings(timeout_s=60.0, attempts_max=2)


def announced() -> tuple[wire.ProcessorRegistration, str]:
    proc = Processor("ml")

    @proc.algorithm(
        "Slow", "1.0.0", "Every30Second", "1.0.0", timeout_s=1.5, attempts=4, concurrency=3, cache=True
    )
    def slow() -> float:
        return 1.0

    @proc.algorithm("Plain", "1.0.0", "Every30Second", "1.0.0")
    def plain() -> float:
        return 1.0

    proc.check()
    spec = proc.spec("127.0.0.1:50505")
    return convert.processor_to_wire(spec), dict(metadata_for(spec))[OPTIONS_KEY]


def test_options_of_our_worker_reach_the_core() -> None:
    message, text = announced()
    registration = read_registration(message, SETTINGS, text)
    options = {entry.name: entry.options for entry in registration.algorithms}
    assert options["Slow"] == AlgorithmOptions(timeout_s=1.5, attempts_max=4, concurrency_max=3, cache=True)
    assert options["Plain"] == AlgorithmOptions(timeout_s=60.0, attempts_max=2)


def test_a_published_worker_gets_the_settings_of_the_core() -> None:
    message, _ = announced()
    registration = read_registration(message, SETTINGS)
    assert {entry.options for entry in registration.algorithms} == {AlgorithmOptions(60.0, 2)}


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("[", OPTIONS_KEY),
        ("[]", OPTIONS_KEY),
        (json.dumps({"Slow_1.0.0": {"timeout_s": -1}}), f"{OPTIONS_KEY}[Slow_1.0.0].timeout_s"),
        (json.dumps({"Slow_1.0.0": {"attempts_max": 1.5}}), f"{OPTIONS_KEY}[Slow_1.0.0].attempts_max"),
        (json.dumps({"Slow_1.0.0": {"concurrency_max": True}}), f"{OPTIONS_KEY}[Slow_1.0.0].concurrency_max"),
        (json.dumps({"Slow_1.0.0": {"cache": 1}}), f"{OPTIONS_KEY}[Slow_1.0.0].cache"),
        (json.dumps({"Slow_1.0.0": {"attempts_max": 10**12}}), f"{OPTIONS_KEY}[Slow_1.0.0].attempts_max"),
    ],
)
def test_an_option_that_cannot_be_is_named(text: str, field: str) -> None:
    message, _ = announced()
    with pytest.raises(InvalidFieldError) as caught:
        read_registration(message, SETTINGS, text)
    assert [fault.field for fault in caught.value.faults] == [field]
