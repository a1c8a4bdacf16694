"""Bridge 1.0: machines of different tools invoke each other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from orca.statemachine.runtime.bridge import (
    BRIDGE_PROTOCOL_VERSION,
    BridgeError,
    build_invocation,
    dispatch_foreign,
    make_result,
    parse_invocation,
    parse_result,
)
from orca.statemachine.runtime.bridge import descriptor_for as _descriptor_for
from orca_runtime_python._convert import to_model
from orca_runtime_python.types import MachineDef

if TYPE_CHECKING:
    from orca.statemachine.model import MachineDef as _Model

__all__ = [
    "BRIDGE_PROTOCOL_VERSION",
    "BridgeError",
    "MachineDef",
    "build_invocation",
    "descriptor_for",
    "dispatch_foreign",
    "make_result",
    "parse_invocation",
    "parse_result",
]


def descriptor_for(machine: MachineDef | _Model) -> dict[str, Any]:
    """The descriptor of a machine: its parameters and what it returns."""
    return _descriptor_for(to_model(machine))
