"""The import name `orca_runtime_python`, served by `orca.statemachine`.

Programs for orca-runtime-python up to 0.1.30 run unchanged, and so does what its own page prints (`parse_orca`, which
no release had). New code imports `orca.statemachine`.
"""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version


def _refuse_published() -> None:
    """Two distributions that both provide this module overwrite each other's files: say so, do not guess.

    Raises:
        ImportError: orca-runtime-python is installed too.
    """
    try:
        found = version("orca-runtime-python")
    except PackageNotFoundError:
        return
    raise ImportError(
        f"orca-runtime-python {found} and orca-compat both provide 'orca_runtime_python', so which one runs is chance; "
        "keep one:\n"
        "  pip uninstall orca-runtime-python && pip install --force-reinstall --no-deps orca-compat",
        name="orca_runtime_python",
    )


_refuse_published()

from orca_runtime_python.bridge import (  # noqa: E402 - what follows only makes sense when this package is the one
    BRIDGE_PROTOCOL_VERSION,
    BridgeError,
    build_invocation,
    descriptor_for,
    dispatch_foreign,
    make_result,
    parse_invocation,
    parse_result,
)
from orca_runtime_python.bus import (  # noqa: E402
    Event,
    EventBus,
    EventType,
    get_event_bus,
    reset_event_bus,
)
from orca_runtime_python.logging import ConsoleSink, FileSink, LogSink, MultiSink  # noqa: E402
from orca_runtime_python.machine import MachineNotActiveError, OrcaMachine, TransitionResult  # noqa: E402
from orca_runtime_python.parser import (  # noqa: E402
    ParseError,
    parse_orca,
    parse_orca_auto,
    parse_orca_md,
    parse_orca_md_multi,
)
from orca_runtime_python.persistence import (  # noqa: E402
    AsyncPersistenceAdapter,
    FilePersistence,
    PersistenceAdapter,
)
from orca_runtime_python.types import (  # noqa: E402
    ActionSignature,
    Context,
    Effect,
    EffectDef,
    EffectResult,
    EffectStatus,
    GuardDef,
    InvokeDef,
    MachineDef,
    ParallelDef,
    RegionDef,
    ReturnDef,
    StateDef,
    StateValue,
    Transition,
)

__version__ = "0.1.0"

__all__ = [
    "BRIDGE_PROTOCOL_VERSION",
    "ActionSignature",
    "AsyncPersistenceAdapter",
    "BridgeError",
    "ConsoleSink",
    "Context",
    "Effect",
    "EffectDef",
    "EffectResult",
    "EffectStatus",
    "Event",
    "EventBus",
    "EventType",
    "FilePersistence",
    "FileSink",
    "GuardDef",
    "InvokeDef",
    "LogSink",
    "MachineDef",
    "MachineNotActiveError",
    "MultiSink",
    "OrcaMachine",
    "ParallelDef",
    "ParseError",
    "PersistenceAdapter",
    "RegionDef",
    "ReturnDef",
    "StateDef",
    "StateValue",
    "Transition",
    "TransitionResult",
    "build_invocation",
    "descriptor_for",
    "dispatch_foreign",
    "get_event_bus",
    "make_result",
    "parse_invocation",
    "parse_orca",
    "parse_orca_auto",
    "parse_orca_md",
    "parse_orca_md_multi",
    "parse_result",
    "reset_event_bus",
]
