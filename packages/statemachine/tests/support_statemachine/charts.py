"""Small charts for tests, written as nested dictionaries and one-line transitions.

    chart({"a*": {}, "b": {"b1*": {}, "b2": {}}, "end$": {}}, ["a GO -> b / act", "b1 X [n > 2] -> end"])

Marks after a name: ``*`` initial, ``$`` final, ``|`` parallel, ``~`` shallow and ``~~`` deep history. Every state
has entry and exit actions ``+name`` and ``-name``; a transition's action may be ``n=3`` (assign), ``!X``
(raise X), ``fail`` (raise an error) or any other name. Names of states are unique.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

from orca.statemachine.engine import ActionResult, Handlers, Run, Signal
from orca.statemachine.expr import GuardCompare, ValueRef, VariableRef
from orca.statemachine.model import (
    ContextField,
    InvokeDef,
    MachineDef,
    OutcomeRef,
    ParallelDef,
    RegionDef,
    StateDef,
    TimeoutDef,
    Transition,
    TypeRef,
)

_NAME = re.compile(r"(\w+)([*$|~]*)")
_ROW = re.compile(
    r"(?P<source>[\w*]+)(?: (?P<event>[\w.*]+))?(?: \[(?P<guard>[^]]+)\])?"
    r" (?P<arrow>->|=>)(?: (?P<target>\w+))?(?: / (?P<action>\S+))?$"
)
_GUARD = re.compile(r"(?:(event)\.)?(\w+) (==|!=|<=|>=|<|>) (-?\d+)")
_OPS = {"==": "eq", "!=": "ne", "<": "lt", "<=": "le", ">": "gt", ">=": "ge"}


def guard(text: str | None) -> GuardCompare | None:
    """``n > 2`` or ``event.n == 1``."""
    if text is None:
        return None
    root, name, op, number = _GUARD.fullmatch(text).groups()
    return GuardCompare(_OPS[op], VariableRef((root or "ctx", name)), ValueRef("number", int(number)))


def chart(
    states: Mapping[str, Mapping],
    rows: list[str],
    options: Mapping[str, Mapping] | None = None,
    *,
    name: str = "Chart",
    traced: bool = True,
    returns: tuple = (),
) -> MachineDef:
    """The machine; ``options`` gives, by name: done, error, timeout=(ms, target), ignore, sync, invoke."""
    paths: dict[str, str] = {}

    def collect(tree: Mapping[str, Mapping], parent: str) -> None:
        for key, below in tree.items():
            name = _NAME.fullmatch(key).group(1)
            paths[name] = f"{parent}.{name}" if parent else name
            collect(below, paths[name])

    collect(states, "")

    def outcome(value: str) -> OutcomeRef:
        return OutcomeRef("state", paths[value]) if value in paths else OutcomeRef("event", value)

    def make(key: str, below: Mapping[str, Mapping]) -> StateDef:
        name, marks = _NAME.fullmatch(key).groups()
        given = dict((options or {}).get(name, {}))
        state = StateDef(
            name,
            paths[name],
            is_initial="*" in marks,
            is_final="$" in marks,
            history="deep" if "~~" in marks else "shallow" if "~" in marks else None,
        )
        if traced and state.history is None:
            state = replace(
                state, on_entry=given.get("entry", f"+{name}"), on_exit=given.get("exit", f"-{name}")
            )
        if "done" in given:
            state = replace(state, on_done=outcome(given["done"]))
        if "error" in given:
            state = replace(state, on_error=outcome(given["error"]))
        if "timeout" in given:
            state = replace(state, timeout=TimeoutDef(given["timeout"][0], paths[given["timeout"][1]]))
        if "ignore" in given:
            state = replace(state, ignore=given["ignore"])
        if "invoke" in given:
            invoke = given["invoke"]
            state = replace(state, invoke=InvokeDef(invoke) if isinstance(invoke, str) else invoke)
        if "|" in marks:
            regions = [n for n in below if "~" not in n]
            made = tuple(
                RegionDef(r, paths[r], tuple(make(k, b) for k, b in below[r].items())) for r in regions
            )
            histories = tuple(make(n, below[n]) for n in below if "~" in n)
            return replace(
                state, parallel=ParallelDef(made, given.get("sync", "all-final")), states=histories
            )
        return replace(state, states=tuple(make(k, b) for k, b in below.items()))

    def row(text: str) -> Transition:
        found = _ROW.fullmatch(text)
        assert found, text
        source = found["source"]
        return Transition(
            "*" if source == "*" else paths[source],
            found["event"],
            paths[found["target"]] if found["target"] else None,
            guard(found["guard"]),
            found["action"],
            internal=found["arrow"] == "=>",
        )

    return MachineDef(
        name,
        fields=(ContextField("n", TypeRef("int"), 0, True),),
        states=tuple(make(k, b) for k, b in states.items()),
        transitions=tuple(row(text) for text in rows),
        returns=returns,
    )


class _Actions(dict):
    """Actions that mean what their name says."""

    def get(self, name, default=None):
        if name.startswith("!"):
            return lambda ctx, payload: ActionResult(raised=[Signal(name[1:], payload)])
        if name.startswith("n="):
            return lambda ctx, payload: {"n": int(name[2:])}
        if name == "n+1":
            return lambda ctx, payload: {"n": ctx["n"] + 1}
        if name.startswith("fail"):
            return _fail
        return default


def _fail(ctx, payload):
    ctx["n"] = 99
    raise ValueError("fails on purpose")


HANDLERS = Handlers(actions=_Actions())


def trace(commands) -> str:
    """The actions that ran, in order."""
    return " ".join(c.action for c in commands if isinstance(c, Run))
