"""Faults at the limits: a full disk, malformed messages, and messages that are too large, too deep or no numbers."""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import harness
from harness import CoreProcess, clean, inspect, window
from running import running, until, working
from worker import chain

from orca.processor import structs, wire
from orca.processor import wire_query as q

__all__ = ["a7_disk_full", "a10_malformed", "a11_beyond_limits"]

PAGES_MAX = 10_000_000
OVERSIZE_BYTES = 64 * 2**20
CALL_S = 5.0
# A full disk is to be told by the core: a call that is only slow must not look like one that failed.
FULL_CALL_S = 30.0


class _Told:
    """What `inspect` wants to know of an emitter."""

    def __init__(self) -> None:
        self.acknowledged: dict[int, int] = {}
        self.retries = 0


async def a7_disk_full(folder: Path, *, seed: int, windows: int, kills: int) -> dict[str, Any]:
    """The disk is full again and again (``PRAGMA max_page_count``): refused, readable, and going on with space."""
    chance = harness.rng(seed)
    told = _Told()
    refusals: Counter[str] = Counter()
    reads_failed = fulls = 0
    async with running(folder) as core, working(core, chain()):
        writer = core.core.store._writer
        emit = core.call(wire.OrcaCore.EmitWindow)
        status = core.call(q.OrcaQuery.GetStatus)
        left = iter(range(1, windows + 1))
        full = asyncio.Event()

        async def lane() -> None:
            for number in left:
                message = window(number, metadata={"filling": "x" * 600})
                while True:
                    try:
                        answer = emit(message, timeout=FULL_CALL_S)
                        await answer
                    except grpc.aio.AioRpcError as error:
                        refusals[error.code().name] += 1
                        full.set()
                        await asyncio.sleep(0.02)
                        continue
                    found = dict(list(await answer.trailing_metadata()))
                    told.acknowledged[number] = int(found[wire.WINDOW_ID_KEY])
                    break

        lanes = [asyncio.ensure_future(lane()) for _ in range(8)]
        while not all(one.done() for one in lanes):
            if fulls < kills:
                pages = writer.execute("PRAGMA page_count").fetchone()[0]
                writer.execute(f"PRAGMA max_page_count = {pages + chance.randint(2, 30)}")
            full.clear()
            filled = asyncio.ensure_future(full.wait())
            await asyncio.wait([filled, asyncio.gather(*lanes)], return_when=asyncio.FIRST_COMPLETED)
            filled.cancel()
            if full.is_set():
                fulls += 1
                try:
                    await status(q.GetStatusRequest(), timeout=FULL_CALL_S)
                    await core.rows(q.OrcaQuery.ListWindows, q.ListWindowsRequest(limit=3))
                except grpc.aio.AioRpcError:
                    reads_failed += 1
                await asyncio.sleep(chance.uniform(0.0, 0.1))
            writer.execute(f"PRAGMA max_page_count = {PAGES_MAX}")
            await asyncio.sleep(0.02)
        await asyncio.gather(*lanes)
        await until(lambda: len(core.core.engine.index) == 0, 60)
    values = {"A": 1.0, "B": 2.0, "C": 3.0}
    report: dict[str, Any] = inspect(folder / "orca.db", told, values=lambda number: values)
    report |= {"times_full": fulls, "refusals": dict(refusals), "reads_failed": reads_failed}
    only = set(refusals) == {"RESOURCE_EXHAUSTED"}
    report["passed"] = clean(report) and only and not reads_failed and report["acknowledged"] == windows
    return report


# What a mutated call may be answered; INTERNAL and UNKNOWN are the core's own fault.
_FAULTS = {"INTERNAL", "UNKNOWN", "DATA_LOSS"}
# The one fills the disk with copies, the other deletes the windows that are counted at the end.
_LEFT_OUT = {"Backup", "Retain"}


def _methods() -> list[Any]:
    services = (wire.OrcaCore, q.OrcaQuery)
    found = [getattr(service, name) for service in services for name in dir(service) if name[0].isupper()]
    return [one for one in found if one.path.rpartition("/")[2] not in _LEFT_OUT]


def _mutated(chance: Any, data: bytes) -> bytes:
    """Flip bits, cut, repeat, or replace by noise."""
    choice = chance.randint(0, 4)
    if choice == 0 or not data:
        return bytes(chance.randrange(256) for _ in range(chance.randint(1, 60)))
    if choice == 1:
        return data[: chance.randrange(len(data))]
    if choice == 2:
        place = chance.randrange(len(data))
        return data[:place] + data[chance.randrange(len(data)) :]
    changed = bytearray(data)
    for _ in range(chance.randint(1, 6)):
        changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
    return bytes(changed)


def _sample(chance: Any, method: Any) -> bytes:
    """A valid request with something in it, where there is one at hand."""
    name = method.path.rpartition("/")[2]
    if name == "EmitWindow":
        return bytes(window(chance.randint(1, 50), metadata={"a": [1, {"b": "c"}]}).SerializeToString())
    if name == "RegisterProcessor":
        worker = chain()
        worker.port = 9
        return bytes(worker.message().SerializeToString())
    message = method.request()
    for field in message.DESCRIPTOR.fields:
        plain = field.message_type is None and not isinstance(getattr(message, field.name), Sequence)
        if chance.random() < 0.5 and (plain or isinstance(getattr(message, field.name), str | bytes)):
            kinds = {9: "x", 12: b"x", 8: True, 1: 0.5, 2: 0.5}
            setattr(message, field.name, kinds.get(field.type, chance.randint(0, 5)))
    return bytes(message.SerializeToString())


async def a10_malformed(folder: Path, *, seed: int, windows: int, kills: int) -> dict[str, Any]:
    """Mutated messages to every method: refused with a code that fits, never a crash, never half stored."""
    chance = harness.rng(seed)
    core = CoreProcess(folder)
    await core.start()
    codes: Counter[str] = Counter()
    ids: set[int] = set()
    faults: list[str] = []
    async with grpc.aio.insecure_channel(core.address) as channel:
        methods = _methods()
        gate = asyncio.Semaphore(16)

        async def one(method: Any, data: bytes) -> None:
            async with gate:
                code = await _called(channel, method, data, ids)
            codes[code] += 1
            if code in _FAULTS:
                faults.append(f"{method.path} {code} {data.hex()[:200]}")

        work = []
        for _ in range(windows):
            method = chance.choice(methods)
            work.append(one(method, _mutated(chance, _sample(chance, method))))
        await asyncio.gather(*work)
        status = wire.call(channel, q.OrcaQuery.GetStatus)
        stored = (await status(q.GetStatusRequest())).windows
    alive = core.ended is None
    memory = core.rss_mb()
    core.stop()
    report: dict[str, Any] = {"requests": windows, "codes": dict(codes), "stored": stored, "known": len(ids)}
    report |= {"rss_mb": round(memory), "faults": faults[:5]}
    # EmitMany and mutated schedules may store more than EmitWindow's own answers tell; none may be missing.
    report["passed"] = alive and not faults and stored >= len(ids) and memory < 200
    return report


async def _called(channel: Any, method: Any, data: bytes, ids: set[int]) -> str:
    shape = "unary_stream" if method.server_streaming else "unary_unary"
    call = getattr(channel, shape)(method.path)(data, timeout=CALL_S)
    try:
        if method.server_streaming:
            with contextlib.suppress(asyncio.TimeoutError):
                # The first answer says enough; some of these go on for ever.
                await asyncio.wait_for(call.read(), 1.0)
            call.cancel()
            return "OK"
        await call
        found = dict(list(await call.trailing_metadata()))
        if method.path == wire.OrcaCore.EmitWindow.path:
            ids.add(int(found[wire.WINDOW_ID_KEY]))
    except grpc.aio.AioRpcError as error:
        return error.code().name
    return "OK"


def _deep(levels: int) -> wire.Window:
    message = window(1)
    value = message.metadata.fields["x"]
    # Protobuf itself stops at a depth of a hundred messages; each level here takes two.
    for _ in range(levels):
        value = value.list_value.values.add()
    value.number_value = 1.0
    return message


def _with(**changes: Any) -> wire.Window:
    message = window(1)
    for name, value in changes.items():
        setattr(message, name, value)
    return message


def _number(value: float) -> wire.Window:
    message = window(1)
    message.metadata.fields["x"].number_value = value
    return message


def _backwards() -> wire.Window:
    message = window(1)
    message.time_to.seconds = message.time_from.seconds - 1
    return message


def _refused() -> list[tuple[str, Any, str, str]]:
    """Name, window, code, and what the answer must name."""
    large = window(1)
    structs.fill_struct(large.metadata, {"x": "y" * (2 * 2**20)})
    wrong, limit = "INVALID_ARGUMENT", "20"
    return [
        ("NaN", _number(math.nan), wrong, "metadata"),
        ("infinity", _number(math.inf), wrong, "metadata"),
        ("too deep", _deep(24), wrong, f"deeper than {limit}"),
        ("too deep for protobuf", _deep(45), wrong, "metadata"),
        ("large metadata", large, wrong, "at most 1048576"),
        ("no name", _with(window_type_name=""), wrong, "window_type_name"),
        ("long name", _with(window_type_name="W" * 300), wrong, "1 to 200"),
        ("long version", _with(window_type_version="1" * 300), wrong, "window_type_version"),
        ("long origin", _with(origin="o" * 300), wrong, "origin"),
        ("backwards", _backwards(), wrong, "time_to"),
    ]


async def a11_beyond_limits(folder: Path, *, seed: int, windows: int, kills: int) -> dict[str, Any]:
    """NaN, depth, size, oversized and compressed messages: each refused with field and limit, never stored."""
    core = CoreProcess(folder)
    await core.start()
    wrong: list[str] = []
    asked = 0
    deadline = time.monotonic() + 600
    options = [("grpc.max_send_message_length", -1)]
    async with grpc.aio.insecure_channel(core.address, options=options) as channel:
        emit = wire.call(channel, wire.OrcaCore.EmitWindow)
        raw = channel.unary_unary(wire.OrcaCore.EmitWindow.path)
        huge = window(1).SerializeToString() + b"\x3a\x80\x80\x80\x20" + bytes(OVERSIZE_BYTES)
        many = q.EmitManyRequest(windows=[q.EmitWindow(time_from_ns=1, time_to_ns=2)] * 10_001)
        for _ in range(windows):
            assert time.monotonic() < deadline
            calls = [(name, emit(message), code, said) for name, message, code, said in _refused()]
            calls.append(("oversized", raw(huge), "RESOURCE_EXHAUSTED", ""))
            bomb = raw(huge, compression=grpc.Compression.Gzip)
            calls.append(("gzip bomb", bomb, "RESOURCE_EXHAUSTED", ""))
            batch = wire.call(channel, q.OrcaQuery.EmitMany)(many)
            calls.append(("too many", batch, "RESOURCE_EXHAUSTED", "at most 10000"))
            for name, call, code, said in calls:
                asked += 1
                try:
                    await call
                    wrong.append(f"{name}: taken")
                except grpc.aio.AioRpcError as error:
                    if error.code().name != code or said not in str(error.details()):
                        wrong.append(f"{name}: {error.code().name} {error.details()}")
        status = await wire.call(channel, q.OrcaQuery.GetStatus)(q.GetStatusRequest())
        stored = status.windows
        await emit(window(1))
    alive, memory = core.ended is None, core.rss_mb()
    core.stop()
    report: dict[str, Any] = {
        "requests": asked,
        "stored": stored,
        "rss_mb": round(memory),
        "wrong": wrong[:5],
    }
    report["passed"] = alive and not wrong and stored == 0 and memory < 400
    return report
