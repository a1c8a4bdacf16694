"""A processor that serves on a thread, and a core's side of calling it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import grpc
from connections import patient_options

from orca.processor import convert, wire
from orca.processor.model import Window
from orca.processor.processor import Processor

WINDOW = Window(1_747_582_274, 1_747_582_304, "Every30Second", "1.0.0", "Example", {"asset_id": 1})


class Serving:
    """The running processor.

    Attributes:
        server: Its server.
        channel: A core's channel to it.
    """

    def __init__(self, proc: Processor, server: Any, channel: Any) -> None:
        self.proc, self.server, self.channel = proc, server, channel

    def execute(
        self, *names: str, request: Any = None, timeout_s: float = 60, metadata: Any = ()
    ) -> dict[str, Any]:
        """The results of one call by full name."""
        request = request if request is not None else make_request(*names)
        stream = wire.call(self.channel, wire.OrcaProcessor.ExecuteDagPart)(
            request, timeout=timeout_s, metadata=metadata
        )
        found = {}
        for message in stream:
            assert message.exec_id == request.exec_id
            answer = message.algorithm_result
            name = f"{answer.algorithm.name}_{answer.algorithm.version}"
            found[name] = convert.result_from_wire(answer.result)
        return found

    def value(self, name: str, **options: Any) -> Any:
        """The value of one algorithm; its failure is an assertion error."""
        record = self.execute(name, **options)[name]
        assert record.ok, record.error
        return record.value

    def error(self, name: str, **options: Any) -> Any:
        """The details of one algorithm's failure."""
        record = self.execute(name, **options)[name]
        assert not record.ok
        return record.error

    def health(self, timeout_s: float = 30) -> Any:
        return wire.call(self.channel, wire.OrcaProcessor.HealthCheck)(
            wire.HealthCheckRequest(timestamp=1), timeout=timeout_s
        )


def make_request(*names: str, window: Window = WINDOW, exec_id: str = "exec") -> Any:
    request = wire.ExecutionRequest(exec_id=exec_id, window=convert.window_to_wire(window))
    for full in names:
        name, _, version = full.rpartition("_")
        execution = request.algorithm_executions.add()
        execution.algorithm.name, execution.algorithm.version = name, version
    return request


def add_dependency(execution: Any, full: str, rows: Sequence[Any], window: Window | None = None) -> None:
    """Put results of a dependency into a request."""
    entry = execution.dependencies.add()
    entry.algorithm.name, _, entry.algorithm.version = full.rpartition("_")
    for value in rows:
        row = entry.result.add()
        convert.fill_result(row.result, value, convert.kind_of(value))
        if window is not None:
            row.window.CopyFrom(convert.window_to_wire(window))


@contextmanager
def serving(proc: Processor, *, register: bool = False, credentials: Any = None) -> Iterator[Serving]:
    """Serve ``proc`` on a thread until the block ends."""
    ready = threading.Event()
    servers: list[Any] = []
    failures: list[BaseException] = []

    def listening(server: Any) -> None:
        servers.append(server)
        ready.set()

    def run() -> None:
        try:
            asyncio.run(proc.serve(register=register, ready=listening))
        except BaseException as error:  # noqa: BLE001
            failures.append(error)
        finally:
            ready.set()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        assert ready.wait(60)
        if failures:
            raise failures[0]
        target = f"localhost:{servers[0].port}" if credentials else f"127.0.0.1:{servers[0].port}"
        options = patient_options()
        channel = (
            grpc.secure_channel(target, credentials, options=options)
            if credentials
            else grpc.insecure_channel(target, options=options)
        )
        with channel:
            yield Serving(proc, servers[0], channel)
    finally:
        proc.stop()
        thread.join(60)
    assert not thread.is_alive()
    if failures:
        raise failures[0]
