"""Hypothesis strategies for every part of a definition that the notations can say."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import strategies as st

from orca.statemachine.expr import (
    Arithmetic,
    GuardAnd,
    GuardCompare,
    GuardExpression,
    GuardFalse,
    GuardIn,
    GuardNot,
    GuardNullcheck,
    GuardOr,
    GuardRef,
    GuardTrue,
    Negate,
    ValueRef,
    VariableRef,
)
from orca.statemachine.model import (
    ActionSignature,
    ContextField,
    EffectDef,
    EventDef,
    GuardDef,
    Invariant,
    InvokeDef,
    Live,
    MachineDef,
    OutcomeRef,
    ParallelDef,
    Parameter,
    PassesThrough,
    Reachable,
    RegionDef,
    Responds,
    ReturnDef,
    StateDef,
    TimeoutDef,
    Transition,
    TypeRef,
    Unreachable,
    freeze,
)
from orca.statemachine.tables import (
    AnyCell,
    ConditionDef,
    DecisionTableDef,
    OutputDef,
    RangeCell,
    RuleDef,
    SetCell,
)

STATE_NAMES = [
    *"abcdefgh",
    "on",
    "state",
    "timeout",
    "live",
    "transitions",
    "machine",
    "initial",
    "region",
    "in",
]
EVENT_NAMES = ["GO", "STOP", "on_", "E1", "timeout_", "within"]
FIELD_NAMES = ["x", "y", "total", "or", "ctx", "state_", "name_"]
GUARD_NAMES = ["big", "small", "live_", "reachable", "invariant"]
ACTION_NAMES = ["act", "log_it", "transitions_", "live"]
EFFECT_NAMES = ["Mail", "Pay"]

texts = st.text(max_size=12).filter(lambda text: not any("\ud800" <= char <= "\udfff" for char in text))
numbers = st.integers(-(10**6), 10**6) | st.floats(allow_nan=False, allow_infinity=False, width=32)


def number_ref(value: float) -> ValueRef:
    return ValueRef("number", value)


literals = (
    numbers.map(number_ref)
    | texts.map(lambda text: ValueRef("string", text))
    | st.booleans().map(lambda value: ValueRef("boolean", value))
    | st.just(ValueRef("null", None))
)


@st.composite
def values(draw: Any, fields: list[str], depth: int = 2) -> GuardExpression:
    """Expressions whose value counts."""
    paths = [
        st.sampled_from(fields).map(lambda name: VariableRef(("ctx", name))) if fields else st.nothing(),
        st.sampled_from(["id", "in"]).map(lambda name: VariableRef(("event", name))),
    ]
    leaf = st.one_of(*paths, literals)
    if depth == 0 or draw(st.booleans()):
        return draw(leaf)
    if draw(st.integers(0, 3)) == 0:
        inner = draw(values(fields, depth - 1).filter(lambda node: not is_number(node)))
        return Negate(inner)
    op = draw(st.sampled_from(["add", "sub", "mul", "div", "mod"]))
    return Arithmetic(op, draw(values(fields, depth - 1)), draw(values(fields, depth - 1)))


def is_number(node: GuardExpression) -> bool:
    return isinstance(node, ValueRef) and node.type == "number"


@st.composite
def conditions(draw: Any, fields: list[str], guards: list[str], depth: int = 3) -> GuardExpression:
    """Expressions whose truth counts."""
    kind = draw(st.integers(0, 3 if depth == 0 else 6))
    if kind == 0:
        if guards and draw(st.booleans()):
            return GuardRef(draw(st.sampled_from(guards)))
        return draw(st.sampled_from([GuardTrue(), GuardFalse()]))
    value = values(fields)
    if kind == 1:
        op = draw(st.sampled_from(["eq", "ne", "lt", "le", "gt", "ge"]))
        return GuardCompare(op, draw(value), draw(value))
    if kind == 2:
        return GuardNullcheck(draw(value), is_null=draw(st.booleans()))
    if kind == 3:
        return GuardIn(draw(value), tuple(draw(st.lists(literals, min_size=1, max_size=3))))
    inner = conditions(fields, guards, depth - 1)
    if kind == 4:
        return GuardNot(draw(inner))
    operands = tuple(draw(st.lists(inner, min_size=2, max_size=3)))
    return GuardAnd(operands) if kind == 5 else GuardOr(operands)


scalars = st.sampled_from(["int", "decimal", "bool", "string", "Order", "enum"]).map(TypeRef)


@st.composite
def types(draw: Any, depth: int = 2) -> TypeRef:
    """Types that a context field may have."""
    kind = draw(st.integers(0, 4)) if depth else 0
    if kind == 1:
        found = TypeRef("list", (draw(types(depth - 1)),))
    elif kind == 2:
        found = TypeRef("map", (TypeRef("string"), draw(types(depth - 1))))
    elif kind == 3:
        found = TypeRef("enum", (TypeRef("red"), TypeRef("green")))
    else:
        found = draw(scalars)
    return replace(found, optional=draw(st.booleans()))


@st.composite
def defaults(draw: Any, kind: TypeRef) -> Any:
    """Values that fit a type."""
    if kind.optional and draw(st.booleans()):
        return None
    name = kind.kind
    if name == "int":
        return draw(st.integers(-(10**9), 10**9))
    if name == "decimal":
        return draw(numbers)
    if name == "bool":
        return draw(st.booleans())
    if name == "enum":
        return draw(st.sampled_from(kind.choices or ("any", "other")))
    if name == "list":
        return tuple(draw(st.lists(defaults(kind.args[0]), max_size=2)))
    if name == "map":
        return freeze(draw(st.dictionaries(texts, defaults(kind.args[1]), max_size=2)))
    return draw(texts)


@st.composite
def rich_types(draw: Any) -> TypeRef:
    """Types of effects: records too."""
    if draw(st.booleans()):
        return draw(types())
    members = draw(
        st.lists(st.tuples(st.sampled_from(["to", "cc", "n"]), types(1)), unique_by=lambda item: item[0])
    )
    return TypeRef("record", members=tuple(members), optional=draw(st.booleans()))


class _Tree:
    """Builds the states of a machine; collects every path."""

    def __init__(self, draw: Any) -> None:
        self.draw = draw
        self.paths: list[str] = []
        self.finals: set[str] = set()
        self.histories: set[str] = set()

    def level(self, parent: str, depth: int) -> tuple[StateDef, ...]:
        draw = self.draw
        names = draw(
            st.lists(st.sampled_from(STATE_NAMES), min_size=1, max_size=3 if depth < 3 else 1, unique=True)
        )
        initial = draw(st.integers(0, len(names) - 1))
        return tuple(
            self.state(parent, name, depth, initial=index == initial) for index, name in enumerate(names)
        )

    def state(self, parent: str, name: str, depth: int, *, initial: bool) -> StateDef:
        draw = self.draw
        path = f"{parent}.{name}" if parent else name
        self.paths.append(path)
        found = StateDef(name, path, is_initial=initial, description=draw(st.none() | texts))
        kind = draw(st.integers(0, 9))
        if kind == 0:
            self.finals.add(path)
            return replace(found, is_final=True)
        if kind == 1 and not initial and parent:
            self.histories.add(path)
            return replace(found, history=draw(st.sampled_from(["shallow", "deep"])))
        if kind in {2, 3} and depth < 7:
            return replace(found, states=self.level(path, depth + 1))
        if kind == 4 and depth < 5:
            names = draw(st.lists(st.sampled_from(["r1", "r2", "on"]), min_size=1, max_size=2, unique=True))
            regions = tuple(
                RegionDef(item, f"{path}.{item}", self.level(f"{path}.{item}", depth + 2)) for item in names
            )
            sync = draw(st.sampled_from(["all-final", "any-final", "custom"]))
            return replace(found, parallel=ParallelDef(regions, sync))
        return found

    def enrich(self, state: StateDef, events: list[str], fields: list[str]) -> StateDef:
        """Add bullets, which refer to paths that are all known by now."""
        draw = self.draw
        inner = tuple(self.enrich(child, events, fields) for child in state.states)
        parallel = state.parallel
        if parallel is not None:
            regions = tuple(
                replace(region, states=tuple(self.enrich(child, events, fields) for child in region.states))
                for region in parallel.regions
            )
            parallel = replace(parallel, regions=regions)
        state = replace(state, states=inner, parallel=parallel)
        if state.history is not None or state.is_final or not draw(st.booleans()):
            return state
        action = st.none() | st.sampled_from(ACTION_NAMES)
        target = st.sampled_from(self.paths)
        outcome = st.none() | target.map(lambda path: OutcomeRef("state", path))
        if events:
            outcome |= st.sampled_from(events).map(lambda name: OutcomeRef("event", name))
        timer = st.builds(TimeoutDef, st.integers(0, 10**8) | st.sampled_from([1000, 86_400_000]), target)
        ignored = st.lists(st.sampled_from(events), unique=True, max_size=2) if events else st.just([])
        return replace(
            state,
            on_entry=draw(action),
            on_exit=draw(action),
            on_done=draw(outcome),
            on_error=draw(outcome),
            timeout=draw(st.none() | timer),
            ignore=draw(ignored.map(tuple) | st.just(("*",))),
            invoke=draw(st.none() | invokes(fields)),
        )


@st.composite
def invokes(draw: Any, fields: list[str]) -> InvokeDef:
    """Invocations of a child."""
    value = literals.filter(lambda node: True)
    if fields:
        value |= st.sampled_from(fields).map(lambda name: VariableRef(("ctx", name)))
    given = draw(st.lists(st.tuples(st.sampled_from(["k", "input", "shots"]), value), max_size=2))
    returns: list[tuple[str, str]] = []
    if fields:
        returns = draw(
            st.lists(st.tuples(st.sampled_from(fields), st.sampled_from(["r", "bits[0]"])), max_size=2)
        )
    return InvokeDef(
        "Child",
        tuple(given),
        draw(st.none() | st.integers(1, 1000)),
        tuple(returns),
        tuple(draw(st.lists(st.sampled_from(["failed", "lost"]), unique=True))),
    )


@st.composite
def machines(draw: Any, tables: tuple[DecisionTableDef, ...] = ()) -> MachineDef:
    """Machines that load without an error and that both notations can say."""
    names = draw(st.lists(st.sampled_from(FIELD_NAMES), unique=True, max_size=4))
    fields: list[ContextField] = []
    for name in names:
        kind = draw(types())
        given = draw(st.booleans())
        fields.append(ContextField(name, kind, draw(defaults(kind)) if given else None, has_default=given))
    events = draw(st.lists(st.sampled_from(EVENT_NAMES), unique=True, max_size=4))
    tree = _Tree(draw)
    states = tree.level("", 0)
    states = tuple(tree.enrich(state, events, names) for state in states)
    guard_names = draw(st.lists(st.sampled_from(GUARD_NAMES), unique=True, max_size=3))
    guards = tuple(
        GuardDef(name, draw(conditions(names, guard_names[:index]))) for index, name in enumerate(guard_names)
    )
    return MachineDef(
        draw(st.sampled_from(["Order", "machine", "state"])),
        draw(st.sampled_from(["0.1.0", "1.2.0", "2.0.0-beta.1", "2"])),
        tuple(fields),
        tuple(EventDef(name) for name in events),
        states,
        tuple(draw(st.lists(_transition(tree, events, names, guard_names), max_size=4))),
        guards,
        _actions(draw),
        _effects(draw),
        _returns(draw, names),
        tuple(draw(st.lists(_property(tree.paths, names, guard_names), max_size=3))),
        tables,
    )


def _actions(draw: Any) -> tuple[ActionSignature, ...]:
    if not draw(st.booleans()):
        return ()
    parameter = st.builds(Parameter, st.sampled_from(["ctx", "event"]), st.none() | types(1))
    return tuple(
        ActionSignature(
            name,
            tuple(draw(st.lists(parameter, max_size=2))),
            draw(types(1)),
            draw(st.none() | st.just("Mail")),
        )
        for name in ACTION_NAMES
    )


def _effects(draw: Any) -> tuple[EffectDef, ...]:
    if not draw(st.booleans()):
        return ()
    return tuple(
        EffectDef(name, draw(st.none() | rich_types()), draw(st.none() | rich_types()))
        for name in EFFECT_NAMES
    )


def _returns(draw: Any, fields: list[str]) -> tuple[ReturnDef, ...]:
    names = draw(st.lists(st.sampled_from([*fields, "bits[0]"]), unique=True, max_size=2))
    statistics = st.lists(st.sampled_from(["expectation", "histogram", "variance"]), unique=True, max_size=2)
    return tuple(ReturnDef(name, draw(types(1)), tuple(draw(statistics))) for name in names)


@st.composite
def _transition(
    draw: Any, tree: _Tree, events: list[str], fields: list[str], guards: list[str]
) -> Transition:
    sources = [path for path in tree.paths if path not in tree.finals]
    source = draw(st.sampled_from([*sources, "*"]))
    event = draw(st.none() | st.sampled_from(events)) if events and source not in tree.histories else None
    guard = draw(st.none() | conditions(fields, guards))
    target = draw(st.none() | st.sampled_from(tree.paths))
    return Transition(source, event, target, guard, draw(st.none() | st.sampled_from(ACTION_NAMES)))


@st.composite
def _property(draw: Any, paths: list[str], fields: list[str], guards: list[str]) -> Any:
    state = st.sampled_from(paths)
    return draw(
        st.one_of(
            st.builds(Reachable, state, state),
            st.builds(Unreachable, state, state),
            st.builds(PassesThrough, state, state, state),
            st.just(Live()),
            st.builds(Responds, state, state, st.integers(1, 99)),
            st.builds(Invariant, conditions(fields, guards), st.none() | state),
        )
    )


words = st.sampled_from(["gold", "silver", "a, b", "x|y", "-", "!no", ""])


@st.composite
def decision_tables(draw: Any) -> DecisionTableDef:
    """Decision tables that load without an error."""
    conditions_: list[ConditionDef] = []
    for name in draw(st.lists(st.sampled_from(["tier", "total", "ok", "note"]), min_size=1, unique=True)):
        kind = draw(st.sampled_from(["bool", "enum", "int_range", "decimal_range", "string"]))
        domain: tuple[str, ...] = ()
        low = high = None
        if kind == "enum":
            domain = tuple(draw(st.lists(words, min_size=1, max_size=3, unique=True)))
        elif kind == "int_range" and draw(st.booleans()):
            low, high = 0, 100
        elif kind == "decimal_range" and draw(st.booleans()):
            low, high = 0.0, 100.0
        conditions_.append(ConditionDef(name, kind, domain, low, high))
    outputs = tuple(
        OutputDef(
            name,
            draw(st.sampled_from(["bool", "int", "decimal", "string"])),
            draw(st.sampled_from(["", "Why"])),
        )
        for name in draw(st.lists(st.sampled_from(["pct", "msg"]), min_size=1, unique=True))
    )
    rules = tuple(
        RuleDef(
            number,
            tuple(draw(cells(condition)) for condition in conditions_),
            tuple(draw(results(output)) for output in outputs),
        )
        for number in range(1, draw(st.integers(2, 4)))
    )
    policy = draw(st.sampled_from(["first-match", "all-match"]))
    return DecisionTableDef("Table", tuple(conditions_), outputs, rules, policy)


@st.composite
def cells(draw: Any, condition: ConditionDef) -> Any:
    """Cells that a condition allows."""
    if draw(st.booleans()):
        return AnyCell()
    negated = draw(st.booleans())
    if condition.type == "bool":
        return SetCell((draw(st.booleans()),), negated=negated)
    if condition.type in {"enum", "string"}:
        known = st.sampled_from(condition.values) if condition.values else words
        return SetCell(tuple(draw(st.lists(known, min_size=1, max_size=2))), negated=negated)
    number = (
        st.integers(0, 100) if condition.type == "int_range" else st.integers(0, 400).map(lambda n: n / 4)
    )
    low, high = sorted((draw(number), draw(number)))
    kind = draw(st.integers(0, 3))
    if kind == 0:
        return SetCell(tuple(draw(st.lists(number, min_size=1, max_size=2))), negated=negated)
    if kind == 1:
        return RangeCell(low, high)
    if kind == 2:
        return RangeCell(low=low, low_open=draw(st.booleans()))
    return RangeCell(high=high, high_open=draw(st.booleans()))


def results(output: OutputDef) -> Any:
    """Values that an output allows."""
    some = {
        "bool": st.booleans(),
        "int": st.integers(-99, 99),
        "decimal": st.integers(-99, 99).map(lambda n: n / 4),
        "string": st.sampled_from(["gold", "a b", "x|y"]),
    }[output.type]
    return st.none() | some
