from __future__ import annotations

import asyncio
import json
import logging
import socket
import sys
import threading
from pathlib import Path
from typing import Any

import grpc
import pytest
from log_lines import own_lines
from own_loop import own_loop
from serving import serving

from orca.common.retry import RetryPolicy
from orca.common.testing import FakeClock
from orca.processor import Dep, MetadataField, Processor, WindowType, convert, lookback, wire
from orca.processor.definition import look_back
from orca.processor.discovery import find_core
from orca.processor.errors import CoreError, CoreUnreachable, MissingEnvVar
from orca.processor.registration import register_once
from orca.processor.specs import ProcessorSpec
from ports import free_port
from scripted_core import ScriptedCore, scripted_core

TYPE = WindowType(
    "Every30Second", "1.0.0", "half a minute", (MetadataField("asset_id", "which", filter=True),)
)


def processor(core: ScriptedCore, **options: Any) -> Processor:
    proc = Processor("ml", bind="127.0.0.1:0", core=core.address, environ={}, **options)

    @proc.algorithm("Mean", "1.0.0", TYPE, "the mean", timeout_s=2.5, attempts=3, concurrency=4, cache=True)
    def mean() -> float:
        return 1.0

    @proc.algorithm(
        "Alarm", "1.0.0", TYPE, depends_on=[mean, lookback(alone(proc), n=3)], lookback=look_back(n=2)
    )
    def alarm() -> dict[str, float]:
        """Says when.

        And more.
        """
        return {}

    return proc


def alone(proc: Processor) -> Any:
    @proc.algorithm("Other", "2.0.0", TYPE)
    def other() -> list[float]:
        return []

    return other


def test_the_registration_tells_everything() -> None:
    with scripted_core() as core:
        proc = processor(core, project="farm")
        proc.register()
        assert not proc.find_address().bind.endswith(":0")
        message = core.registrations[0]
        metadata = core.metadata["RegisterProcessor"][0]
    assert (message.name, message.project_name) == ("ml", "farm")
    host, _, port = message.connection_str.rpartition(":")
    assert (host, int(port) > 0) == ("127.0.0.1", True)
    mean, other, alarm = message.supported_algorithms
    assert (mean.description, other.description, alarm.description) == ("the mean", "Other", "Says when.")
    assert [one.result_type for one in (mean, other, alarm)] == [wire.VALUE, wire.ARRAY, wire.STRUCT]
    assert [(one.name, one.lookback_num) for one in alarm.dependencies] == [("Mean", 0), ("Other", 3)]
    assert {one.processor_name for one in alarm.dependencies} == {"ml"}
    assert alarm.lookback_num == 2
    assert mean.window_type.metadataFields[0].filter
    assert metadata["orca-features"] == "chains"
    assert json.loads(metadata["orca-algorithm-options"]) == {
        "Mean_1.0.0": {"timeout_s": 2.5, "attempts_max": 3, "concurrency_max": 4, "cache": True}
    }


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere two sockets cannot have one port")
@pytest.mark.parametrize("transport", ["asyncio", "grpc"])
@pytest.mark.parametrize("bind", ["127.0.0.1:0", "0.0.0.0:0"])
def test_nobody_else_is_given_the_port_that_was_registered(bind: str, transport: Any) -> None:
    with scripted_core() as core:
        proc = Processor("ml", bind=bind, core=core.address, environ={}, transport=transport)
        proc.algorithm("One", "1.0.0", TYPE)(lambda: 1.0)
        proc.register()
        port = int(core.registrations[0].connection_str.rpartition(":")[2])
        with socket.socket() as other, pytest.raises(OSError, match="in use"):
            other.bind(("127.0.0.1", port))
        with serving(proc) as running:
            assert running.server.port == port
            assert running.value("One_1.0.0") == 1.0


def test_the_lines_of_the_page(caplog: pytest.LogCaptureFixture) -> None:
    with scripted_core() as core, caplog.at_level(logging.INFO, logger="orca.processor"):
        proc = Processor("ml", bind="127.0.0.1:0", core=core.address, environ={})
        proc.Register()
    assert own_lines(caplog) == [
        "Preparing to register processor 'ml' with Orca Core",
        'Algorithm registration response recieved: received: true message: "Successfully registered processor"',
    ]


def test_a_refusal_is_an_error_and_never_an_exit() -> None:
    with scripted_core() as core:
        core.answers["RegisterProcessor"] = lambda request, context: wire.Status(
            received=False, message="no room"
        )
        with pytest.raises(CoreError, match="no room"):
            processor(core).register()

        async def invalid(request: Any, context: Any) -> Any:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "supported_algorithms[0].name: empty")

        core.answers["RegisterProcessor"] = invalid
        with pytest.raises(CoreError, match=r"supported_algorithms\[0\]\.name"):
            processor(core).register()
        with pytest.raises(CoreError, match="supported"):
            asyncio.run(asyncio.wait_for(processor(core).serve(), 60))


def test_without_a_core_there_is_a_clear_error(tmp_path: Path) -> None:
    proc = Processor("ml", environ={}, folder=tmp_path)
    with pytest.raises(MissingEnvVar, match="orca start"):
        proc.register()


def test_registering_waits_for_the_core_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    clock = FakeClock()
    spec = ProcessorSpec("ml", "3", "127.0.0.1:1")
    core = find_core("127.0.0.1:1", environ={})
    with pytest.raises(CoreUnreachable):
        register_once(spec, core, retry=RetryPolicy(attempts=3), clock=clock)
    assert len(clock.sleeps) == 2
    assert caplog.text.count("Waiting for Orca Core at grpc://127.0.0.1:1") == 1


def test_a_processor_that_starts_before_its_core_registers_when_it_comes() -> None:
    late = ScriptedCore(port=free_port())
    proc = processor(late)
    with serving(proc, register=True):
        late.start()
        message = late.wait_registered()
        assert message.name == "ml"
    late.stop()


def test_a_processor_registers_again_after_its_core_restarts() -> None:
    with scripted_core(port=free_port()) as first:
        proc = processor(first)
        with serving(proc, register=True):
            first.wait_registered()
            first.stop()
            second = ScriptedCore(port=first.port).start()
            try:
                assert second.wait_registered().name == "ml"
            finally:
                second.stop()


@own_loop
async def test_a_core_that_forgot_is_told_again() -> None:
    from orca.processor.registration import Registrar

    with scripted_core() as core:
        spec = ProcessorSpec("ml", "3", "127.0.0.1:1")
        registrar = Registrar(spec, find_core(core.address, environ={}), heartbeat_s=0.02)
        running = asyncio.create_task(registrar.run())
        await asyncio.wait_for(registrar.registered.wait(), 60)
        beats = threading.Event()

        def expose(request: Any, context: Any) -> Any:
            known = core.calls.count("Expose") < 3
            if core.calls.count("Expose") > 4:
                beats.set()
            return wire.InternalState(processors=[wire.ProcessorRegistration(name="ml")] if known else [])

        core.answers["Expose"] = expose
        assert await asyncio.to_thread(beats.wait, 60)
        running.cancel()
        assert len(core.registrations) >= 2
        assert core.calls[0] == "RegisterProcessor"


@own_loop
async def test_a_core_that_cannot_tell_is_not_asked_again() -> None:
    from orca.processor.registration import Registrar

    with scripted_core() as core:

        async def refuse(request: Any, context: Any) -> Any:
            await context.abort(grpc.StatusCode.UNIMPLEMENTED, "no such call")

        core.answers["Expose"] = refuse
        clock = FakeClock()
        registrar = Registrar(
            ProcessorSpec("ml", "3", "a:1"), find_core(core.address, environ={}), clock=clock
        )
        running = asyncio.create_task(registrar.run())
        await asyncio.wait_for(registrar.registered.wait(), 60)
        while len(clock.sleeps) < 5:  # noqa: ASYNC110 - the clock has no event
            await asyncio.sleep(0.005)
        running.cancel()
        assert core.calls.count("Expose") == 1
        assert len(core.registrations) == 1


def test_what_is_sent_reads_back_the_same() -> None:
    with scripted_core() as core:
        proc = processor(core)
        spec = proc.spec("127.0.0.1:5")
        back = convert.processor_from_wire(convert.processor_to_wire(spec))
        assert [one.full_name for one in back.algorithms] == [one.full_name for one in spec.algorithms]
        assert back.algorithms[2].dependencies == spec.algorithms[2].dependencies
        assert Dep("Mean").lookback is None
