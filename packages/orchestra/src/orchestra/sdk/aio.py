"""The asynchronous SDK: the same reports, and every wait leaves the event loop free."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from orchestra.sdk._decorate import AsyncScope, accepted_within
from orchestra.sdk.client import BaseSDK, BaseTask

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping
    from types import TracebackType
    from uuid import UUID

    from typing_extensions import Self

    from orchestra.sdk._reporter import Reporter
    from orchestra.sdk._tickets import Ticket
    from orchestra.sdk.enums import TaskRunStatus

__all__ = ["AsyncOrchestraSDK", "AsyncTask"]


class AsyncOrchestraSDK(BaseSDK):
    """Reports a task to Orchestra from asynchronous code, under asyncio or trio.

    Takes the options of `OrchestraSDK`. Delivery runs in threads of its own, so that a blocked or finished event
    loop never holds a final status back; methods that wait do so without blocking the loop.

    Example:
        >>> import asyncio
        >>> async def main() -> bool:
        ...     async with AsyncOrchestraSDK("key", quiet=True) as sdk:
        ...         return await sdk.update_task("success")
        >>> asyncio.run(main())  # nothing is configured here
        False
    """

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    @asynccontextmanager
    async def task(
        self,
        name: str,
        *,
        task_run_id: UUID | str | None = None,
        webhook_url: str | None = None,
        reraise: bool | None = None,
    ) -> AsyncGenerator[AsyncTask]:
        """Report a block of code as the task run; as `OrchestraSDK.task`."""
        async with AsyncScope(self._scope(name, task_run_id, webhook_url, reraise=reraise)) as run:
            yield AsyncTask(self._reporter, run)

    async def update_task(
        self, status: TaskRunStatus | str | None = None, message: str | None = None
    ) -> bool:
        """Send a status, a message or both; as `OrchestraSDK.update_task`.

        Raises:
            UsageError: Neither is given, or the status is unknown.
        """
        return await _accepted(self._reporter, self._reporter.update(status, message))

    async def set_output(self, name: str, value: Any) -> bool:
        """Set an output of the task run; as `OrchestraSDK.set_output`.

        Raises:
            OutputError: The name is empty or JSON cannot carry the value.
        """
        return await _accepted(self._reporter, self._reporter.output(name, value))

    async def send_log(self, name: str, data: str) -> bool:
        """Send a text as a log of the task run."""
        return await _accepted(self._reporter, self._reporter.log(name, data))

    async def send_sensor_event(self, event_type: str, event: Mapping[str, Any]) -> bool:
        """Send a sensor event; it needs an API key and no task run.

        Raises:
            OutputError: JSON cannot carry the event.
        """
        return await _accepted(self._reporter, self._reporter.sensor(event_type, event))

    async def flush(self, timeout_s: float = 60.0) -> bool:
        """Wait until everything said so far is delivered or refused; False when time ran out."""
        return bool(await _in_thread(self._reporter.courier.flush, timeout_s))

    async def aclose(self) -> None:
        """Stop the background delivery; what is undelivered stays in the outbox."""
        await _in_thread(self.close)


class AsyncTask(BaseTask):
    """What a block of `AsyncOrchestraSDK.task` says about its task run; see `Task`."""

    async def output(self, name: str, value: Any) -> bool:
        """As `AsyncOrchestraSDK.set_output`."""
        return await _accepted(self._reporter, self._reporter.output(name, value))

    async def message(self, text: str) -> bool:
        """Send a message without a status."""
        return await _accepted(self._reporter, self._reporter.update(None, text))


async def _accepted(reporter: Reporter, ticket: Ticket | None) -> bool:
    return ticket is not None and await accepted_within(ticket, reporter.options.budgets)


async def _in_thread(function: Any, *arguments: Any) -> Any:
    import anyio.to_thread  # noqa: PLC0415  comes with httpx

    return await anyio.to_thread.run_sync(function, *arguments)
