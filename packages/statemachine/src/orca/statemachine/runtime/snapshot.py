"""Snapshots as JSON: what a machine is, in a form that another process can go on with."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from typing import TYPE_CHECKING, Any, Final, cast

from orca.statemachine.engine import Kind, SnapshotError
from orca.statemachine.runtime._text import WHY, is_writable
from orca.statemachine.runtime.types import ValueNotJsonError

if TYPE_CHECKING:
    from orca.statemachine.engine import Plan
    from orca.statemachine.model import MachineDef

__all__ = ["SNAPSHOT_SCHEMA", "check_json", "configuration_of", "definition_hash", "tree_of"]

SNAPSHOT_SCHEMA: Final = 1
"""The version of the form of snapshots; a reader refuses what is newer than itself."""
DEPTH_MAX: Final = 100
"""How deep context values may be nested; deeper ones are refused before Python's own limit is met."""


def definition_hash(definition: MachineDef) -> str:
    """A hash of everything that a definition means: no spans, no descriptions of where things stand."""
    text = json.dumps(_project(definition), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _project(value: Any) -> Any:
    """Dataclasses as lists of what differs from its default, so that a new field changes no old hash."""
    if is_dataclass(value):
        found: dict[str, Any] = {"": type(value).__name__}
        for item in fields(value):
            inner = getattr(value, item.name)
            if (
                item.name == "span"
                or not item.compare
                or (item.default is not MISSING and inner == item.default)
            ):
                continue
            found[item.name] = _project(inner)
        return found
    if isinstance(value, Mapping):
        return {str(key): _project(inner) for key, inner in cast("Mapping[object, Any]", value).items()}
    if isinstance(value, list | tuple):
        return [_project(inner) for inner in cast("Sequence[Any]", value)]
    return value


def tree_of(plan: Plan, states: Sequence[int]) -> str | dict[str, Any]:
    """The nested form of a configuration; a plain name when it is one outermost state without children."""
    if len(states) == 1:
        return plan.nodes[states[0]].name
    root: dict[str, Any] = {}
    places: dict[int, dict[str, Any]] = {0: root}
    for state in states:
        node = plan.nodes[state]
        places[state] = places[node.parent][node.name] = {}
    return root


def configuration_of(plan: Plan, snapshot: Mapping[str, Any]) -> tuple[int, ...]:
    """The active states of a snapshot, from its ``configuration`` or from the older ``state`` alone.

    Raises:
        SnapshotError: It names a state that the definition does not have.
    """
    paths = snapshot.get("configuration")
    if paths is None:
        paths = _paths(snapshot.get("state"))
    found: set[int] = set()
    for path in cast("Sequence[object]", paths):
        index = plan.by_path.get(path) if isinstance(path, str) else None
        if index is None or plan.nodes[index].kind is Kind.HISTORY:
            raise SnapshotError(
                f"the snapshot is in state {path!r}, which machine {plan.name!r} does not have",
                hint="register a migration, or load it with the definition that it was made with",
            )
        found.update((index, *plan.ancestors(index)))
    return tuple(sorted(found))


def _paths(state: object) -> list[str]:
    if isinstance(state, str):
        return [part.strip() for part in state.split(",")]
    found: list[str] = []
    pending: list[tuple[str, object]] = [("", state)]
    while pending:
        prefix, inner = pending.pop()
        if isinstance(inner, str):
            found.append(f"{prefix}.{inner}" if prefix else inner)
        elif isinstance(inner, Mapping):
            below = cast("Mapping[str, object]", inner)
            if prefix:
                found.append(prefix)
            pending.extend((f"{prefix}.{name}" if prefix else name, value) for name, value in below.items())
    return found


def check_json(machine: str, values: Mapping[str, object], *, where: str = "", stored: bool = True) -> None:
    """Refuse what JSON cannot hold exactly.

    Args:
        machine: Whose values they are, for the error.
        values: The values by their names.
        where: What goes before the names in the error.
        stored: Whether a store is to keep them: then text must have a form in UTF-8 too.

    Raises:
        ValueNotJsonError: Names the field.
    """
    for key, value in values.items():
        kind = type(value)
        if kind is str:
            if not cast("str", value).isascii():
                break
        elif kind is not int and kind is not bool and value is not None:
            break
        if type(key) is not str or not key.isascii():
            break
    else:
        return  # what most contexts hold; the rest wants to know where each value stands
    pending: list[tuple[str, object, int]] = [(f"{where}{key}", value, 1) for key, value in values.items()]
    while pending:
        path, value, depth = pending.pop()
        kind = type(value)
        why = WHY if stored and not is_writable(path) else ""
        if value is None or kind is int or kind is bool:
            pass
        elif kind is str:
            why = WHY if stored and not is_writable(cast("str", value)) else why
        elif kind is float:
            why = why if math.isfinite(cast("float", value)) else f"{value} has no JSON form"
        elif depth > DEPTH_MAX:
            why = f"it is nested deeper than {DEPTH_MAX} levels"
        elif kind is list:
            items = cast("list[object]", value)
            pending.extend((f"{path}[{i}]", item, depth + 1) for i, item in enumerate(items))
        elif kind is dict:
            inner = cast("dict[object, object]", value)
            if all(type(key) is str for key in inner):
                pending.extend((f"{path}.{key}", item, depth + 1) for key, item in inner.items())
            else:
                why = "a map with keys that are not strings"
        else:
            why = f"a {kind.__name__} is not a JSON value"
        if why:
            raise ValueNotJsonError(machine, path, why)
