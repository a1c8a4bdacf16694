"""A small Orca core for tests: real gRPC on loopback, nothing stored.

It keeps what it hears, triggers the processors of a window in the order of their dependencies, one call per algorithm,
and fills the requests so that every generation of processor can read them.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import grpc
import grpc.aio

from orca.processor import wire

__all__ = ["ScriptedCore"]

WAIT_S = 90.0
"""The longest that a test waits for one event of another process."""


class ScriptedCore:
    """A core in a thread of its own; a context manager.

    Attributes:
        registrations: What processors announced, oldest first.
        windows: The windows that were emitted.
        results: The results of all executions, by full name.
        failures: Calls of processors that ended with an error.
        runs: How many windows have been dispatched to the end, the end of each call included.
        execute: Whether an emitted window is dispatched.
    """

    def __init__(self, *, execute: bool = True) -> None:
        self.registrations: list[wire.ProcessorRegistration] = []
        self.windows: list[wire.Window] = []
        self.results: dict[str, wire.Result] = {}
        self.failures: list[str] = []
        self.runs = 0
        self.execute = execute
        self.port = 0
        self._news = threading.Condition()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), name="scripted core")

    @property
    def address(self) -> str:
        """``host:port``."""
        return f"127.0.0.1:{self.port}"

    def __enter__(self) -> "ScriptedCore":  # noqa: PYI034, UP037 - Self came with Python 3.11
        self._thread.start()
        assert self._ready.wait(WAIT_S)
        return self

    def __exit__(self, *_: object) -> None:
        assert self._loop is not None
        assert self._stop is not None
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(WAIT_S)

    def wait(self, condition: Callable[[], Any]) -> Any:
        """Wait until ``condition`` gives something, and return it."""
        with self._news:
            assert self._news.wait_for(condition, WAIT_S), f"nothing came; failures: {self.failures}"
            return condition()

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        server = grpc.aio.server()
        handlers = {wire.OrcaCore.RegisterProcessor: self._register, wire.OrcaCore.EmitWindow: self._emit}
        server.add_generic_rpc_handlers((wire.aio_handler(handlers),))
        self.port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        self._ready.set()
        await self._stop.wait()
        await server.stop(0)

    def _tell(self, change: Callable[[], object]) -> None:
        with self._news:
            change()
            self._news.notify_all()

    async def _register(self, request: wire.ProcessorRegistration, _context: object) -> wire.Status:
        self._tell(lambda: self.registrations.append(request))
        return wire.Status(received=True, message="Successfully registered processor")

    async def _emit(self, request: wire.Window, _context: object) -> wire.WindowEmitStatus:
        # Stored windows of the first generation keep their times as unknown fields: the copy must hold them.
        self._tell(lambda: self.windows.append(request))
        todo = [
            (processor, algorithm)
            for processor in self.registrations
            for algorithm in processor.supported_algorithms
            if algorithm.window_type.name == request.window_type_name
        ]
        if not todo:
            return wire.WindowEmitStatus(status=wire.WindowEmitStatus.NO_TRIGGERED_ALGORITHMS)
        if self.execute:
            self._running = asyncio.ensure_future(self._run(request, todo))
        return wire.WindowEmitStatus(status=wire.WindowEmitStatus.PROCESSING_TRIGGERED)

    async def _run(self, window: wire.Window, todo: list[Any]) -> None:
        done: dict[str, tuple[wire.Algorithm, wire.Result]] = {}
        while todo:
            processor, algorithm = next(
                pair for pair in todo if all(_name(need) in done for need in pair[1].dependencies)
            )
            todo.remove((processor, algorithm))
            request = _request(window, algorithm, done)
            async with grpc.aio.insecure_channel(processor.connection_str) as channel:
                execute = wire.call(channel, wire.OrcaProcessor.ExecuteDagPart)
                try:
                    async for answer in execute(request, timeout=WAIT_S):
                        result = answer.algorithm_result.result
                        done[_name(algorithm)] = (algorithm, result)
                        name = _name(algorithm)
                        self._tell(lambda n=name, r=result: self.results.update({n: r}))
                except grpc.aio.AioRpcError as error:
                    text = f"{_name(algorithm)}: {error.code().name} {error.details()}"
                    self._tell(lambda t=text: self.failures.append(t))
                    return
        self._tell(self._run_ended)

    def _run_ended(self) -> None:
        self.runs += 1


def _name(item: Any) -> str:
    return f"{item.name}_{item.version}"


def _request(window: wire.Window, algorithm: wire.Algorithm, done: dict[str, Any]) -> wire.ExecutionRequest:
    plain = wire.Algorithm(name=algorithm.name, version=algorithm.version)
    request = wire.ExecutionRequest(exec_id="run-1", window=window, algorithms=[plain])
    execution = request.algorithm_executions.add()
    execution.algorithm.CopyFrom(plain)
    for need in algorithm.dependencies:
        source, result = done[_name(need)]
        request.algorithm_results.add(algorithm=source, result=result)
        given = execution.dependencies.add()
        given.algorithm.name, given.algorithm.version = source.name, source.version
        given.result.add(result=result, window=window)
    return request
