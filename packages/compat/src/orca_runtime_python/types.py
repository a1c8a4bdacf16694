"""Definitions in the published shapes, and the values of a running machine.

The definition classes are plain mutable dataclasses, as published: states refer to each other by name, a transition
names its guard. The machine itself runs on the definitions of `orca.statemachine`; `to_model` and `from_model` of
`orca_runtime_python.parser` lead from one to the other.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, TypeAlias

from orca.statemachine.runtime.types import Context, Effect, EffectResult, EffectStatus, StateValue

__all__ = [
    "ActionSignature",
    "Context",
    "Effect",
    "EffectDef",
    "EffectResult",
    "EffectStatus",
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
    "MachineDef",
    "ParallelDef",
    "RegionDef",
    "ReturnDef",
    "StateDef",
    "StateValue",
    "Transition",
    "ValueRef",
    "VariableRef",
]


class GuardExpression:
    """What every guard derives from."""


@dataclass
class GuardTrue(GuardExpression):
    """Always true."""


@dataclass
class GuardFalse(GuardExpression):
    """Never true."""


@dataclass
class VariableRef:
    """A path such as ``["ctx", "amount"]``; the first part may be ``ctx`` or ``event``."""

    path: list[str]


@dataclass
class ValueRef:
    """A literal: ``type`` is string, number, boolean or null."""

    type: str
    value: str | int | float | bool | None


@dataclass
class GuardCompare(GuardExpression):
    """A comparison; ``op`` is one of eq, ne, lt, gt, le, ge."""

    op: str
    left: VariableRef
    right: ValueRef | VariableRef


@dataclass
class GuardAnd(GuardExpression):
    """Both hold."""

    left: GuardExpression
    right: GuardExpression


@dataclass
class GuardOr(GuardExpression):
    """One of the two holds."""

    left: GuardExpression
    right: GuardExpression


@dataclass
class GuardNot(GuardExpression):
    """The other does not hold."""

    expr: GuardExpression


@dataclass
class GuardNullcheck(GuardExpression):
    """The variable is null, or with ``is_null`` false, it is not."""

    expr: VariableRef
    is_null: bool


@dataclass
class GuardDef:
    """A named guard."""

    name: str
    expression: GuardExpression


@dataclass
class RegionDef:
    """A region of a parallel state."""

    name: str
    states: list[StateDef] = field(default_factory=list["StateDef"])


@dataclass
class ParallelDef:
    """The regions of a parallel state; ``sync`` is all-final, any-final or custom."""

    regions: list[RegionDef] = field(default_factory=list[RegionDef])
    sync: str | None = None


@dataclass
class InvokeDef:
    """A child machine of a state.

    Attributes:
        machine: Its name.
        input: Fields of the child's context, each from ``ctx.field`` or a literal.
        on_done: What follows when the child is done: an event or a state.
        on_error: What follows when it failed.
        returns: Fields of the parent's context, each from a value that the child returns.
        shots: How many times a measuring child is run.
    """

    machine: str
    input: dict[str, str] | None = None
    on_done: str | None = None
    on_error: str | None = None
    returns: dict[str, str] | None = None
    shots: int | None = None


@dataclass
class ReturnDef:
    """A value that a machine hands to its caller."""

    name: str
    type: str
    statistics: list[str] = field(default_factory=list[str])


@dataclass
class StateDef:
    """A state.

    Attributes:
        name: Its name.
        is_initial: Entered when its parent is entered.
        is_final: Completes its parent.
        on_entry: Action on every entry.
        on_exit: Action on every exit.
        on_done: What follows when its children, regions or child machine are done.
        description: Free text.
        contains: Its child states.
        parallel: Its regions.
        parent: The name of the enclosing state; for a state in a region ``state.region``.
        timeout: ``{"duration": "30s", "target": "other"}``.
        ignored_events: Events that it drops.
        invoke: Its child machine.
        history: ``shallow`` or ``deep`` for a history pseudo-state.
    """

    name: str
    is_initial: bool = False
    is_final: bool = False
    on_entry: str | None = None
    on_exit: str | None = None
    on_done: str | None = None
    description: str | None = None
    contains: list[StateDef] = field(default_factory=list["StateDef"])
    parallel: ParallelDef | None = None
    parent: str | None = None
    timeout: dict[str, str] | None = None
    ignored_events: list[str] = field(default_factory=list[str])
    invoke: InvokeDef | None = None
    history: str | None = field(default=None, kw_only=True, repr=False)
    on_error: str | None = field(default=None, kw_only=True, repr=False)


@dataclass
class Transition:
    """A transition: names of source, event and target; the guard's name (``!name`` negates it) and the action's."""

    source: str
    event: str
    target: str
    guard: str | None = None
    action: str | None = None


@dataclass
class ActionSignature:
    """The signature of an action."""

    name: str
    parameters: list[str]
    return_type: str
    has_effect: bool = False
    effect_type: str | None = None


@dataclass
class EffectDef:
    """An effect type with the texts of its input and output types."""

    name: str
    input: str
    output: str


Guards: TypeAlias = "dict[str, GuardExpression]"


@dataclass
class MachineDef:
    """A machine.

    Attributes:
        name: Its name.
        context: The fields of the context with their defaults.
        events: The names of the events.
        states: The outermost states.
        transitions: All transitions of all levels.
        guards: The named guards.
        actions: The signatures of the actions.
        effects: The effect types.
        returns: What the machine hands to its caller.
        version: The version of the definition.
        source: The definition of `orca.statemachine` that this one was made from, for what the published shapes
            cannot say: types of fields, properties, decision tables.
    """

    name: str
    context: dict[str, Any]
    events: list[str]
    states: list[StateDef]
    transitions: list[Transition]
    guards: Guards = field(default_factory=dict[str, GuardExpression])
    actions: list[ActionSignature] = field(default_factory=list[ActionSignature])
    effects: list[EffectDef] = field(default_factory=list[EffectDef])
    returns: list[ReturnDef] = field(default_factory=list[ReturnDef])
    version: str = "0.1.0"
    source: Any = field(default=None, kw_only=True, repr=False, compare=False)
