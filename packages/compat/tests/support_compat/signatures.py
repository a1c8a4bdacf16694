"""Whether what could be called there can be called here in the same way."""

from __future__ import annotations

import ast
from typing import Any

__all__ = ["difference"]

# Nothing given, in whichever way it is spelt.
NOTHING = {"None", "{}", "[]", "()", "''", "_HAS_DEFAULT_FACTORY_CLASS"}
REQUIRED = "required"
Parameter = tuple[str, str, str]


def difference(there: dict[str, Any], here: dict[str, Any] | None) -> str:
    """What a caller of the published name would notice here; empty when there is nothing."""
    if here is None:
        return "is not here"
    if there["kind"] != here["kind"] and there["kind"] != "value":
        return f"is a {here['kind']} here"
    if "value" in there and there["value"] != here.get("value"):
        return f"is {here.get('value', 'no plain value')} and not {there['value']}"
    mine = [tuple(one) for one in here.get("parameters") or ()]
    theirs = [tuple(one) for one in there.get("parameters") or ()]
    return "; ".join([*_gone(theirs, mine), *_needed(theirs, mine)])


def _gone(theirs: list[Any], mine: list[Any]) -> list[str]:
    """Their parameters that cannot be given here, or that mean something else when they are not."""
    kinds = {kind for _, kind, _ in mine}
    open_end = {"VAR_POSITIONAL", "VAR_KEYWORD"} <= kinds
    places = [name for name, kind, _ in mine if kind.startswith("POSITIONAL")]
    defaults = {name: default for name, _, default in mine}
    found = []
    position = 0
    for name, kind, default in theirs:
        if kind.startswith("VAR"):
            if kind not in kinds:
                found.append(f"takes no more {name}")
            continue
        if kind != "KEYWORD_ONLY":
            if not open_end and places[position : position + 1] != [name]:
                found.append(f"{name} is not at place {position + 1}")
            position += 1
        if name not in defaults:
            found += [] if "VAR_KEYWORD" in kinds else [f"{name} is gone"]
        elif default != REQUIRED and not _same(default, defaults[name]):
            found.append(f"{name} is {defaults[name]} and not {default}")
    return found


def _needed(theirs: list[Any], mine: list[Any]) -> list[str]:
    known = {name for name, _, _ in theirs}
    return [
        f"{name} is needed"
        for name, kind, default in mine
        if name not in known and default == REQUIRED and not kind.startswith("VAR")
    ]


def _same(one: str, other: str) -> bool:
    if one == other or {one, other} <= NOTHING:
        return True
    try:
        return bool(ast.literal_eval(one) == ast.literal_eval(other))
    except (SyntaxError, ValueError):
        return False
