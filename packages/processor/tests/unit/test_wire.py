from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from own_loop import own_loop

from orca.processor import wire

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


def test_every_path_is_unqualified_and_the_removed_calls_are_there() -> None:
    core = [method.name for method in wire.methods(wire.OrcaCore)]
    assert core[:3] == ["RegisterProcessor", "EmitWindow", "Expose"]
    assert {"ReadWindowTypes", "ReadResultsForAlgorithmAndMetadata", "Annotate"} <= set(core)
    assert all(method.path == f"/OrcaCore/{method.name}" for method in wire.methods(wire.OrcaCore))
    assert wire.OrcaProcessor.ExecuteDagPart.server_streaming
    assert wire.OrcaProcessor.HealthCheck.service == "OrcaProcessor"
    assert repr(wire.OrcaCore.EmitWindow) == "Method(/OrcaCore/EmitWindow)"


def test_limits_are_equal_on_both_sides() -> None:
    for side in (wire.channel_options(), wire.channel_options(server=True)):
        options = dict(side)
        assert (
            options["grpc.max_send_message_length"]
            == options["grpc.max_receive_message_length"]
            == 52_428_800
        )


@asynccontextmanager
async def served() -> AsyncIterator[grpc.aio.Channel]:
    async def emit(request: Any, context: Any) -> Any:
        return wire.WindowEmitStatus(status=wire.WindowEmitStatus.PROCESSING_TRIGGERED)

    async def stream(request: Any, context: Any) -> AsyncIterator[Any]:
        for part in ("a", "b"):
            yield wire.ExecutionResult(exec_id=request.exec_id + part)

    server = grpc.aio.server(options=wire.channel_options(server=True))
    server.add_generic_rpc_handlers(
        (wire.aio_handler({wire.OrcaCore.EmitWindow: emit, wire.OrcaProcessor.ExecuteDagPart: stream}),)
    )
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=wire.channel_options()) as opened:
        yield opened
    await server.stop(0)


@own_loop
async def test_unary_and_stream() -> None:
    async with served() as channel:
        reply = await wire.call(channel, wire.OrcaCore.EmitWindow)(wire.Window())
        assert reply.status == wire.WindowEmitStatus.PROCESSING_TRIGGERED
        stream = wire.call(channel, wire.OrcaProcessor.ExecuteDagPart)(wire.ExecutionRequest(exec_id="x"))
        assert [result.exec_id async for result in stream] == ["xa", "xb"]


def nested_struct(depth: int) -> bytes:
    """A Window whose metadata holds lists in lists, more than any parser descends."""
    value = b"\x20\x01"
    for _ in range(depth):
        inner = b"\x0a" + varint(len(value)) + value
        value = b"\x32" + varint(len(inner)) + inner
    entry = b"\x0a\x01k\x12" + varint(len(value)) + value
    fields = b"\x0a" + varint(len(entry)) + entry
    return b"\x32" + varint(len(fields)) + fields


def varint(number: int) -> bytes:
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes([*out, number])


@pytest.mark.parametrize("data", [b"\x0a\xff", b"\x1a\x02\xff\xfe", b"\xff" * 40, nested_struct(200)])
@own_loop
async def test_malformed_requests_are_the_callers_fault(data: bytes) -> None:
    in_window = data if data[0] != 0x32 else b"\x12" + varint(len(data)) + data
    async with served() as channel:
        calls = {
            "/OrcaCore/EmitWindow": lambda path: channel.unary_unary(path)(data),
            "/OrcaProcessor/ExecuteDagPart": lambda path: channel.unary_stream(path)(in_window).read(),
        }
        for path, start in calls.items():
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await start(path)
            assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
            assert path in (caught.value.details() or "")


@own_loop
async def test_unknown_methods_are_unimplemented() -> None:
    async with served() as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await wire.call(channel, wire.OrcaCore.Expose)(wire.ExposeSettings())
        assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
