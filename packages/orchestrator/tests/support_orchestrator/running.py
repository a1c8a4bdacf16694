"""A core in this process, over real sockets and a real store, with the few calls that tests make."""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import grpc.aio

from orca.orchestrator.execution import RetryRule
from orca.orchestrator.server import CoreServer, open_core
from orca.orchestrator.settings import CoreSettings, DatabaseUrl
from orca.processor import structs, wire
from orca.processor import wire_query as q

START_S = 1_767_225_600
QUICK = RetryRule(initial_s=0.02, max_s=0.1)
# For one event, and for a whole test, on a machine whose cores and disk are busy with other things.
WAIT_S = 60.0
TEST_S = 300.0


def go(work: Any) -> Any:
    """Run a test's coroutine; bounded."""
    return asyncio.run(asyncio.wait_for(work, TEST_S))


class Running:
    """A started core and a channel to it."""

    def __init__(self, server: CoreServer, channel: grpc.aio.Channel) -> None:
        self.server, self.channel = server, channel
        self.core, self.address = server.core, server.address

    def call(self, method: Any) -> Any:
        return wire.call(self.channel, method)

    async def emit(self, number: int = 0, *, metadata: dict[str, Any] | None = None, **options: Any) -> Any:
        call = self.call(wire.OrcaCore.EmitWindow)(
            window(number, metadata=metadata, kind=options.pop("kind", "Every30Second")),
            metadata=tuple(options.items()),
            timeout=WAIT_S,
        )
        answer = await call
        trailing = dict(list(await call.trailing_metadata()))
        return answer.status, int(trailing[wire.WINDOW_ID_KEY]), trailing[wire.DUPLICATE_KEY] == "1"

    async def finished(self, window_id: int) -> q.RunDetail:
        last = None
        async for detail in self.call(q.OrcaQuery.WatchRun)(
            q.GetRunRequest(window_id=window_id), timeout=WAIT_S
        ):
            last = detail
        assert last is not None
        return last

    async def statuses(self, window_id: int) -> dict[str, str]:
        detail = await self.finished(window_id)
        return {entry.algorithm.name: entry.status for entry in detail.executions}

    async def rows(self, method: Any, request: Any) -> list[Any]:
        return [row async for row in self.call(method)(request, timeout=WAIT_S)]

    async def results(self, algorithm: str, **options: Any) -> list[Any]:
        request = q.ReadResultsRequest(algorithm=q.Ref(name=algorithm), limit=10_000, **options)
        return await self.rows(q.OrcaQuery.ReadResults, request)

    async def serving(self, processor: str, count: int = 1) -> None:
        await until(
            lambda: (
                sum(
                    one.state == "serving"
                    for link in self.core.links
                    if link.key.name == processor
                    for one in link.instances.values()
                )
                >= count
            )
        )


def window(
    number: int = 0, *, kind: str = "Every30Second", metadata: dict[str, Any] | None = None
) -> wire.Window:
    message = wire.Window(window_type_name=kind, window_type_version="1.0.0", origin="test")
    message.time_from.seconds = START_S + number * 30
    message.time_to.seconds = START_S + number * 30 + 30
    if metadata:
        structs.fill_struct(message.metadata, metadata)
    return message


async def until(condition: Any, timeout_s: float = WAIT_S) -> None:
    """Wait for a condition that no event tells; bounded."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it did not become true in time"
        await asyncio.sleep(0.005)


# Set by a fixture: the store of each folder is then a database of its own, made by this function.
new_database: Any = None
_databases: dict[Path, str] = {}


@contextlib.asynccontextmanager
async def running(folder: Path, *, insecure: bool = True, **changes: Any) -> Any:
    if new_database is not None and "database" not in changes:
        if folder not in _databases:
            _databases[folder] = await new_database()
        changes["database"] = DatabaseUrl(_databases[folder])
    settings = CoreSettings(folder=folder, port=0, retry=QUICK, health_interval_s=0.5, stop_grace_s=0.2)
    server = await open_core(replace(settings, **changes))
    await server.start()
    if insecure:
        channel = grpc.aio.insecure_channel(server.address)
    else:
        roots = Path(server.settings.processor_ca).read_bytes()  # noqa: ASYNC240 - a small file
        channel = grpc.aio.secure_channel(server.address, grpc.ssl_channel_credentials(roots))
    try:
        yield Running(server, channel)
    finally:
        await channel.close()
        await server.stop()


@contextlib.asynccontextmanager
async def working(running_core: Running, *workers: Any) -> Any:
    """Workers that are started, registered and serving."""
    try:
        for worker in workers:
            await worker.start()
            await worker.register(running_core.address)
            await running_core.serving(worker.name)
        yield workers
    finally:
        for worker in workers:
            await worker.stop()
