"""A whole core inside of a test's process, used from ordinary code."""

from __future__ import annotations

import asyncio
import threading
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from orca.processor.convert import ResultRecord, ResultStatus, kind_of
from orca.processor.errors import NotOffered
from orca.processor.model import ResultKind
from orca.processor.testing import LocalRun

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from types import TracebackType

    from typing_extensions import Self

    from orca.processor.model import Window
    from orca.processor.processor import Processor

__all__ = ["InProcessCore"]

WAIT_S: Final = 60.0
"""How long a test waits for a window; one that hangs should fail and say so."""


class InProcessCore:
    """The orchestrator's core with its store, planner and retries, and processors in the same process.

    Where :class:`~orca.processor.testing.Local` runs algorithms alone, this one stores windows and results, knows the
    same window again, serves look-backs from its store and tries again what fails. Nothing listens.

    Args:
        processors: Whose algorithms run.
        wait_s: How long one window may take.

    Raises:
        NotOffered: orca-orchestrator is not installed.
    """

    def __init__(self, *processors: Processor, wait_s: float = WAIT_S) -> None:
        # By name: processors do not depend on the orchestrator, only tests that want all of it do.
        try:
            local: Any = import_module("orca.orchestrator.local")
        except ImportError as error:
            raise NotOffered(
                "an in-process core needs the orchestrator",
                status="UNIMPLEMENTED",
                hint="install it: pip install orca-orchestrator",
            ) from error
        self._wait_s = wait_s
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="orca-test-core", daemon=True)
        self._thread.start()
        self._core: Any = local.LocalCore(*processors)
        try:
            self._do(self._core.open())
        except BaseException:
            self._end()
            raise

    def _do(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(self._wait_s)

    def emit(self, window: Window) -> LocalRun:
        """Store a window and wait until all of its algorithms have ended.

        Raises:
            TimeoutError: They have not ended in time.
        """
        return self._do(self._emit(window))  # type: ignore[no-any-return]

    async def _emit(self, window: Window) -> LocalRun:
        times = (window.from_ns, window.to_ns)
        accepted = await self._core.emit(
            window.name, window.version, times, origin=window.origin, metadata=window.metadata
        )
        if not accepted.run_id:
            return LocalRun(window)
        run = await self._core.wait(accepted.window_id)
        return LocalRun(window, {name: _record(one) for name, one in run["executions"].items()})

    def results(self, algorithm: str, version: str = "") -> list[Any]:
        """The stored values of an algorithm, in order of time."""
        return [row["value"] for row in self._do(self._core.results(algorithm, version))]

    def close(self) -> None:
        """Let what runs end, and close the store."""
        if self._thread.is_alive():
            try:
                self._do(self._core.close())
            finally:
                self._end()

    def _end(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _record(execution: dict[str, Any]) -> ResultRecord:
    if execution["status"] == "succeeded":
        value = execution["value"]
        return ResultRecord(ResultStatus.SUCCEEDED, kind_of(value), value)
    error = dict(execution["error"])
    if execution["cause"]:
        error.setdefault("cause", execution["cause"])
        error.setdefault("kind", "skipped")
    return ResultRecord(ResultStatus.HANDLED_FAILED, ResultKind.NONE, None, error)
