"""Definitions: from `orca.statemachine` to the published shapes and back."""

from __future__ import annotations

import copy
import re
from typing import TYPE_CHECKING, Any, Final, Literal, cast

from orca.statemachine import expr, model
from orca.statemachine.model import freeze
from orca_runtime_python import types
from orca_runtime_python._guards import InlineGuard, guard_from_model, guard_name, guard_to_model

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["DefinitionError", "from_model", "to_model"]

_DURATION: Final = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)?\s*")
_UNIT_MS: Final = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, None: 1_000}


class DefinitionError(ValueError):
    """A definition made by hand refers to something that it does not have."""


# ---- to the published shapes


def from_model(machine: model.MachineDef) -> types.MachineDef:
    """A definition in the published shapes; it remembers what it was made from."""
    paths = [node.path for node in machine.walk() if isinstance(node, model.StateDef)]
    names = [path.rpartition(".")[2] for path in paths]
    short = {path: name if names.count(name) == 1 else path for path, name in zip(paths, names, strict=True)}
    made = types.MachineDef(
        name=machine.name,
        context=machine.context,
        events=list(machine.events),
        states=[_state(state, short, None) for state in machine.states],
        transitions=[
            types.Transition(
                source=short.get(row.source, row.source),
                event=row.event or "",
                target=short.get(row.target or "", row.target or ""),
                guard=guard_name(row.guard),
                action=row.action,
            )
            for row in machine.transitions
        ],
        guards={item.name: guard_from_model(item.expression) for item in machine.guard_defs},
        actions=[
            types.ActionSignature(
                item.name,
                [parameter.name for parameter in item.parameters],
                str(item.return_type),
                item.has_effect,
                item.effect_type,
            )
            for item in machine.actions
        ],
        effects=[
            types.EffectDef(item.name, str(item.input or ""), str(item.output or ""))
            for item in machine.effects
        ],
        returns=[
            types.ReturnDef(item.name, str(item.type), list(item.statistics)) for item in machine.returns
        ],
        version=machine.version,
    )
    # A copy tells later whether the program has changed the definition meanwhile.
    made.source = (machine, copy.deepcopy(made))
    return made


def _state(state: model.StateDef, short: dict[str, str], parent: str | None) -> types.StateDef:
    done = state.on_done.name if state.on_done is not None else None
    failed = state.on_error.name if state.on_error is not None else None
    return types.StateDef(
        name=state.name,
        is_initial=state.is_initial,
        is_final=state.is_final,
        on_entry=state.on_entry,
        on_exit=state.on_exit,
        on_done=short.get(done or "", done),
        description=state.description,
        contains=[_state(child, short, state.name) for child in state.states],
        parallel=_parallel(state, short),
        parent=parent,
        timeout=None
        if state.timeout is None
        else {
            "duration": _duration(state.timeout.delay_ms),
            "target": short.get(state.timeout.target, state.timeout.target),
        },
        ignored_events=list(state.ignore),
        invoke=None if state.invoke is None else _invoke(state.invoke, short.get(done or "", done), failed),
        history=state.history,
        on_error=short.get(failed or "", failed),
    )


def _parallel(state: model.StateDef, short: dict[str, str]) -> types.ParallelDef | None:
    if state.parallel is None:
        return None
    regions = [
        types.RegionDef(
            region.name, [_state(child, short, f"{state.name}.{region.name}") for child in region.states]
        )
        for region in state.parallel.regions
    ]
    return types.ParallelDef(regions, None if state.parallel.sync == "all-final" else state.parallel.sync)


def _invoke(invoke: model.InvokeDef, done: str | None, failed: str | None) -> types.InvokeDef:
    return types.InvokeDef(
        machine=invoke.machine,
        input={name: _text(value) for name, value in invoke.input} or None,
        on_done=done,
        on_error=failed,
        returns=dict(invoke.returns) or None,
        shots=invoke.shots,
    )


def _text(value: expr.VariableRef | expr.ValueRef) -> str:
    return str(value) if isinstance(value, expr.VariableRef) else str(InlineGuard(value))


def _duration(delay_ms: int) -> str:
    return f"{delay_ms // 1000}s" if delay_ms % 1000 == 0 else f"{delay_ms}ms"


# ---- back


def to_model(machine: types.MachineDef | model.MachineDef) -> model.MachineDef:
    """The definition of `orca.statemachine` for one in the published shapes; one that is already is itself.

    Raises:
        DefinitionError: A transition, ``on_done`` or timeout names a state or guard that is not there.
    """
    if isinstance(machine, model.MachineDef):
        return machine
    if machine.source is not None and machine.source[1] == machine:
        return cast("model.MachineDef", machine.source[0])
    made = _Back(machine).run()
    machine.source = (made, copy.deepcopy(machine))
    return made


class _Back:
    def __init__(self, machine: types.MachineDef) -> None:
        self.machine = machine
        self.fields = frozenset(machine.context)
        self.paths: dict[str, str] = {}
        for path in _walk(machine.states, ""):
            # The first state of a name counts, as published; a path always says which one is meant.
            self.paths.setdefault(path.rpartition(".")[2], path)
            self.paths[path] = path

    def run(self) -> model.MachineDef:
        machine = self.machine
        return model.MachineDef(
            name=machine.name,
            version=machine.version,
            fields=tuple(
                model.ContextField(name, _type(value), freeze(value), has_default=True)
                for name, value in machine.context.items()
            ),
            event_defs=tuple(model.EventDef(name) for name in machine.events),
            states=tuple(self.state(state, "") for state in machine.states),
            transitions=tuple(self.transition(row) for row in machine.transitions),
            guard_defs=tuple(
                model.GuardDef(name, guard_to_model(guard, self.fields))
                for name, guard in machine.guards.items()
            ),
            actions=tuple(
                model.ActionSignature(
                    item.name,
                    tuple(model.Parameter(name) for name in item.parameters),
                    model.TypeRef(item.return_type),
                    (item.effect_type or "Effect") if item.has_effect else None,
                )
                for item in machine.actions
            ),
            effects=tuple(
                model.EffectDef(item.name, model.TypeRef(item.input), model.TypeRef(item.output))
                for item in machine.effects
            ),
            returns=tuple(
                model.ReturnDef(item.name, model.TypeRef(item.type), tuple(item.statistics))
                for item in machine.returns
            ),
        )

    def path(self, name: str, what: str) -> str:
        found = self.paths.get(name)
        if found is None:
            raise DefinitionError(f"Machine '{self.machine.name}': {what} '{name}' is not defined.")
        return found

    def transition(self, row: types.Transition) -> model.Transition:
        return model.Transition(
            source=row.source
            if row.source == model.ANY_STATE
            else self.path(row.source, "transition source"),
            event=row.event or None,
            target=self.path(row.target, "transition target") if row.target else None,
            guard=self.guard(row.guard),
            action=row.action,
        )

    def guard(self, name: str | None) -> expr.GuardExpression | None:
        if not name:
            return None
        if isinstance(name, InlineGuard):
            return name.expression
        plain = name.lstrip("!")
        if plain not in self.machine.guards:
            raise DefinitionError(f"Machine '{self.machine.name}': guard '{name}' is used but not defined.")
        reference = expr.GuardRef(plain)
        return expr.GuardNot(reference) if name != plain else reference

    def state(self, state: types.StateDef, prefix: str) -> model.StateDef:
        path = f"{prefix}{state.name}"
        done = state.on_done or (state.invoke.on_done if state.invoke else None)
        failed = state.on_error or (state.invoke.on_error if state.invoke else None)
        parallel = None
        if state.parallel is not None:
            regions = tuple(
                model.RegionDef(
                    region.name,
                    f"{path}.{region.name}",
                    _with_initial([self.state(child, f"{path}.{region.name}.") for child in region.states]),
                )
                for region in state.parallel.regions
            )
            sync = cast("Literal['all-final', 'any-final', 'custom']", state.parallel.sync or "all-final")
            parallel = model.ParallelDef(regions, sync)
        return model.StateDef(
            name=state.name,
            path=path,
            is_initial=state.is_initial or (not prefix and state is self.first()),
            is_final=state.is_final,
            description=state.description,
            on_entry=state.on_entry,
            on_exit=state.on_exit,
            on_done=self.outcome(done),
            on_error=self.outcome(failed),
            timeout=self.timeout(state.timeout),
            ignore=tuple(state.ignored_events),
            invoke=None if state.invoke is None else self.invoke(state.invoke),
            states=_with_initial([self.state(child, f"{path}.") for child in state.contains]),
            parallel=parallel,
            history=cast("Any", state.history),
        )

    def first(self) -> types.StateDef | None:
        """The state that begins when none is marked: the first, as published."""
        states = self.machine.states
        return None if any(one.is_initial for one in states) or not states else states[0]

    def outcome(self, name: str | None) -> model.OutcomeRef | None:
        if not name:
            return None
        if name in self.machine.events or name not in self.paths:
            return model.OutcomeRef("event", name)
        return model.OutcomeRef("state", self.paths[name])

    def timeout(self, timeout: dict[str, str] | None) -> model.TimeoutDef | None:
        if timeout is None:
            return None
        found = _DURATION.fullmatch(str(timeout["duration"]))
        if found is None:
            raise DefinitionError(f"Machine '{self.machine.name}': '{timeout['duration']}' is no duration.")
        delay_ms = round(float(found[1]) * _UNIT_MS[found[2]])
        return model.TimeoutDef(delay_ms, self.path(timeout["target"], "timeout target"))

    def invoke(self, invoke: types.InvokeDef) -> model.InvokeDef:
        return model.InvokeDef(
            machine=invoke.machine,
            input=tuple((name, self.value(text)) for name, text in (invoke.input or {}).items()),
            shots=invoke.shots,
            returns=tuple((invoke.returns or {}).items()),
        )

    def value(self, text: str) -> expr.VariableRef | expr.ValueRef:
        name = text.removeprefix("ctx.")
        if name != text or name in self.fields:
            return expr.VariableRef(("ctx", *name.split(".")))
        if text.startswith('"'):
            return expr.ValueRef("string", text.strip('"'))
        if text in {"true", "false"}:
            return expr.ValueRef("boolean", text == "true")
        try:
            return expr.ValueRef("number", float(text) if "." in text else int(text))
        except ValueError:
            return expr.VariableRef(("ctx", *name.split(".")))


def _with_initial(states: list[model.StateDef]) -> tuple[model.StateDef, ...]:
    """Where no child is marked initial, the first one is, as published."""
    if states and not any(one.is_initial for one in states):
        from dataclasses import replace  # noqa: PLC0415 - only for definitions that leave it out

        states = [replace(states[0], is_initial=True), *states[1:]]
    return tuple(states)


def _walk(states: list[types.StateDef], prefix: str) -> Iterator[str]:
    for state in states:
        path = f"{prefix}{state.name}"
        yield path
        yield from _walk(state.contains, f"{path}.")
        for region in state.parallel.regions if state.parallel is not None else ():
            yield from _walk(region.states, f"{path}.{region.name}.")


def _type(value: object) -> model.TypeRef:
    for kind, name in ((bool, "bool"), (int, "int"), (float, "decimal"), (str, "string"), (list, "list")):
        if isinstance(value, kind):
            return model.TypeRef(name)
    return model.TypeRef("map" if isinstance(value, dict) else "any", optional=value is None)
