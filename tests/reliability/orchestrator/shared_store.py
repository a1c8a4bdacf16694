"""A-15: three replicas on one PostgreSQL, of which one after the other is killed, and the server's own faults."""

from __future__ import annotations

import asyncio
import itertools
import time
from pathlib import Path
from typing import Any

import asyncpg
import databases
import grpc
import grpc.aio
import harness
from harness import CoreProcess, Emitter, clean, five_nodes, window
from running import until

from orca.processor import wire

__all__ = ["a15_replicas_killed", "inspect_shared"]

REPLICAS = 3
EMITTERS = 9
LEASE_S = 2.0
# Each emitter leaves this pause between windows: the faults take their time, and windows must come meanwhile.
PACE_S = 0.03
KILL_EVERY_S = (0.8, 2.5)


class Rotating(Emitter):
    """Emits to whichever replica answers."""

    def __init__(self, cores: list[CoreProcess]) -> None:
        super().__init__("")
        self.addresses = [core.address for core in cores]
        self.enough = asyncio.Event()

    async def emit_on(self, first: int, numbers: Any, deadline: float) -> None:
        """Emit until there is enough, each window until it is acknowledged."""
        options = [*wire.channel_options(), ("grpc.max_reconnect_backoff_ms", 300)]
        channels = [grpc.aio.insecure_channel(address, options=options) for address in self.addresses]
        turn = itertools.cycle(channels[first:] + channels[:first])
        try:
            while not self.enough.is_set():
                number = next(numbers)
                while number not in self.acknowledged:
                    assert time.monotonic() < deadline, "a window was never acknowledged"
                    await self._try(next(turn), number)
                await asyncio.sleep(PACE_S)
        finally:
            for channel in channels:
                await channel.close()

    async def _try(self, channel: grpc.aio.Channel, number: int) -> None:
        try:
            answer = wire.call(channel, wire.OrcaCore.EmitWindow)(window(number), timeout=5)
            status = await answer
            assert status.status == wire.WindowEmitStatus.PROCESSING_TRIGGERED
            found = dict(list(await answer.trailing_metadata()))
            self.acknowledged[number] = int(found[wire.WINDOW_ID_KEY])
        except grpc.aio.AioRpcError:
            self.retries += 1
            await asyncio.sleep(0.02)


async def inspect_shared(url: str, emitter: Emitter) -> dict[str, int]:
    """Compare the database with what emitters were told and what algorithms compute; jobs must be gone too."""
    connection = await asyncpg.connect(url, server_settings={"search_path": "orca"})
    found = [await connection.fetch(sql) for sql in harness.STORED]
    left = await connection.fetchval("SELECT count(*) FROM pgqueuer")
    await connection.close()
    return harness.compare(*found, emitter=emitter) | {"jobs_left": left}


async def _faults(
    server: Any, url: str, cores: list[CoreProcess], *, chance: Any, kills: int
) -> dict[str, int]:
    """Kill replicas in turn; between them cut the database's connections, and crash the database itself."""
    done = {"kills": 0, "backends_cut": 0, "server_crashes": 0}
    for number in range(kills):
        await asyncio.sleep(chance.uniform(*KILL_EVERY_S))
        core = chance.choice(cores)
        core.kill()
        done["kills"] += 1
        await core.start()
        if number % 3 == 1:
            killer = await asyncpg.connect(url)
            done["backends_cut"] += await killer.fetchval(
                "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
            await killer.close()
        if number % 6 == 2:
            await asyncio.to_thread(databases.control, server, "restart")
            done["server_crashes"] += 1
    return done


async def a15_replicas_killed(folder: Path, *, seed: int, windows: int, kills: int) -> dict[str, Any]:
    """kill -9 of replicas, cut connections and crashes of the database, under windows for two processors."""
    chance = harness.rng(seed)
    with databases.server() as server:
        url = await databases.new_database(server.get_uri())
        settings = {"ORCA_CORE_DATABASE": url, "ORCA_CORE_LEASE_S": str(LEASE_S)}
        cores = [CoreProcess(folder / str(number), **settings) for number in range(REPLICAS)]
        workers = five_nodes()
        for worker in workers:
            await worker.start()
        await asyncio.gather(*(core.start() for core in cores))
        await harness.register_five(cores[0].address, workers)
        emitter = Rotating(cores)
        deadline = time.monotonic() + 600 + kills * 15
        numbers = itertools.count(1)
        emitting = [
            asyncio.ensure_future(emitter.emit_on(place % REPLICAS, numbers, deadline))
            for place in range(EMITTERS)
        ]
        faults = await _faults(server, url, cores, chance=chance, kills=kills)
        await until(lambda: len(emitter.acknowledged) >= windows, 300 + windows)
        # The last one dies in the middle of its work and stays dead: the others finish what it held.
        cores[0].kill()
        begun = time.monotonic()
        emitter.enough.set()
        await asyncio.gather(*emitting)
        await harness.settled(cores[1].address, deadline)
        takeover_s = time.monotonic() - begun
        report: dict[str, Any] = await inspect_shared(url, emitter)
        for core in cores:
            core.stop()
        for worker in workers:
            await worker.stop()
    report |= faults | {"takeover_s": round(takeover_s, 1), "lease_s": LEASE_S}
    report["passed"] = clean(report) and report["jobs_left"] == 0 and report["acknowledged"] >= windows
    return report
