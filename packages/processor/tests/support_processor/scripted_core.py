"""A core that does what a test says: it speaks the wire, keeps what it is told, and calls processors."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import grpc
import grpc.aio
from connections import patient_options

from orca.processor import wire, wire_query

Answer = Callable[[Any, Any], Any]


class ScriptedCore:
    """Runs on a thread of its own, so that sync and async code can both be tested against it.

    Attributes:
        registrations: What processors registered, in order.
        windows: What was emitted, in order.
        metadata: The invocation metadata of every call, by method name.
        answers: For a method name, a function (request, context) that replaces the usual answer.
        port: Where it listens.
    """

    def __init__(self, *, ours: bool = True, port: int = 0, token: str = "", credentials: Any = None) -> None:
        self.registrations: list[Any] = []
        self.windows: list[Any] = []
        self.metadata: dict[str, list[dict[str, str]]] = {}
        self.answers: dict[str, Answer] = {}
        self.calls: list[str] = []
        self.ours = ours
        self.port = port
        self._token = token
        self._credentials = credentials
        self._news = threading.Condition()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._server: Any = None

    def start(self) -> ScriptedCore:
        self._thread.start()
        self.run(self._start())
        return self

    def run(self, coroutine: Any, timeout_s: float = 60) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(timeout_s)

    async def _start(self) -> None:
        self._server = grpc.aio.server(options=patient_options(server=True))
        handlers = {
            wire.OrcaCore.RegisterProcessor: self._wrap("RegisterProcessor", self._register),
            wire.OrcaCore.EmitWindow: self._wrap("EmitWindow", self._emit),
            wire.OrcaCore.Expose: self._wrap("Expose", self._expose),
        }
        if self.ours:
            for method in wire.methods(wire_query.OrcaQuery):
                handlers[method] = self._wrap_query(method)
        self._server.add_generic_rpc_handlers((wire.aio_handler(handlers),))
        place = f"127.0.0.1:{self.port}"
        self.port = (
            self._server.add_secure_port(place, self._credentials)
            if self._credentials
            else self._server.add_insecure_port(place)
        )
        await self._server.start()

    def stop(self) -> None:
        if not self._thread.is_alive():
            return
        self.run(self._server.stop(0))
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(60)
        self._loop.close()

    @property
    def address(self) -> str:
        return f"{'grpcs' if self._credentials else 'grpc'}://127.0.0.1:{self.port}"

    def _wrap(self, name: str, usual: Answer) -> Answer:
        async def handle(request: Any, context: Any) -> Any:
            await self._enter(name, context)
            answer = self.answers.get(name)
            if answer is not None:
                reply = answer(request, context)
                return await reply if asyncio.iscoroutine(reply) else reply
            return await usual(request, context)

        return handle

    def _wrap_query(self, method: Any) -> Any:
        async def unary(request: Any, context: Any) -> Any:
            await self._enter(method.name, context)
            reply = self.answers[method.name](request, context)
            return await reply if asyncio.iscoroutine(reply) else reply

        async def stream(request: Any, context: Any) -> AsyncIterator[Any]:
            await self._enter(method.name, context)
            items = self.answers[method.name](request, context)
            for item in await items if asyncio.iscoroutine(items) else items:
                yield item

        return stream if method.server_streaming else unary

    async def _enter(self, name: str, context: Any) -> None:
        self.calls.append(name)
        seen = {key: value for key, value in context.invocation_metadata() or () if isinstance(value, str)}
        self.metadata.setdefault(name, []).append(seen)
        if self._token and seen.get("authorization") != f"Bearer {self._token}":
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, "the token is missing")
        if self.ours:
            await context.send_initial_metadata(((wire.FEATURES_KEY, "chains"),))

    async def _register(self, request: Any, context: Any) -> Any:
        with self._news:
            self.registrations.append(request)
            self._news.notify_all()
        return wire.Status(received=True, message="Successfully registered processor")

    async def _emit(self, request: Any, context: Any) -> Any:
        with self._news:
            self.windows.append(request)
            self._news.notify_all()
        if self.ours:
            context.set_trailing_metadata(
                ((wire.WINDOW_ID_KEY, str(len(self.windows))), (wire.DUPLICATE_KEY, "0"))
            )
        return wire.WindowEmitStatus(status=wire.WindowEmitStatus.PROCESSING_TRIGGERED)

    async def _expose(self, request: Any, context: Any) -> Any:
        return wire.InternalState(processors=self.registrations)

    def wait_registered(self, count: int = 1, timeout_s: float = 60) -> Any:
        with self._news:
            assert self._news.wait_for(lambda: len(self.registrations) >= count, timeout_s)
            return self.registrations[-1]

    def wait_windows(self, count: int, timeout_s: float = 60) -> list[Any]:
        """The windows, once there are ``count`` of them."""
        with self._news:
            assert self._news.wait_for(lambda: len(self.windows) >= count, timeout_s)
            return self.windows[:count]


@contextmanager
def scripted_core(**options: Any) -> Iterator[ScriptedCore]:
    core = ScriptedCore(**options).start()
    try:
        yield core
    finally:
        core.stop()
