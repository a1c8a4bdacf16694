"""Time travel: a run from its journal, at any step, and forks of it.

The journal of a store holds, for each commit, the event, where it led and what it changed in the context. `Replay`
puts those together again, so no handler runs and every step is exactly what it was.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from orca.common.errors import UsageError
from orca.statemachine.engine import compile_plan
from orca.statemachine.runtime.snapshot import SNAPSHOT_SCHEMA, configuration_of, definition_hash, tree_of
from orca.statemachine.runtime.types import StateValue

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from orca.statemachine.model import MachineDef

__all__ = ["Moment", "Replay"]


@dataclass(frozen=True, slots=True)
class Moment:
    """A run after one of its steps.

    Attributes:
        step: From 0, the start.
        sequence: The sequence number of the commit.
        event: What happened; ``@start`` for the start, other names with ``@`` for timers and children.
        payload: Its payload.
        state: The state afterwards.
        context: The context afterwards.
        delta: What the step set in the context.
        history: What history states remember, by path.
    """

    step: int
    sequence: int
    event: str
    payload: Mapping[str, Any]
    state: StateValue
    context: dict[str, Any]
    delta: Mapping[str, Any]
    history: Mapping[str, Any]


class Replay:
    """The steps of a run.

    Args:
        definition: The definition of the run.
        journal: From the ``journal`` method of a store.

    Raises:
        UsageError: The journal is empty or does not begin with a start.
        SnapshotError: It names states that the definition does not have.

    Attributes:
        moments: All steps, in order.
    """

    def __init__(self, definition: MachineDef, journal: Sequence[Mapping[str, Any]]) -> None:
        if not journal or journal[0].get("event") != "@start":
            raise UsageError("the journal does not begin with the start of a run")
        self.definition = definition
        plan = compile_plan(definition)
        context = dict(definition.context)
        self.moments: list[Moment] = []
        for number, entry in enumerate(journal):
            context = {k: v for k, v in context.items() if k not in entry.get("removed", ())}
            context.update(copy.deepcopy(entry.get("delta") or {}))
            states = configuration_of(plan, {"state": entry["to"]})
            self.moments.append(
                Moment(
                    step=number,
                    sequence=int(entry["sequence"]),
                    event=str(entry["event"]),
                    payload=entry.get("payload") or {},
                    state=StateValue(tree_of(plan, states)),
                    context=copy.deepcopy(context),
                    delta=entry.get("delta") or {},
                    history=entry.get("history") or {},
                )
            )

    def __len__(self) -> int:
        return len(self.moments)

    def at(self, step: int) -> Moment:
        """The run after a step; negative numbers count from the end.

        Raises:
            UsageError: There is no such step.
        """
        if not -len(self.moments) <= step < len(self.moments):
            raise UsageError(f"step {step} is outside the run: it has steps 0 to {len(self.moments) - 1}")
        return self.moments[step]

    def fork(self, step: int) -> dict[str, Any]:
        """A snapshot of the run after a step, for `OrcaMachine.resume` of another run.

        Timers begin again and children start anew, because the journal does not hold them.
        """
        moment = self.at(step)
        plan = compile_plan(self.definition)
        states = configuration_of(plan, {"state": moment.state.value})
        timers = {plan.nodes[s].path: plan.nodes[s].timeout_ms for s in states if plan.nodes[s].timeout_ms}
        done = any(plan.nodes[s].kind.value == "final" and plan.nodes[s].parent == 0 for s in states)
        return {
            "schema": SNAPSHOT_SCHEMA,
            "machine": self.definition.name,
            "definition_version": self.definition.version,
            "definition_hash": definition_hash(self.definition),
            "state": moment.state.value,
            "configuration": [plan.nodes[s].path for s in states],
            "status": "done" if done else "running",
            "context": copy.deepcopy(moment.context),
            "history": dict(moment.history),
            "timers": timers,
            "children": {},
            "finished": [],
            "sequence": 0,
        }
