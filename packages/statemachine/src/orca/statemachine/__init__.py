"""A statechart language for people and LLMs: parser, verifier, correct and fast async runtime.

Names are imported at their first use, so that importing the package costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from orca.statemachine.diagnostics import Diagnostic as Diagnostic
    from orca.statemachine.diagnostics import ParseError as ParseError
    from orca.statemachine.engine.errors import ActionError as ActionError
    from orca.statemachine.engine.errors import LivelockError as LivelockError
    from orca.statemachine.engine.errors import SnapshotError as SnapshotError
    from orca.statemachine.engine.types import ActionResult as ActionResult
    from orca.statemachine.engine.types import Delayed as Delayed
    from orca.statemachine.engine.types import Signal as Signal
    from orca.statemachine.expr import GuardAnd as GuardAnd
    from orca.statemachine.expr import GuardCompare as GuardCompare
    from orca.statemachine.expr import GuardExpression as GuardExpression
    from orca.statemachine.expr import GuardFalse as GuardFalse
    from orca.statemachine.expr import GuardNot as GuardNot
    from orca.statemachine.expr import GuardNullcheck as GuardNullcheck
    from orca.statemachine.expr import GuardOr as GuardOr
    from orca.statemachine.expr import GuardTrue as GuardTrue
    from orca.statemachine.expr import ValueRef as ValueRef
    from orca.statemachine.expr import VariableRef as VariableRef
    from orca.statemachine.loading import LoadResult as LoadResult
    from orca.statemachine.loading import load as load
    from orca.statemachine.loading import parse_document as parse_document
    from orca.statemachine.loading import parse_orca as parse_orca
    from orca.statemachine.loading import parse_orca_auto as parse_orca_auto
    from orca.statemachine.loading import parse_orca_md as parse_orca_md
    from orca.statemachine.loading import parse_orca_md_multi as parse_orca_md_multi
    from orca.statemachine.model import ActionSignature as ActionSignature
    from orca.statemachine.model import Document as Document
    from orca.statemachine.model import EffectDef as EffectDef
    from orca.statemachine.model import GuardDef as GuardDef
    from orca.statemachine.model import InvokeDef as InvokeDef
    from orca.statemachine.model import MachineDef as MachineDef
    from orca.statemachine.model import ParallelDef as ParallelDef
    from orca.statemachine.model import RegionDef as RegionDef
    from orca.statemachine.model import ReturnDef as ReturnDef
    from orca.statemachine.model import StateDef as StateDef
    from orca.statemachine.model import Transition as Transition
    from orca.statemachine.runtime.bridge import BRIDGE_PROTOCOL_VERSION as BRIDGE_PROTOCOL_VERSION
    from orca.statemachine.runtime.bridge import BridgeError as BridgeError
    from orca.statemachine.runtime.bridge import build_invocation as build_invocation
    from orca.statemachine.runtime.bridge import descriptor_for as descriptor_for
    from orca.statemachine.runtime.bridge import dispatch_foreign as dispatch_foreign
    from orca.statemachine.runtime.bridge import make_result as make_result
    from orca.statemachine.runtime.bridge import parse_invocation as parse_invocation
    from orca.statemachine.runtime.bridge import parse_result as parse_result
    from orca.statemachine.runtime.bus import Event as Event
    from orca.statemachine.runtime.bus import EventBus as EventBus
    from orca.statemachine.runtime.bus import EventType as EventType
    from orca.statemachine.runtime.bus import get_event_bus as get_event_bus
    from orca.statemachine.runtime.bus import reset_event_bus as reset_event_bus
    from orca.statemachine.runtime.machine import OrcaMachine as OrcaMachine
    from orca.statemachine.runtime.persistence import AsyncPersistenceAdapter as AsyncPersistenceAdapter
    from orca.statemachine.runtime.persistence import FilePersistence as FilePersistence
    from orca.statemachine.runtime.persistence import PersistenceAdapter as PersistenceAdapter
    from orca.statemachine.runtime.sinks import ConsoleSink as ConsoleSink
    from orca.statemachine.runtime.sinks import FileSink as FileSink
    from orca.statemachine.runtime.sinks import LogSink as LogSink
    from orca.statemachine.runtime.sinks import MultiSink as MultiSink
    from orca.statemachine.runtime.types import ConcurrentUpdateError as ConcurrentUpdateError
    from orca.statemachine.runtime.types import Context as Context
    from orca.statemachine.runtime.types import Effect as Effect
    from orca.statemachine.runtime.types import EffectResult as EffectResult
    from orca.statemachine.runtime.types import EffectStatus as EffectStatus
    from orca.statemachine.runtime.types import MachineNotActiveError as MachineNotActiveError
    from orca.statemachine.runtime.types import MissingHandlerError as MissingHandlerError
    from orca.statemachine.runtime.types import ReentrantSendError as ReentrantSendError
    from orca.statemachine.runtime.types import StateValue as StateValue
    from orca.statemachine.runtime.types import TransitionResult as TransitionResult
    from orca.statemachine.tables import DecisionTableDef as DecisionTableDef

__version__ = "0.1.0"

_EXPORTS: Final[dict[str, tuple[str, ...]]] = {
    "diagnostics": ("Diagnostic", "ParseError"),
    "expr": (
        "GuardAnd",
        "GuardCompare",
        "GuardExpression",
        "GuardFalse",
        "GuardNot",
        "GuardNullcheck",
        "GuardOr",
        "GuardTrue",
        "ValueRef",
        "VariableRef",
    ),
    "loading": (
        "LoadResult",
        "load",
        "parse_document",
        "parse_orca",
        "parse_orca_auto",
        "parse_orca_md",
        "parse_orca_md_multi",
    ),
    "model": (
        "ActionSignature",
        "Document",
        "EffectDef",
        "GuardDef",
        "InvokeDef",
        "MachineDef",
        "ParallelDef",
        "RegionDef",
        "ReturnDef",
        "StateDef",
        "Transition",
    ),
    "tables": ("DecisionTableDef",),
    "engine.errors": ("ActionError", "LivelockError", "SnapshotError"),
    "engine.types": ("ActionResult", "Delayed", "Signal"),
    "runtime.bridge": (
        "BRIDGE_PROTOCOL_VERSION",
        "BridgeError",
        "build_invocation",
        "descriptor_for",
        "dispatch_foreign",
        "make_result",
        "parse_invocation",
        "parse_result",
    ),
    "runtime.bus": ("Event", "EventBus", "EventType", "get_event_bus", "reset_event_bus"),
    "runtime.machine": ("OrcaMachine",),
    "runtime.persistence": ("AsyncPersistenceAdapter", "FilePersistence", "PersistenceAdapter"),
    "runtime.sinks": ("ConsoleSink", "FileSink", "LogSink", "MultiSink"),
    "runtime.types": (
        "ConcurrentUpdateError",
        "Context",
        "Effect",
        "EffectResult",
        "EffectStatus",
        "MachineNotActiveError",
        "MissingHandlerError",
        "ReentrantSendError",
        "StateValue",
        "TransitionResult",
    ),
}
"""The public names by the module that has them."""

_HOME: Final = {name: module for module, names in _EXPORTS.items() for name in names}

__all__ = [
    "BRIDGE_PROTOCOL_VERSION",
    "ActionError",
    "ActionResult",
    "ActionSignature",
    "AsyncPersistenceAdapter",
    "BridgeError",
    "ConcurrentUpdateError",
    "ConsoleSink",
    "Context",
    "DecisionTableDef",
    "Delayed",
    "Diagnostic",
    "Document",
    "Effect",
    "EffectDef",
    "EffectResult",
    "EffectStatus",
    "Event",
    "EventBus",
    "EventType",
    "FilePersistence",
    "FileSink",
    "GuardAnd",
    "GuardCompare",
    "GuardDef",
    "GuardExpression",
    "GuardFalse",
    "GuardNot",
    "GuardNullcheck",
    "GuardOr",
    "GuardTrue",
    "InvokeDef",
    "LivelockError",
    "LoadResult",
    "LogSink",
    "MachineDef",
    "MachineNotActiveError",
    "MissingHandlerError",
    "MultiSink",
    "OrcaMachine",
    "ParallelDef",
    "ParseError",
    "PersistenceAdapter",
    "ReentrantSendError",
    "RegionDef",
    "ReturnDef",
    "Signal",
    "SnapshotError",
    "StateDef",
    "StateValue",
    "Transition",
    "TransitionResult",
    "ValueRef",
    "VariableRef",
    "build_invocation",
    "descriptor_for",
    "dispatch_foreign",
    "get_event_bus",
    "load",
    "make_result",
    "parse_document",
    "parse_invocation",
    "parse_orca",
    "parse_orca_auto",
    "parse_orca_md",
    "parse_orca_md_multi",
    "parse_result",
    "reset_event_bus",
]


def __getattr__(name: str) -> Any:
    module = _HOME.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{module}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
