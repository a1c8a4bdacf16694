"""Machines from a seed: every feature of the language, with references that always resolve.

Actions and guards are pure, so that engines can be compared and a run can be repeated.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

from orca.statemachine.engine import ActionResult, Handlers, Signal, timeout_name
from orca.statemachine.expr import GuardCompare, GuardNot, GuardRef, ValueRef, VariableRef
from orca.statemachine.model import (
    ActionSignature,
    ContextField,
    EventDef,
    GuardDef,
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

EVENTS = ("A", "B", "C", "D")
INT = TypeRef("int")


@dataclass(frozen=True)
class Shape:
    """What a generated machine may contain, as probabilities."""

    depth: int = 3
    compound: float = 0.35
    parallel: float = 0.2
    final: float = 0.2
    history: float = 0.3
    action: float = 0.5
    eventless: float = 0.12
    guard: float = 0.5
    timeout: float = 0.15
    outcome: float = 0.5
    invoke: float = 0.1
    failing: float = 0.1
    rows: float = 2.0
    custom_sync: bool = True


class _Maker:
    def __init__(self, rng: random.Random, shape: Shape) -> None:
        self.rng, self.shape = rng, shape
        self.count = 0
        self.paths: list[str] = []
        self.histories: list[str] = []

    def chance(self, probability: float) -> bool:
        return self.rng.random() < probability

    def name(self, prefix: str) -> str:
        self.count += 1
        return f"{prefix}{self.count}"

    def action(self) -> str | None:
        if not self.chance(self.shape.action):
            return None
        pool = ["inc", "dec", "reset", "raise_a", "raise_b", "note", "effect"]
        return self.rng.choice([*pool, "fail"] if self.chance(self.shape.failing) else pool)

    def states(self, parent: str, depth: int) -> tuple[StateDef, ...]:
        made: list[StateDef] = []
        for position in range(self.rng.randint(1 if parent else 2, 4)):
            name = self.name("s")
            made.append(self.state(name, f"{parent}.{name}" if parent else name, depth, position > 0))
        first = self.rng.randrange(len(made))
        made = [replace(s, is_initial=i == first) for i, s in enumerate(made)]
        if parent and self.chance(self.shape.history):
            name = self.name("h")
            path = f"{parent}.{name}"
            self.histories.append(path)
            self.paths.append(path)
            made.append(StateDef(name, path, history=self.rng.choice(["shallow", "deep"])))
        return tuple(made)

    def state(self, name: str, path: str, depth: int, may_end: bool) -> StateDef:
        self.paths.append(path)
        base = StateDef(name, path, on_entry=self.action(), on_exit=self.action())
        if may_end and self.chance(self.shape.final):
            return replace(base, is_final=True)
        if self.chance(0.2):
            base = replace(base, ignore=self.rng.choice([("A",), ("B", "C"), ("*",)]))
        if depth > 0 and self.chance(self.shape.compound):
            return replace(base, states=self.states(path, depth - 1))
        if depth > 0 and self.chance(self.shape.parallel):
            regions = []
            for _ in range(self.rng.randint(1, 3)):
                region = self.name("r")
                regions.append(
                    RegionDef(region, f"{path}.{region}", self.states(f"{path}.{region}", depth - 1))
                )
            syncs = ["all-final", "any-final"] + (["custom"] if self.shape.custom_sync else [])
            return replace(base, parallel=ParallelDef(tuple(regions), self.rng.choice(syncs)))
        return base

    def outcomes(self, state: StateDef) -> StateDef:
        """What refers to other states, once all of them are known."""
        state = replace(
            state,
            states=tuple(self.outcomes(s) for s in state.states),
            parallel=state.parallel
            and replace(
                state.parallel,
                regions=tuple(
                    replace(r, states=tuple(self.outcomes(s) for s in r.states))
                    for r in state.parallel.regions
                ),
            ),
        )
        if state.is_final or state.history:
            return state
        target = self.rng.choice(self.paths)
        if self.chance(self.shape.timeout):
            state = replace(state, timeout=TimeoutDef(self.rng.choice([10, 250, 1000]), target))
        if self.chance(self.shape.outcome):
            state = replace(state, on_done=self.outcome())
        if self.chance(self.shape.outcome / 2):
            state = replace(state, on_error=self.outcome())
        if self.chance(self.shape.invoke):
            state = replace(state, invoke=InvokeDef("Child"))
        return state

    def outcome(self) -> OutcomeRef:
        if self.chance(0.5):
            return OutcomeRef("event", self.rng.choice(EVENTS))
        return OutcomeRef("state", self.rng.choice(self.paths))

    def guard(self) -> object:
        if not self.chance(self.shape.guard):
            return None
        field = VariableRef(("ctx", self.rng.choice(["n", "m"])))
        compare = GuardCompare(
            self.rng.choice(["lt", "gt", "eq"]), field, ValueRef("number", self.rng.randint(-1, 4))
        )
        return self.rng.choice([compare, GuardNot(compare), GuardRef("small"), GuardNot(GuardRef("asked"))])

    def rows(self, sources: list[str]) -> tuple[Transition, ...]:
        rows = []
        for _ in range(int(len(sources) * self.shape.rows)):
            eventless = self.chance(self.shape.eventless)
            source = self.rng.choice(sources) if self.chance(0.95) else "*"
            target = None if self.chance(0.12) else self.rng.choice(self.paths)
            guard = self.guard()
            if eventless and guard is None:
                guard = GuardCompare("gt", VariableRef(("ctx", "n")), ValueRef("number", 2))
            rows.append(
                Transition(
                    source,
                    None if eventless else self.rng.choice(EVENTS),
                    target,
                    guard,
                    self.action(),
                    internal=self.chance(0.1),
                )
            )
        for history in self.histories:
            parent = history.rpartition(".")[0]
            inside = [p for p in self.paths if p.startswith(parent + ".") and p not in self.histories]
            if self.chance(0.5):
                rows.append(Transition(history, None, self.rng.choice(inside), None, self.action()))
        return tuple(rows)


def random_machine(seed: int, shape: Shape = Shape()) -> MachineDef:
    """The machine of a seed."""
    maker = _Maker(random.Random(seed), shape)
    states = maker.states("", shape.depth)
    states = tuple(maker.outcomes(s) for s in states)
    sources = [p for p in maker.paths if p not in maker.histories]
    return MachineDef(
        name=f"Random{seed}",
        fields=(ContextField("n", INT, 0, True), ContextField("m", INT, 1, True)),
        event_defs=tuple(EventDef(e) for e in EVENTS),
        states=states,
        transitions=maker.rows(sources),
        guard_defs=(
            GuardDef("small", GuardCompare("lt", VariableRef(("ctx", "n")), ValueRef("number", 2))),
            GuardDef("asked", GuardCompare("gt", VariableRef(("ctx", "m")), ValueRef("number", 2))),
        ),
        actions=(ActionSignature("effect", effect_type="Thing"),),
    )


def _fail(context: dict, payload: object) -> None:
    context["n"] = 99
    raise ValueError("fails on purpose")


def _number(value: object) -> int:
    return value if isinstance(value, int) else 0


ACTIONS = {
    "inc": lambda ctx, p: {"n": _number(ctx.get("n")) + 1},
    "dec": lambda ctx, p: ctx.__setitem__("n", _number(ctx.get("n")) - 1),
    "reset": lambda ctx, p: {"n": 0, "m": _number(ctx.get("m")) + 1},
    "note": lambda ctx, p: {"m": len(p)},
    "raise_a": lambda ctx, p: ActionResult(raised=(Signal("A", {"by": "action"}),)),
    "raise_b": lambda ctx, p: ActionResult({"m": 0}, raised=(Signal("B"),)),
    "effect": lambda ctx, p: {"m": _number(ctx.get("m")) + 2},
    "fail": _fail,
}
HANDLERS = Handlers(actions=ACTIONS)
ASKING = Handlers(
    actions=ACTIONS,
    guards={"asked": lambda ctx, p: _number(ctx.get("m")) % 2 == 0},
)


def random_events(seed: int, definition: MachineDef, count: int) -> list[Signal]:
    """Events, timeouts among them."""
    rng = random.Random(seed)
    timed = [
        timeout_name(s.path) for s in definition.walk() if isinstance(s, StateDef) and s.timeout is not None
    ]
    pool = [*EVENTS, *EVENTS, "unknown", *timed]
    return [Signal(rng.choice(pool), {"k": rng.randint(0, 3)}) for _ in range(count)]
