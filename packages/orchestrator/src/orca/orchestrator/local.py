"""Local mode: algorithms run inside the core's process, through the same kernel and the same durable store.

Nothing listens and nothing is dialled. For notebooks, tests, one-command replays and single-process services:
a window that was emitted is on disk, and after a crash it goes on at the next `LocalCore.open`.
"""

from __future__ import annotations

import json
import tempfile
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orca.orchestrator import queries
from orca.orchestrator.core import Core, EmitOptions
from orca.orchestrator.execution import Status
from orca.orchestrator.inline import LocalInstance
from orca.orchestrator.model import WindowTypeRef
from orca.orchestrator.process import FolderLock
from orca.orchestrator.queries import Page, Where
from orca.orchestrator.settings import CoreSettings
from orca.orchestrator.store.codec import decode_value
from orca.orchestrator.store.opening import open_store
from orca.orchestrator.store.records import OPEN, RUN_STATES, Accepted, StoredValue
from orca.orchestrator.wireform import read_registration
from orca.processor import convert
from orca.processor.registration import OPTIONS_KEY, metadata_for

if TYPE_CHECKING:
    from collections.abc import Mapping

    from typing_extensions import Self

    from orca.processor import Processor

__all__ = ["LocalCore"]

# Read back what is open this often; what happens in between is told by events.
LOOK_S = 1.0


class LocalCore:
    """A core and its processors in one process.

    Args:
        processors: Whose algorithms run here; each is registered at `open`.
        folder: Keeps the store; a temporary folder that goes at the end when None.
        settings: Bounds and delays.

    Example:
        >>> import asyncio
        >>> from orca.processor import Processor
        >>> proc = Processor("demo")
        >>> @proc.algorithm("Two", "1.0.0", "Hour", "1.0.0")
        ... def two() -> float:
        ...     return 2.0
        >>> async def main():
        ...     async with LocalCore(proc) as core:
        ...         accepted = await core.emit("Hour", "1.0.0", (1, 2))
        ...         return await core.wait(accepted.window_id)
        >>> asyncio.run(main())["executions"]["Two_1.0.0"]["value"]
        2.0
    """

    def __init__(
        self, *processors: Processor, folder: Path | None = None, settings: CoreSettings | None = None
    ) -> None:
        self._processors = processors
        self._temporary = tempfile.TemporaryDirectory() if folder is None else None
        place = Path(self._temporary.name) if self._temporary is not None else folder
        self._settings = replace(settings or CoreSettings(), folder=place or Path())
        self._lock: FolderLock | None = None
        self.core: Core | None = None

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(self, *details: object) -> None:
        await self.close()

    async def open(self) -> None:
        """Open the store, register the processors, go on with what is open.

        Raises:
            RunningError: Another core holds the folder.
            PlanError: The processors contradict each other.
        """
        self._lock = FolderLock(self._settings.folder)
        store = await open_store(self._settings)
        self.core = Core(store, self._settings)
        store.follow(self.core.replicas)
        await self.core.registry.load()
        for processor in self._processors:
            # The address is only there to have the form of one: nothing listens.
            spec = processor.spec("127.0.0.1:1")
            announced = dict(metadata_for(spec)).get(OPTIONS_KEY, "")
            message = convert.processor_to_wire(spec)
            registration = replace(read_registration(message, self._settings, announced), address="")
            row = await self.core.registry.register(registration, features="[]")
            make = partial(LocalInstance, processor.engine())
            self.core.links.attach(registration.processor, row, make)
        self.core.engine.wake()

    @property
    def _opened(self) -> Core:
        assert self.core is not None, "open() comes first"
        return self.core

    async def emit(
        self,
        name: str,
        version: str,
        times_ns: tuple[int, int],
        *,
        origin: str = "local",
        metadata: Mapping[str, Any] | None = None,
        options: EmitOptions | None = None,
    ) -> Accepted:
        """Store a window; its algorithms run in this process.

        Args:
            name: Window type.
            version: Its version.
            times_ns: Start and end in nanoseconds since 1970.
            origin: Who emits it.
            metadata: JSON-like values.
            options: Priority and so on.
        """
        return await self._opened.emit(
            WindowTypeRef(name, version),
            times_ns,
            origin=origin,
            metadata=dict(metadata or {}),
            options=options or EmitOptions(),
        )

    async def wait(self, window_id: int) -> dict[str, Any]:
        """The latest run of a window, once it is finished: its state and each algorithm's status and value."""
        core = self._opened
        run, executions, _ = await queries.read_run(core.store, 0, window_id)
        while run["state"] == OPEN:
            with core.engine.ending(run["id"]) as ended:
                # It may have ended before anybody waited for it.
                run, executions, _ = await queries.read_run(core.store, run["id"])
                if run["state"] == OPEN:
                    await ended
                    run, executions, _ = await queries.read_run(core.store, run["id"])
        return {
            "run_id": run["id"],
            "state": RUN_STATES[run["state"]],
            "executions": {f"{row['name']}_{row['version']}": _execution(row) for row in executions},
        }

    async def drain(self) -> None:
        """Wait until no run is open."""
        core = self._opened
        await core.engine.idle()
        while await core.store.backlog.depth():
            # Given back, or made by another way than an emit.
            core.engine.wake()
            await core.engine.idle()

    async def results(self, name: str, version: str = "", *, limit: int = 10_000) -> list[dict[str, Any]]:
        """An algorithm's results in order of time."""
        where = Where()
        where.ref("a", name, version)
        return [
            {
                "window_id": row["window_id"],
                "time_from_ns": row["time_from"],
                "time_to_ns": row["time_to"],
                "metadata": json.loads(row["metadata"]),
                "value": decode_value(StoredValue(row["kind"], row["number"], row["payload"])),
            }
            async for row in queries.read_results(self._opened.store, where, Page(limit=limit))
        ]

    async def close(self) -> None:
        """Let running algorithms end, write everything, close the store."""
        if self.core is not None:
            await self.core.stop()
        if self._lock is not None:
            self._lock.release()
        if self._temporary is not None:
            self._temporary.cleanup()


def _execution(row: Mapping[str, Any]) -> dict[str, Any]:
    value = None
    if row["kind"] is not None:
        value = decode_value(StoredValue(row["kind"], row["number"], row["payload"]))
    return {
        "status": Status(row["status"]).name.lower(),
        "value": value,
        "cause": row["cause"],
        "error": json.loads(row["error"] or "{}"),
    }
