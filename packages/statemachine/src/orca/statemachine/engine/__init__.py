"""The pure engine: definitions in, plans out; a snapshot and an event in, a snapshot and commands out.

    compile_plan(definition)            -> Plan
    initial_snapshot(plan, context)     -> Snapshot
    step(plan, snapshot, event)         -> Step(snapshot, commands, verdict)

`Reference` is the SCXML algorithm as written, `Compiled` the fast engine; both do the same. An explorer that
abstracts from guards uses `Compiled.config`, `Compiled.row` (the candidate transitions of each leaf) and
`Compiled.micro` (what a choice among them does).
"""

from __future__ import annotations

from orca.statemachine.engine.compiled import Compiled, Config, Micro, Row, compiled
from orca.statemachine.engine.driver import Handlers, Step, check_snapshot, initial_snapshot, step
from orca.statemachine.engine.errors import ActionError, LivelockError, PlanError, SnapshotError
from orca.statemachine.engine.plan import EVENTLESS, MICROSTEPS_MAX, ROOT, Arc, Kind, Node, Plan, compile_plan
from orca.statemachine.engine.reference import Reference
from orca.statemachine.engine.types import (
    ActionResult,
    Ask,
    CancelSend,
    CancelTimer,
    Command,
    Delayed,
    EffectFailed,
    Enter,
    Exit,
    Finish,
    Raise,
    Run,
    SendLater,
    Signal,
    Snapshot,
    StartChild,
    StartTimer,
    StopChild,
    done_name,
    error_name,
    timeout_name,
)
from orca.statemachine.engine.work import Engine, Work

__all__ = [
    "EVENTLESS",
    "MICROSTEPS_MAX",
    "ROOT",
    "ActionError",
    "ActionResult",
    "Arc",
    "Ask",
    "CancelSend",
    "CancelTimer",
    "Command",
    "Compiled",
    "Config",
    "Delayed",
    "EffectFailed",
    "Engine",
    "Enter",
    "Exit",
    "Finish",
    "Handlers",
    "Kind",
    "LivelockError",
    "Micro",
    "Node",
    "Plan",
    "PlanError",
    "Raise",
    "Reference",
    "Row",
    "Run",
    "SendLater",
    "Signal",
    "Snapshot",
    "SnapshotError",
    "StartChild",
    "StartTimer",
    "Step",
    "StopChild",
    "Work",
    "check_snapshot",
    "compile_plan",
    "compiled",
    "done_name",
    "error_name",
    "initial_snapshot",
    "step",
    "timeout_name",
]
