"""Wrap any kind of callable so that its whole life, and not only its call, lies within a run."""

from __future__ import annotations

import functools
import inspect
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Generator

    from orchestra.sdk._run import Scope
    from orchestra.sdk._tickets import Ticket

__all__ = ["AsyncScope", "name_of", "wrap"]

MakeScope = Any  # Callable[[str], Scope]; the alias keeps the signatures below readable


def name_of(function: object) -> str:
    """What a callable is called in messages: its name, that of what it wraps, or of its type."""
    while isinstance(function, functools.partial):
        function = function.func
    name = getattr(function, "__name__", None)
    return name if isinstance(name, str) else type(function).__name__


def _target_of(function: object) -> object:
    """The function whose kind (plain, async, generator) decides: behind partials and ``__call__``."""
    while isinstance(function, functools.partial):
        function = function.func
    if inspect.isfunction(function) or inspect.ismethod(function) or inspect.isbuiltin(function):
        return function
    return function if isinstance(function, type) else getattr(type(function), "__call__", function)  # noqa: B004


def wrap(function: Callable[..., Any], make_scope: Callable[[str], Scope]) -> Callable[..., Any]:
    """Return a callable of the same kind that runs ``function`` inside a scope.

    Args:
        function: A function, method, async function, generator, async generator, partial or callable object.
        make_scope: Makes the scope of one call from the name.
    """
    if isinstance(function, (staticmethod, classmethod)):
        descriptor = cast("Any", function)
        return cast("Callable[..., Any]", type(descriptor)(wrap(descriptor.__func__, make_scope)))
    target = _target_of(function)
    if inspect.isasyncgenfunction(target):
        wrapper: Callable[..., Any] = _async_generator(function, make_scope)
    elif inspect.isgeneratorfunction(target):
        wrapper = _generator(function, make_scope)
    elif inspect.iscoroutinefunction(target):
        wrapper = _coroutine(function, make_scope)
    else:
        wrapper = _plain(function, make_scope)
    return functools.update_wrapper(wrapper, function)


def _plain(function: Callable[..., Any], make_scope: Callable[[str], Scope]) -> Callable[..., Any]:
    name = name_of(function)

    def run(*args: Any, **kwargs: Any) -> Any:
        with make_scope(name):
            return function(*args, **kwargs)

    return run


def _coroutine(
    function: Callable[..., Awaitable[Any]], make_scope: Callable[[str], Scope]
) -> Callable[..., Any]:
    name = name_of(function)

    async def run(*args: Any, **kwargs: Any) -> Any:
        async with AsyncScope(make_scope(name)):
            return await function(*args, **kwargs)

    return run


def _generator(
    function: Callable[..., Generator[Any, Any, Any]], make_scope: Callable[[str], Scope]
) -> Callable[..., Any]:
    name = name_of(function)

    def run(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        scope = make_scope(name)
        scope.__enter__()
        inner = function(*args, **kwargs)
        send: Callable[[], Any] = functools.partial(next, inner)
        try:
            while True:
                try:
                    item = send()
                except StopIteration as stop:
                    scope.__exit__(None, None, None)
                    return stop.value
                # Between two items this is the caller's context again.
                scope.pause()
                try:
                    sent = yield item
                except GeneratorExit:
                    scope.resume()
                    inner.close()
                    raise
                except BaseException as error:  # noqa: BLE001  what the caller throws belongs to the inner one
                    send = functools.partial(inner.throw, error)
                else:
                    send = functools.partial(inner.send, sent)
                scope.resume()
        except BaseException as error:
            if isinstance(error, GeneratorExit):
                scope.leave_quickly(error)
                raise
            if scope.__exit__(type(error), error, error.__traceback__):
                return None
            raise

    return run


def _async_generator(
    function: Callable[..., AsyncGenerator[Any, Any]], make_scope: Callable[[str], Scope]
) -> Callable[..., Any]:
    name = name_of(function)

    async def run(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        inner_scope = make_scope(name)
        scope = AsyncScope(inner_scope)
        await scope.__aenter__()
        inner = function(*args, **kwargs)
        send: Callable[[], Awaitable[Any]] = functools.partial(anext, inner)
        try:
            while True:
                try:
                    item = await send()
                except StopAsyncIteration:
                    await scope.__aexit__(None, None, None)
                    return
                inner_scope.pause()
                try:
                    sent = yield item
                except GeneratorExit:
                    inner_scope.resume()
                    await inner.aclose()
                    raise
                except BaseException as error:  # noqa: BLE001  what the caller throws belongs to the inner one
                    send = functools.partial(inner.athrow, error)
                else:
                    send = functools.partial(inner.asend, sent)
                inner_scope.resume()
        except BaseException as error:
            if isinstance(error, GeneratorExit):
                inner_scope.leave_quickly(error)
                raise
            if await scope.__aexit__(type(error), error, error.__traceback__):
                return
            raise

    return run


class AsyncScope:
    """A scope whose waiting never blocks the event loop."""

    __slots__ = ("scope",)

    def __init__(self, scope: Scope) -> None:
        self.scope = scope

    async def __aenter__(self) -> Any:
        ticket = self.scope.enter()
        try:
            if ticket is not None:
                await wait(ticket.stored, self.scope.run.reporter.options.budgets.accept_s)
        except BaseException as error:  # cancelled before the body began: there is no exit without an enter
            self.scope.leave_quickly(error)
            raise
        return self.scope.run

    async def __aexit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        ticket = self.scope.leave(error)
        try:
            if ticket is not None:
                await accepted(ticket, self.scope)
        finally:
            self.scope.release()
        return self.scope.swallows(error)


async def accepted(ticket: Ticket, scope: Scope) -> bool:
    """The asynchronous twin of the courier's ``accepted``."""
    return await accepted_within(ticket, scope.run.reporter.options.budgets)


async def accepted_within(ticket: Ticket, budgets: Any) -> bool:
    """Wait within the budgets until the event is on disk or acknowledged; whether it is."""
    durable = await wait(ticket.stored, budgets.accept_s)
    if ticket.terminal:
        await wait(ticket.settled, budgets.terminal_s)
        return ticket.delivered_within(0.0) or bool(durable)
    if durable:
        return True
    await wait(ticket.settled, budgets.direct_s)
    return ticket.delivered_within(0.0)


async def wait(future: Any, timeout_s: float) -> Any:
    """Wait for a thread's future without blocking the loop; None when time ran out."""
    import asyncio  # noqa: PLC0415  loaded already by who gets here

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return await _wait_elsewhere(future, timeout_s)
    if future.done():
        return future.result()
    waiter = asyncio.wrap_future(future)
    # asyncio.wait leaves the future alone on timeout: cancelling it would cancel the delivery's own record.
    done, _ = await asyncio.wait({waiter}, timeout=timeout_s)
    return waiter.result() if done else None


async def _wait_elsewhere(future: Any, timeout_s: float) -> Any:
    """On another event loop than asyncio's, such as trio's: wait in a thread."""
    import anyio.to_thread  # noqa: PLC0415  comes with httpx

    def result() -> Any:
        from concurrent.futures import TimeoutError as FutureTimeoutError  # noqa: PLC0415

        try:
            return future.result(timeout_s)
        except FutureTimeoutError:
            return None

    return await anyio.to_thread.run_sync(result)
