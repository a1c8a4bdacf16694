"""Whether a migration is total: tried on everywhere that a machine of the old definition can be.

The verifier explores the old definition; for each configuration that it finds, a snapshot is made, with every field
of the context, and with and without what history states remember. The migration has to turn each into a snapshot that
the new definition takes. So it is known before a release, and not when the one run in an odd state comes back.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, cast

from orca.common.errors import OrcaError
from orca.statemachine.engine import Kind, check_snapshot, compile_plan
from orca.statemachine.engine import Snapshot as EngineSnapshot
from orca.statemachine.runtime.snapshot import SNAPSHOT_SCHEMA, configuration_of, definition_hash, tree_of
from orca.statemachine.verify.analysis import Analysis, Options

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from orca.statemachine.engine import Plan
    from orca.statemachine.model import MachineDef

__all__ = ["MigrationGap", "PartialMigrationError", "check_migration"]

_GAPS_SHOWN: Final = 3
_PROBES: Final[dict[str, tuple[object, object]]] = {
    "bool": (False, True),
    "int": (3, 5),
    "decimal": (3.5, 5.5),
    "string": ("one", "two"),
    "list": ([1], [2, 3]),
    "map": ({"a": 1}, {"b": 2}),
}


@dataclass(frozen=True, slots=True)
class MigrationGap:
    """Something of the old definition that a migration does not take along.

    Attributes:
        place: The active states (leaves, joined by commas), or ``context.FIELD``; ``budget`` where there are more
            configurations than were tried.
        why: What happened.
    """

    place: str
    why: str

    def __str__(self) -> str:
        return f"{self.place}: {self.why}"


class PartialMigrationError(OrcaError, ValueError):
    """A migration does not take along everything of the definition that it comes from.

    Attributes:
        gaps: What is missing.
    """

    code = "PARTIAL_MIGRATION"

    def __init__(self, machine: str, gaps: tuple[MigrationGap, ...]) -> None:
        shown = "; ".join(str(gap) for gap in gaps[:_GAPS_SHOWN])
        more = f" and {len(gaps) - _GAPS_SHOWN} more" if len(gaps) > _GAPS_SHOWN else ""
        super().__init__(
            f"the migration of machine {machine!r} is not total: {shown}{more}",
            hint="map every state and field; name fields that are meant to go in drops=(...)",
        )
        self.gaps = gaps


def check_migration(
    migrate: Callable[[dict[str, Any]], Mapping[str, Any]],
    old: MachineDef,
    new: MachineDef,
    *,
    drops: Iterable[str] = (),
    budget: int | None = None,
) -> tuple[MigrationGap, ...]:
    """What a migration from one definition to another leaves out; nothing when it is total.

    Args:
        migrate: Takes a snapshot of ``old`` and returns one of ``new``; must change nothing but what it is given.
        old: The definition that stored runs were made with.
        new: The definition that they are to go on with.
        drops: Fields of the old context that are meant to be lost.
        budget: Configurations that are tried; as many as the verifier explores if not given.

    Example:
        >>> from orca.statemachine import parse_orca
        >>> old = parse_orca("machine M  state a [initial]  state b  transitions { a + GO -> b }")
        >>> new = parse_orca("machine M  version: 2.0.0  state a [initial]  state c  transitions { a + GO -> c }")
        >>> def migrate(snapshot):
        ...     return {**snapshot, "definition_version": "2.0.0", "definition_hash": None}
        >>> [str(gap) for gap in check_migration(migrate, old, new)]
        ["b: the snapshot is in state 'b', which machine 'M' does not have"]
    """
    options = Options() if budget is None else Options(budget=budget)
    analysis = Analysis(old, options)
    plan, target = analysis.plan, compile_plan(new)
    space = analysis.loose
    places = dict.fromkeys(space.states(at) for at in range(space.size))
    gaps: dict[MigrationGap, None] = {}
    for states in places:
        for snapshot in _snapshots(old, plan, states):
            why = _refusal(migrate, snapshot, new, target)
            if why:
                gaps[MigrationGap(plan.describe(states), why)] = None
    if not gaps and places:
        for gap in _lost_fields(migrate, old, plan, next(iter(places)), set(drops)):
            gaps[gap] = None
    if not analysis.complete:
        gaps[MigrationGap("budget", f"only {len(places)} configurations were tried")] = None
    return tuple(gaps)


def _snapshots(old: MachineDef, plan: Plan, states: tuple[int, ...]) -> Iterator[dict[str, Any]]:
    """The snapshot of a configuration, and again with everything that history states could remember."""
    nodes = plan.nodes
    plain: dict[str, Any] = {
        "schema": SNAPSHOT_SCHEMA,
        "machine": old.name,
        "definition_version": old.version,
        "definition_hash": definition_hash(old),
        "state": tree_of(plan, states),
        "configuration": [nodes[s].path for s in states],
        "status": "running",
        "context": _context(old, 0),
        "history": {},
        "timers": {nodes[s].path: float(nodes[s].timeout_ms or 0) for s in states if nodes[s].timeout_ms},
        "delayed": [],
        "children": {},
        "finished": [nodes[s].path for s in states if nodes[s].invoke is not None],
        "active_invoke": None,
        "queue": [],
        "outbox": [],
        "sequence": 1,
        "timestamp": 0.0,
    }
    yield plain
    for node in nodes:
        if node.kind is Kind.HISTORY:
            for child in nodes[node.parent].children:
                inside = [n for n in nodes if plan.is_below(n.index, child) or n.index == child]
                kept = [n.path for n in inside if not n.children and n.kind is not Kind.HISTORY]
                for path in kept if node.deep else [nodes[child].path]:
                    yield {**copy.deepcopy(plain), "history": {node.path: [path]}}


def _context(old: MachineDef, probe: int) -> dict[str, Any]:
    context = copy.deepcopy(dict(old.context))
    for item in old.fields:
        values = _PROBES.get(str(item.type.kind))
        if values is not None and (probe or context.get(item.name) is None):
            context[item.name] = copy.deepcopy(values[probe])
    return context


def _refusal(
    migrate: Callable[[dict[str, Any]], Mapping[str, Any]],
    snapshot: Mapping[str, Any],
    new: MachineDef,
    target: Plan,
) -> str:
    """Why the new definition does not take what becomes of a snapshot; empty if it does."""
    try:
        found = dict(migrate(copy.deepcopy(dict(snapshot))))
    except Exception as error:  # noqa: BLE001 - whatever it raises is what is looked for
        return f"the migration raises {type(error).__name__}: {error}"
    version, mark = found.get("definition_version"), found.get("definition_hash")
    if found.get("machine", new.name) != new.name:
        return f"the result belongs to machine {found['machine']!r}"
    if mark != definition_hash(new) and not (mark is None and version == new.version):
        return f"the result is of version {version!r} (hash {str(mark)[:8]!r}), not of {new.version!r}"
    try:
        states = configuration_of(target, found)
        context = cast("Mapping[str, Any]", found.get("context") or {})
        check_snapshot(target, EngineSnapshot(states, context, (), "running"))
    except OrcaError as error:
        return error.message
    known = {item.name for item in new.fields}
    unknown = [name for name in context if name not in known]
    if known and unknown:
        return f"the result has context fields that the definition lacks: {', '.join(unknown)}"
    history = cast("Mapping[str, list[str]]", found.get("history") or {})
    timers = cast("Mapping[str, Any]", found.get("timers") or {})
    mentioned = [
        *timers,
        *history,
        *(path for paths in history.values() for path in paths),
    ]
    lost = [path for path in mentioned if path not in target.by_path]
    return f"timers or history name {lost[0]!r}, which the definition lacks" if lost else ""


def _lost_fields(
    migrate: Callable[[dict[str, Any]], Mapping[str, Any]],
    old: MachineDef,
    plan: Plan,
    states: tuple[int, ...],
    drops: set[str],
) -> Iterator[MigrationGap]:
    """Fields whose value makes no difference to what comes out."""
    base = next(_snapshots(old, plan, states))
    other = _context(old, 1)
    for item in old.fields:
        if item.name in drops or other.get(item.name) == base["context"].get(item.name):
            continue
        changed = {**base, "context": {**base["context"], item.name: other[item.name]}}
        one, two = (dict(migrate(copy.deepcopy(snapshot))).get("context") for snapshot in (base, changed))
        if one == two:
            yield MigrationGap(f"context.{item.name}", "its value is lost")
