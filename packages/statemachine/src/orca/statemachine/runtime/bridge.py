"""Bridge 1.0: machines of different tools invoke each other by JSON over standard input and output.

    descriptor   {protocol_version, name, params, returns, measurement_bearing}
    invocation   {protocol_version, child, args, shots, return_bindings}           on the runner's stdin
    result       {protocol_version, final_state, returns, error?: {code, message}} on its stdout

A failure of the child stands in the result; a `BridgeError` means that there is no result.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, ClassVar, Final, cast

import anyio

from orca.common.errors import OrcaError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from orca.statemachine.model import MachineDef

__all__ = [
    "BRIDGE_PROTOCOL_VERSION",
    "OUTPUT_BYTES_MAX",
    "RUN_TIMEOUT_S",
    "BridgeError",
    "build_invocation",
    "descriptor_for",
    "dispatch_foreign",
    "dispatch_foreign_async",
    "make_result",
    "parse_invocation",
    "parse_result",
]

BRIDGE_PROTOCOL_VERSION: Final = "1.0"
RUN_TIMEOUT_S: Final = 30.0
"""How long a runner may take unless told otherwise."""
OUTPUT_BYTES_MAX: Final = 16 * 1024 * 1024
"""How much a runner may print: results are small, and what never ends must not fill memory."""
_STDERR_SHOWN: Final = 300


class BridgeError(OrcaError, RuntimeError):
    """There is no result: the runner cannot be launched, takes too long, or does not speak this version."""

    code: ClassVar[str] = "BRIDGE_ERROR"


def descriptor_for(machine: MachineDef) -> dict[str, Any]:
    """What a machine takes and gives. Machines of this language measure nothing."""
    return {
        "protocol_version": BRIDGE_PROTOCOL_VERSION,
        "name": machine.name,
        "params": [
            {"name": item.name, "type": _wire_type(item.default, str(item.type.kind))}
            for item in machine.fields
        ],
        "returns": [
            {"name": r.name, "type": str(r.type), "statistics": list(r.statistics)} for r in machine.returns
        ],
        "measurement_bearing": False,
    }


def _wire_type(default: object, declared: str) -> str:
    if isinstance(default, bool):
        return "bool"
    if isinstance(default, int):
        return "int"
    if isinstance(default, float):
        return "float"
    if isinstance(default, str):
        return "string"
    if isinstance(default, list | tuple):
        return "list"
    # Without a default the published form says "any"; the declared type says more where there is one.
    return (
        {"decimal": "float", "enum": "string", "record": "map"}.get(declared, declared)
        if declared in {"int", "decimal", "bool", "string", "list", "map", "record", "enum"}
        else "any"
    )


def build_invocation(
    child: str, args: Mapping[str, Any], shots: int | None, return_bindings: Mapping[str, str]
) -> dict[str, Any]:
    """The envelope for a runner's standard input."""
    return {
        "protocol_version": BRIDGE_PROTOCOL_VERSION,
        "child": child,
        "args": dict(args),
        "shots": shots,
        "return_bindings": dict(return_bindings),
    }


def make_result(
    final_state: str, returns: Mapping[str, Any], error: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """The envelope for a runner's standard output."""
    envelope: dict[str, Any] = {
        "protocol_version": BRIDGE_PROTOCOL_VERSION,
        "final_state": final_state,
        "returns": dict(returns),
    }
    if error is not None:
        envelope["error"] = dict(error)
    return envelope


def _load(data: Any, kind: str) -> dict[str, Any]:
    if isinstance(data, str | bytes):
        try:
            data = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise BridgeError(f"{kind} envelope is not valid JSON: {error}") from error
    if not isinstance(data, dict):
        raise BridgeError(f"{kind} envelope must be a JSON object")
    envelope = cast("dict[str, Any]", data)
    version = envelope.get("protocol_version")
    if version != BRIDGE_PROTOCOL_VERSION:
        raise BridgeError(
            f"unsupported bridge {kind} protocol_version {version!r} "
            f"(this tool speaks {BRIDGE_PROTOCOL_VERSION!r})"
        )
    return envelope


def parse_result(data: Any) -> dict[str, Any]:
    """A result envelope, from text or already decoded: ``final_state``, ``returns``, ``error``.

    Raises:
        BridgeError: It is not JSON, not an object, or of another version.
    """
    envelope = _load(data, "result")
    return {
        "final_state": envelope.get("final_state", ""),
        "returns": envelope.get("returns") or {},
        "error": envelope.get("error"),
    }


def parse_invocation(data: Any) -> dict[str, Any]:
    """An invocation envelope: ``child``, ``args``, ``shots``, ``return_bindings``.

    Raises:
        BridgeError: As for `parse_result`, or it names no child.
    """
    envelope = _load(data, "invocation")
    if "child" not in envelope:
        raise BridgeError("invocation envelope is missing 'child'")
    return {
        "child": envelope["child"],
        "args": envelope.get("args") or {},
        "shots": envelope.get("shots"),
        "return_bindings": envelope.get("return_bindings") or {},
    }


async def dispatch_foreign_async(
    runner_argv: Sequence[str], invocation: Mapping[str, Any], *, timeout_s: float = RUN_TIMEOUT_S
) -> dict[str, Any]:
    """Run a child in another program. Cancelling the caller ends the program.

    Args:
        runner_argv: The command line.
        invocation: From `build_invocation`.
        timeout_s: Seconds it may take.

    Raises:
        BridgeError: It cannot be launched, takes too long, prints more than `OUTPUT_BYTES_MAX`, or what it prints
            is no result.
    """
    out, err = bytearray(), bytearray()
    code: int | None = None
    try:
        with anyio.fail_after(timeout_s):
            process = await anyio.open_process(list(runner_argv), stderr=-1)
            async with process:
                try:
                    async with anyio.create_task_group() as group:
                        group.start_soon(_collect, process.stdout, out)
                        group.start_soon(_collect, process.stderr, err)
                        group.start_soon(_feed, process.stdin, json.dumps(invocation).encode())
                    code = await process.wait()
                except BaseException:
                    _kill(process)
                    raise
    except FileNotFoundError as error:
        raise BridgeError(f"foreign runner not found: {runner_argv[0]!r}") from error
    except OSError as error:
        if isinstance(error, TimeoutError):
            raise BridgeError(f"foreign runner timed out after {timeout_s:g}s") from error
        raise BridgeError(f"foreign runner cannot be launched: {error}") from error
    return _interpret(bytes(out), bytes(err), code)


def _kill(process: anyio.abc.Process) -> None:
    try:
        process.kill()
    except ProcessLookupError:
        return


async def _collect(stream: anyio.abc.ByteReceiveStream | None, into: bytearray) -> None:
    if stream is None:
        return
    async for chunk in stream:
        # What comes after the limit is read and dropped, so that the runner does not hang on a full pipe.
        if len(into) <= OUTPUT_BYTES_MAX:
            into += chunk


async def _feed(stream: anyio.abc.ByteSendStream | None, data: bytes) -> None:
    if stream is None:
        return
    try:
        await stream.send(data)
        await stream.aclose()
    except (anyio.BrokenResourceError, anyio.ClosedResourceError, BrokenPipeError, ConnectionResetError):
        return  # a runner need not read its input


def _interpret(out: bytes, err: bytes, code: int | None) -> dict[str, Any]:
    if len(out) > OUTPUT_BYTES_MAX:
        raise BridgeError(f"foreign runner printed more than {OUTPUT_BYTES_MAX} bytes")
    try:
        return parse_result(out)
    except BridgeError as error:
        stderr = err.decode("utf-8", "replace").strip()[:_STDERR_SHOWN]
        if code:
            raise BridgeError(f"foreign runner exited {code}" + (f": {stderr}" if stderr else "")) from error
        if stderr:
            raise BridgeError(f"{error.message} (runner stderr: {stderr})") from error
        raise


def dispatch_foreign(
    runner_argv: Sequence[str],
    invocation: Mapping[str, Any],
    timeout: float = RUN_TIMEOUT_S,
) -> dict[str, Any]:
    """`dispatch_foreign_async` for callers without an event loop."""

    async def run() -> dict[str, Any]:
        return await dispatch_foreign_async(runner_argv, invocation, timeout_s=timeout)

    return anyio.run(run)
