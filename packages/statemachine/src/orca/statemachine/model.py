"""The definition of a machine: what both notations parse to, and what engine, verifier and printers read.

Everything is frozen. Spans take no part in equality. In a definition that was loaded without errors every
reference is resolved: sources and targets are *paths*, that is, the dotted names from the outermost state to
the state itself, regions included (``combat.fighting``, or ``order.payment.charging`` where ``payment`` is a
region).

    MachineDef ── fields, event_defs, guard_defs, actions, effects, returns, properties, transitions, tables
       └── states: StateDef ── states (compound)  or  parallel: ParallelDef ── regions: RegionDef ── states
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, ClassVar, Final, Literal, TypeAlias, cast

if TYPE_CHECKING:
    from orca.statemachine.expr import GuardExpression, ValueRef, VariableRef
    from orca.statemachine.span import Span
    from orca.statemachine.tables import DecisionTableDef

__all__ = [
    "ANY_EVENT",
    "ANY_STATE",
    "ActionSignature",
    "ContextField",
    "Document",
    "EffectDef",
    "EventDef",
    "FrozenValue",
    "GuardDef",
    "Invariant",
    "InvokeDef",
    "Live",
    "MachineDef",
    "OutcomeRef",
    "ParallelDef",
    "Parameter",
    "PassesThrough",
    "PropertyDef",
    "Reachable",
    "RegionDef",
    "Responds",
    "ReturnDef",
    "StateDef",
    "TimeoutDef",
    "Transition",
    "TypeRef",
    "Unreachable",
    "freeze",
    "thaw",
]

ANY_STATE: Final = "*"
"""The source of a transition that every state has, after its own and its ancestors'."""
ANY_EVENT: Final = "*"
"""In ``ignore``: every event that no transition takes."""

FrozenValue: TypeAlias = (
    "bool | int | float | str | tuple[FrozenValue, ...] | Mapping[str, FrozenValue] | None"
)
"""A JSON value that cannot be changed: lists are tuples, objects are read-only mappings."""


def freeze(value: object) -> FrozenValue:
    """A JSON value as a value that cannot be changed.

    Raises:
        TypeError: The value is not JSON.
    """
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list | tuple):
        return tuple(freeze(item) for item in cast("Sequence[object]", value))
    if isinstance(value, Mapping):
        pairs = cast("Mapping[object, object]", value).items()
        return MappingProxyType({str(key): freeze(item) for key, item in pairs})
    raise TypeError(f"{type(value).__name__} is not a JSON value")


def thaw(value: FrozenValue) -> object:
    """A fresh JSON value: lists and dictionaries that belong to the caller."""
    if isinstance(value, tuple):
        return [thaw(item) for item in value]
    if isinstance(value, Mapping):
        return {key: thaw(item) for key, item in value.items()}
    return value


@dataclass(frozen=True, slots=True)
class TypeRef:
    """A type as written: ``int``, ``string[]``, ``map<string, int>``, ``enum<red, green>``, ``Order?``.

    Attributes:
        name: The name; ``list`` for ``T[]`` and ``record`` for ``{ a: int }``.
        args: Arguments: the element type of a list, key and value of a map, the names of an enumeration.
        optional: Written with ``?``: null is one of its values.
        members: The members of a record, by name.
    """

    name: str
    args: tuple[TypeRef, ...] = ()
    optional: bool = False
    members: tuple[tuple[str, TypeRef], ...] = ()
    span: Span | None = field(default=None, compare=False, repr=False)

    KINDS: ClassVar[Mapping[str, str]] = {
        "int": "int",
        "integer": "int",
        "decimal": "decimal",
        "float": "decimal",
        "double": "decimal",
        "number": "decimal",
        "bool": "bool",
        "boolean": "bool",
        "string": "string",
        "str": "string",
        "text": "string",
        "list": "list",
        "array": "list",
        "map": "map",
        "dict": "map",
        "object": "map",
        "record": "record",
        "enum": "enum",
    }

    @property
    def kind(self) -> str:
        """One of ``int decimal bool string list map record enum custom``; custom types hold any value."""
        return self.KINDS.get(self.name, "custom")

    @property
    def choices(self) -> tuple[str, ...]:
        """The names of an enumeration, empty when it lists none."""
        return tuple(arg.name for arg in self.args) if self.kind == "enum" else ()

    def __str__(self) -> str:
        if self.name == "record":
            text = "{ " + ", ".join(f"{name}: {kind}" for name, kind in self.members) + " }"
        elif self.name == "list" and len(self.args) == 1 and not self.args[0].optional:
            text = f"{self.args[0]}[]"
        elif self.args:
            text = f"{self.name}<{', '.join(str(arg) for arg in self.args)}>"
        else:
            text = self.name
        return text + ("?" if self.optional else "")


@dataclass(frozen=True, slots=True)
class ContextField:
    """A field of the context.

    Attributes:
        name: The name.
        type: Declared, or inferred from the default.
        default: The value in a new machine; null when none is given.
        has_default: Whether a default was written.
    """

    name: str
    type: TypeRef
    default: FrozenValue = None
    has_default: bool = False
    span: Span | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class EventDef:
    """A declared event."""

    name: str
    span: Span | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class OutcomeRef:
    """Where ``on_done`` or ``on_error`` leads: to a state (by path) or to an event that is raised."""

    kind: Literal["state", "event"]
    name: str
    span: Span | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class TimeoutDef:
    """After ``delay_ms`` milliseconds in the state, go to the state with path ``target``."""

    delay_ms: int
    target: str
    span: Span | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class InvokeDef:
    """A child machine that runs while the state is active; `StateDef` says what its outcome leads to.

    Attributes:
        machine: The name of the child.
        input: Pairs (field of the child's context, path or literal of the parent).
        shots: How many times a measuring child is run; none for an ordinary child.
        returns: Pairs (field of the parent's context, value that the child returns).
        failures: Final states of the child that count as failure, so that ``on_error`` is taken.
    """

    machine: str
    input: tuple[tuple[str, VariableRef | ValueRef], ...] = ()
    shots: int | None = None
    returns: tuple[tuple[str, str], ...] = ()
    failures: tuple[str, ...] = ()
    span: Span | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class RegionDef:
    """One of the regions of a parallel state; exactly one of its states is initial.

    Attributes:
        name: The name.
        path: The dotted names from the outermost state.
        states: The states, in document order.
        on_entry: Action run on every entry. Neither notation can say it; it comes from SCXML.
        on_exit: Action run on every exit, likewise.
    """

    name: str
    path: str
    states: tuple[StateDef, ...] = ()
    on_entry: str | None = None
    on_exit: str | None = None
    span: Span | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class ParallelDef:
    """The regions of a parallel state and when it is done.

    Attributes:
        regions: At least one.
        sync: ``all-final``, ``any-final`` or ``custom`` (a predicate that the program registers).
    """

    regions: tuple[RegionDef, ...] = ()
    sync: Literal["all-final", "any-final", "custom"] = "all-final"


@dataclass(frozen=True, slots=True)
class StateDef:
    """A state: atomic, compound (``states``), parallel (``parallel``), final, or a history pseudo-state.

    Attributes:
        name: The last part of ``path``.
        path: The dotted names from the outermost state, regions included.
        is_initial: Entered when its parent, region or machine is entered.
        is_final: Entering it completes its parent, region or machine.
        description: Free text.
        on_entry: Action run on every entry, or None.
        on_exit: Action run on every exit, or None.
        on_done: Taken when the children, regions or the invoked machine are done.
        on_error: Taken when an action, effect or the invoked machine fails.
        timeout: The timer of the state.
        ignore: Events that are dropped silently when nothing takes them; ``*`` stands for all.
        invoke: The child machine.
        states: The children of a compound state, in document order.
        parallel: The regions of a parallel state.
        history: ``shallow`` or ``deep``: a pseudo-state that stands for what was last active in its parent.
            Its default is the target of its own eventless transition, or else the parent's initial state.
    """

    name: str
    path: str
    is_initial: bool = False
    is_final: bool = False
    description: str | None = None
    on_entry: str | None = None
    on_exit: str | None = None
    on_done: OutcomeRef | None = None
    on_error: OutcomeRef | None = None
    timeout: TimeoutDef | None = None
    ignore: tuple[str, ...] = ()
    invoke: InvokeDef | None = None
    states: tuple[StateDef, ...] = ()
    parallel: ParallelDef | None = None
    history: Literal["shallow", "deep"] | None = None
    span: Span | None = field(default=None, compare=False, repr=False)

    @property
    def contains(self) -> tuple[StateDef, ...]:
        """The older name of ``states``."""
        return self.states

    @property
    def ignored_events(self) -> tuple[str, ...]:
        """The older name of ``ignore``."""
        return self.ignore

    @property
    def parent(self) -> str | None:
        """The path of the enclosing state or region, or None at the top."""
        return self.path.rpartition(".")[0] or None

    @property
    def is_compound(self) -> bool:
        """Whether it has child states of its own (regions do not count)."""
        return bool(self.states)


@dataclass(frozen=True, slots=True)
class Transition:
    """A row of the transition table; rows are kept in document order.

    Attributes:
        source: A path, or ``*`` for every state.
        event: The event, or None for an eventless transition.
        target: A path, or None for an internal transition.
        guard: The condition, or None.
        action: The action, or None.
        internal: Leads to a state inside its source without leaving the source. Neither notation can say it;
            it comes from SCXML's ``type="internal"``.
    """

    source: str
    event: str | None
    target: str | None
    guard: GuardExpression | None = None
    action: str | None = None
    internal: bool = False
    span: Span | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class GuardDef:
    """A named guard."""

    name: str
    expression: GuardExpression
    span: Span | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter in an action's signature."""

    name: str
    type: TypeRef | None = None

    def __str__(self) -> str:
        return self.name if self.type is None else f"{self.name}: {self.type}"


@dataclass(frozen=True, slots=True)
class ActionSignature:
    """The signature of an action: ``(ctx, event) -> Context + Effect<T>``.

    Attributes:
        name: The name.
        parameters: What it takes.
        return_type: What it gives back.
        effect_type: The ``T`` of ``+ Effect<T>``, or None.
    """

    name: str
    parameters: tuple[Parameter, ...] = ()
    return_type: TypeRef = TypeRef("Context")
    effect_type: str | None = None
    span: Span | None = field(default=None, compare=False, repr=False)

    @property
    def has_effect(self) -> bool:
        """Whether running it runs an effect."""
        return self.effect_type is not None


@dataclass(frozen=True, slots=True)
class EffectDef:
    """An effect type with the types of its input and output, where they are given."""

    name: str
    input: TypeRef | None = None
    output: TypeRef | None = None
    span: Span | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class ReturnDef:
    """A value that the machine hands to its caller.

    Attributes:
        name: A field of the context, or an indexed one (``bits[0]``) of a measuring machine.
        type: Its type.
        statistics: A subset of ``expectation``, ``histogram``, ``variance``.
    """

    name: str
    type: TypeRef
    statistics: tuple[str, ...] = ()
    span: Span | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Reachable:
    """``reachable: target from source``."""

    target: str
    source: str
    span: Span | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Unreachable:
    """``unreachable: target from source``."""

    target: str
    source: str
    span: Span | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class PassesThrough:
    """``passes_through: via for source -> target``: every way from source to target visits via."""

    via: str
    source: str
    target: str
    span: Span | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Live:
    """``live``: from everywhere a final state can be reached."""

    span: Span | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Responds:
    """``responds: target from source within steps``: at most that many events."""

    target: str
    source: str
    within: int
    span: Span | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Invariant:
    """``invariant: expression in state``; without a state it holds everywhere."""

    expression: GuardExpression
    state: str | None = None
    span: Span | None = field(default=None, compare=False, repr=False)


PropertyDef: TypeAlias = "Reachable | Unreachable | PassesThrough | Live | Responds | Invariant"


@dataclass(frozen=True, slots=True)
class MachineDef:
    """A machine.

    Attributes:
        name: The name.
        version: The version of the definition.
        fields: The context, in document order.
        event_defs: The declared events.
        states: The outermost states, in document order.
        transitions: All transitions of all levels, in document order.
        guard_defs: The named guards.
        actions: The signatures of the actions.
        effects: The effect types.
        returns: What the machine hands to its caller.
        properties: What the verifier has to prove.
        tables: The decision tables of the same document, which actions may name.
        span: Where the machine stands in its document.
    """

    name: str
    version: str = "0.1.0"
    fields: tuple[ContextField, ...] = ()
    event_defs: tuple[EventDef, ...] = ()
    states: tuple[StateDef, ...] = ()
    transitions: tuple[Transition, ...] = ()
    guard_defs: tuple[GuardDef, ...] = ()
    actions: tuple[ActionSignature, ...] = ()
    effects: tuple[EffectDef, ...] = ()
    returns: tuple[ReturnDef, ...] = ()
    properties: tuple[PropertyDef, ...] = ()
    tables: tuple[DecisionTableDef, ...] = ()
    span: Span | None = field(default=None, compare=False, repr=False)

    @property
    def context(self) -> dict[str, object]:
        """A fresh context with every default."""
        return {item.name: thaw(item.default) for item in self.fields}

    @property
    def events(self) -> tuple[str, ...]:
        """The names of the declared events."""
        return tuple(item.name for item in self.event_defs)

    @property
    def guards(self) -> dict[str, GuardExpression]:
        """The expressions of the named guards."""
        return {item.name: item.expression for item in self.guard_defs}

    def walk(self) -> Iterator[StateDef | RegionDef]:
        """All states and regions, parents first, in document order."""
        pending: list[StateDef | RegionDef] = list(reversed(self.states))
        while pending:
            node = pending.pop()
            yield node
            if isinstance(node, StateDef) and node.parallel is not None:
                pending.extend(reversed(node.parallel.regions))
            pending.extend(reversed(node.states))

    def _repr_mimebundle_(self, **_options: object) -> dict[str, str]:
        """What a notebook shows: the drawing, or Mermaid or a line of text."""
        from orca.statemachine.outputs.notebook import mime_bundle  # noqa: PLC0415 - drawings load when shown

        return mime_bundle(self)

    def find(self, path: str) -> StateDef | RegionDef | None:
        """The state or region with exactly this path; walks the tree, so keep an index in hot code."""
        level: tuple[StateDef | RegionDef, ...] = self.states
        found: StateDef | RegionDef | None = None
        for name in path.split("."):
            found = next((node for node in level if node.name == name), None)
            if found is None:
                return None
            parallel = found.parallel if isinstance(found, StateDef) else None
            level = parallel.regions if parallel is not None else found.states
        return found


@dataclass(frozen=True, slots=True)
class Document:
    """Everything that one file defines, in document order."""

    machines: tuple[MachineDef, ...] = ()
    tables: tuple[DecisionTableDef, ...] = ()

    def machine(self, name: str) -> MachineDef | None:
        """The machine with this name."""
        return next((item for item in self.machines if item.name == name), None)
