# ruff: noqa: ARG002 - gRPC hands a request and a context to every handler
"""OrcaCore as every generation of clients and processors calls it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from orca.orchestrator.core import EmitOptions
from orca.orchestrator.model import WindowTypeRef
from orca.orchestrator.security import dial_target
from orca.orchestrator.tracing import parent_of
from orca.orchestrator.wireform import read_registration, registration_message
from orca.processor import convert, structs, wire
from orca.processor.registration import OPTIONS_KEY

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from orca.orchestrator.core import Core
    from orca.orchestrator.rpc import Guard

__all__ = ["CoreService"]

_TRIGGERED = wire.WindowEmitStatus.PROCESSING_TRIGGERED
_NOTHING = wire.WindowEmitStatus.NO_TRIGGERED_ALGORITHMS
# The first generation counted 0 nothing triggered, 1 triggered, 2 failed; later cores renumbered silently.
_SEED_TRIGGERED, _SEED_NOTHING = 1, 0
# Answers are the same few messages again and again.
_ANSWERS = {number: wire.WindowEmitStatus(status=number) for number in (0, 1, 2)}


class CoreService:
    """RegisterProcessor, EmitWindow and Expose.

    Args:
        core: Does the work.
    """

    def __init__(self, core: Core) -> None:
        self._core = core

    def handlers(self, guard: Guard) -> Mapping[Any, Callable[..., Any]]:
        """The methods with their guards."""
        return {
            wire.OrcaCore.RegisterProcessor: guard("register", self.register_processor),
            wire.OrcaCore.EmitWindow: guard("emit", self.emit_window),
            wire.OrcaCore.Expose: guard("read", self.expose),
        }

    async def register_processor(self, request: wire.ProcessorRegistration, context: Any) -> wire.Status:
        """Take a processor's set in place of its former one."""
        core = self._core
        metadata: dict[str, str] = dict(context.invocation_metadata() or ())
        registration = read_registration(request, core.settings, metadata.get(OPTIONS_KEY, ""))
        await dial_target(registration.address, core.settings)
        said = metadata.get(wire.FEATURES_KEY, "")
        features = [part for part in said.split(",") if part in wire.FEATURES]
        row = await core.registry.register(registration, features=json.dumps(features))
        await core.release_address(registration.address, registration.processor)
        core.links.revise(registration.processor, row)
        if core.bus.wanted:
            core.bus.publish("processor", {"processor": str(registration.processor), "state": "registered"})
        await context.send_initial_metadata(((wire.FEATURES_KEY, ",".join(wire.FEATURES)),))
        return wire.Status(received=True, message="Successfully registered processor")

    async def emit_window(self, request: wire.Window, context: Any) -> wire.WindowEmitStatus:
        """Store a window; the answer comes after the disk has it."""
        seed = convert.seed_window_times(request)
        times = seed or (convert.timestamp_ns(request.time_from), convert.timestamp_ns(request.time_to))
        metadata = structs.struct_dict(request.metadata) if request.HasField("metadata") else {}
        accepted = await self._core.emit(
            WindowTypeRef(request.window_type_name, request.window_type_version),
            times,
            origin=request.origin,
            metadata=metadata,
            options=_options(context),
        )
        context.set_trailing_metadata(
            (
                (wire.WINDOW_ID_KEY, str(accepted.window_id)),
                (wire.DUPLICATE_KEY, "1" if accepted.duplicate else "0"),
            )
        )
        if seed is not None:
            return _ANSWERS[_SEED_TRIGGERED if accepted.run_id else _SEED_NOTHING]
        return _ANSWERS[_TRIGGERED if accepted.run_id else _NOTHING]

    async def expose(self, request: wire.ExposeSettings, context: Any) -> wire.InternalState:
        """What every processor registered, for `orca sync`."""
        everybody = self._core.registry.registrations
        runtimes = {entry.processor.name: entry.runtime for entry in everybody}
        chosen = [
            entry
            for entry in everybody
            if not request.exclude_project or entry.processor.project != request.exclude_project
        ]
        return wire.InternalState(processors=[registration_message(entry, runtimes) for entry in chosen])


_PLAIN = EmitOptions()
# Ours have about thirty; whatever else is sent is for people.
EXEC_CHARS_MAX = 100
_OURS = (
    wire.PRIORITY_KEY,
    wire.FORCE_KEY,
    wire.PARENT_WINDOW_KEY,
    wire.PARENT_EXEC_KEY,
    wire.IDEMPOTENCY_KEY,
    wire.TRACEPARENT_KEY,
)


def _options(context: Any) -> EmitOptions:
    found = {key: value for key, value in context.invocation_metadata() or () if key in _OURS}
    if not found:
        return _PLAIN
    return EmitOptions(
        priority=_whole(found.get(wire.PRIORITY_KEY, "")),
        force=found.get(wire.FORCE_KEY, "") == "1",
        parent_id=_whole(found.get(wire.PARENT_WINDOW_KEY, "")),
        key=found.get(wire.IDEMPOTENCY_KEY, ""),
        parent_exec=found.get(wire.PARENT_EXEC_KEY, "")[:EXEC_CHARS_MAX],
        trace=parent_of(found.get(wire.TRACEPARENT_KEY, "")),
    )


def _whole(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        return 0
