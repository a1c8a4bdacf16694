"""The tree of states: paths, levels, annotations, and what states say about themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Protocol, cast

from orca.statemachine._assemble import HERE
from orca.statemachine._scope import nearest
from orca.statemachine._values import BadValue, duration_ms
from orca.statemachine.diagnostics import Edit, Related
from orca.statemachine.model import (
    ANY_EVENT,
    InvokeDef,
    OutcomeRef,
    ParallelDef,
    RegionDef,
    StateDef,
    TimeoutDef,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from orca.statemachine._expressions import ExpressionResolver
    from orca.statemachine._report import Report
    from orca.statemachine._scope import StateIndex
    from orca.statemachine.expr import ValueRef, VariableRef
    from orca.statemachine.model import ContextField
    from orca.statemachine.syntax import (
        Name,
        RawInvoke,
        RawMachine,
        RawRegion,
        RawState,
        RawTimeout,
        RawTransition,
    )

__all__ = ["MAX_STATE_DEPTH", "StateResolver"]

MAX_STATE_DEPTH: Final = 32
"""Levels of states and regions: the resolver and every later walk descend once for each level."""


class References(Protocol):
    """What the resolver of a machine answers about names."""

    fields: dict[str, ContextField]
    machines: frozenset[str]
    index: StateIndex

    def state(self, name: Name, what: str, *, prefix: str = "") -> str | None: ...

    def action(self, name: Name | None) -> str | None: ...

    def event(self, name: Name) -> str: ...

    def is_event(self, name: str) -> bool: ...

    def outcomes(self) -> Iterable[str]: ...


class StateResolver:
    """Resolves the states of one machine in two passes: paths first, then what refers to them."""

    def __init__(self, raw: RawMachine, report: Report, index: StateIndex) -> None:
        self._raw = raw
        self._report = report
        self._index = index
        self._finals: set[str] = set()
        self._histories: set[str] = set()
        self._placed: dict[int, str] = {}
        self._rows: list[tuple[str | None, RawTransition]] = []

    def collect(self) -> list[tuple[str | None, RawTransition]]:
        """Give every state its path; returns all transitions with the path of the state they stand in."""
        rows: list[tuple[str | None, RawTransition]] = [(None, row) for row in self._raw.transitions]
        pending: list[tuple[Sequence[RawState], str, str, int]] = [(self._raw.states, "", "", 1)]
        while pending:
            states, parent, short, level = pending.pop()
            names: dict[str, Name] = {}
            for state in states:
                if level > MAX_STATE_DEPTH:
                    message = f"states are nested deeper than {MAX_STATE_DEPTH} levels"
                    self._report.add("LIMIT_EXCEEDED", message, state.name.span)
                    break
                if not self._first("STATE", state.name, names):
                    continue
                path, brief = _join(parent, state.name.text), _join(short, state.name.text)
                self._placed[id(state)] = path
                self._index.add(path, brief)
                if state.final is not None:
                    self._finals.add(path)
                if state.history is not None:
                    self._histories.add(path)
                rows.extend((path if row.source is HERE else None, row) for row in state.transitions)
                pending.append((state.states, path, brief, level + 1))
                regions: dict[str, Name] = {}
                for region in state.regions:
                    if self._first("REGION", region.name, regions):
                        inner = _join(path, region.name.text)
                        self._placed[id(region)] = inner
                        pending.append((region.states, inner, brief, level + 2))
        rows.sort(key=lambda item: item[1].span.start)
        self._rows = rows
        return rows

    def _first(self, kind: str, name: Name, seen: dict[str, Name]) -> bool:
        before = seen.setdefault(name.text, name)
        if before is name:
            return True
        related = (Related("it is declared here first", before.span),)
        message = f"{kind.lower()} `{name.text}` is declared twice"
        self._report.add(f"DUPLICATE_{kind}", message, name.span, related=related)
        return False

    def build(self, names: References, expressions: ExpressionResolver) -> tuple[StateDef, ...]:
        """The resolved states; `collect` was called before."""
        builder = _Builder(self._report, self._placed, names, expressions)
        states = builder.level(self._raw.states, self._raw.name, f"machine `{self._raw.name.text}`")
        for source, row in self._outgoing():
            if source in self._finals:
                message = f"final state `{source}` has an outgoing transition"
                self._report.add(
                    "FINAL_STATE_OUTGOING", message, row.source.span if row.source.text else row.span
                )
            elif source in self._histories and row.event is not None:
                message = f"history state `{source}` may only have one transition without an event"
                self._report.add("BAD_ANNOTATION", message, row.span)
        return states

    def _outgoing(self) -> list[tuple[str, RawTransition]]:
        """All transitions with the path of their source, empty where it is not one state."""
        found: list[tuple[str, RawTransition]] = []
        for source, row in self._rows:
            path = source
            if path is None:
                matches = self._index.find(row.source.text)
                path = matches[0] if len(matches) == 1 else ""
            found.append((path, row))
        return found


class _Builder:
    def __init__(
        self,
        report: Report,
        placed: Mapping[int, str],
        names: References,
        expressions: ExpressionResolver,
    ) -> None:
        self.report = report
        self.placed = placed
        self.names = names
        self.expressions = expressions

    def level(self, states: Sequence[RawState], owner: Name, what: str) -> tuple[StateDef, ...]:
        """The states of one level, exactly one of which is initial."""
        kept = [state for state in states if id(state) in self.placed]
        initial = [state for state in kept if state.initial is not None]
        real = [state for state in kept if state.history is None]
        if not initial and (real or what.startswith("machine")):
            edits: tuple[Edit, ...] = ()
            suggestion = ""
            if real:
                first = real[0].name
                edits = (Edit(first.span.end, first.span.end, " [initial]"),)
                suggestion = f"mark one, as in `{first.text} [initial]`"
            message = f"{what} has no initial state"
            self.report.add("NO_INITIAL_STATE", message, owner.span, suggestion=suggestion, edits=edits)
        for state in initial[1:]:
            mark = cast("Name", state.initial)
            related = (Related("the first one is here", cast("Name", initial[0].initial).span),)
            self.report.add(
                "MULTIPLE_INITIAL", f"{what} has more than one initial state", mark.span, related=related
            )
        return tuple(self.state(state) for state in kept)

    def state(self, raw: RawState) -> StateDef:
        """One state with everything below it."""
        path = self.placed[id(raw)]
        bullets = raw.bullets
        self._check_annotations(raw, path)
        invoke = self._single(
            bullets.invoke, "MULTIPLE_INVOKE", f"state `{path}` invokes more than one machine"
        )
        timer = self._single(bullets.timeout, "DUPLICATE_BULLET", f"state `{path}` has more than one timeout")
        return StateDef(
            raw.name.text,
            path,
            raw.initial is not None,
            raw.final is not None,
            bullets.description.text if bullets.description is not None else None,
            self.names.action(self._once(bullets.on_entry, "on_entry", path)),
            self.names.action(self._once(bullets.on_exit, "on_exit", path)),
            self._outcome(self._once(bullets.on_done, "on_done", path), "on_done"),
            self._outcome(self._once(bullets.on_error, "on_error", path), "on_error"),
            self._timeout(timer) if timer is not None else None,
            self._ignore(bullets.ignore),
            self._invoke(invoke, bullets.returns) if invoke is not None else None,
            self.level(raw.states, raw.name, f"state `{path}`"),
            self._parallel(raw),
            cast("Any", raw.history),
            span=raw.name.span,
        )

    def _check_annotations(self, raw: RawState, path: str) -> None:
        if raw.final is not None and (raw.states or raw.regions or raw.parallel is not None):
            self.report.add("FINAL_WITH_CHILDREN", f"final state `{path}` has states inside", raw.name.span)
        if raw.parallel is not None and not raw.regions:
            self.report.add("EMPTY_PARALLEL", f"parallel state `{path}` has no regions", raw.name.span)
        if raw.parallel is not None and raw.states:
            message = f"parallel state `{path}` has states outside of its regions"
            self.report.add("BAD_ANNOTATION", message, raw.states[0].name.span)
        if raw.parallel is None and (raw.regions or raw.sync is not None):
            message = f"state `{path}` has regions or `sync` but is not marked `[parallel]`"
            self.report.add("BAD_ANNOTATION", message, raw.name.span)
        if raw.history is not None and (
            raw.initial is not None or raw.final is not None or raw.states or raw.parallel is not None
        ):
            message = f"history state `{path}` can be nothing else, and holds no states"
            self.report.add("BAD_ANNOTATION", message, raw.name.span)

    def _single(self, items: Sequence[Any], code: str, message: str) -> Any:
        if len(items) > 1:
            self.report.add(code, message, items[1].span)
        return items[0] if items else None

    def _once(self, items: Sequence[Name], bullet: str, path: str) -> Name | None:
        if len(items) > 1:
            message = f"state `{path}` has more than one `{bullet}`"
            self.report.add("DUPLICATE_BULLET", message, items[1].span)
        return items[0] if items else None

    def _outcome(self, name: Name | None, bullet: str) -> OutcomeRef | None:
        if name is None or name.text == "_":
            return None
        states = self.names.index.find(name.text)
        is_event = self.names.is_event(name.text)
        if states and is_event:
            message = f"`{bullet}: {name.text}` is both a state and an event; rename one of them"
            self.report.add("AMBIGUOUS_ON_DONE", message, name.span)
            return None
        if is_event:
            return OutcomeRef("event", name.text, span=name.span)
        if not states:
            message = f"`{bullet}: {name.text}` is neither a state nor an event"
            code = "UNKNOWN_ON_DONE_EVENT" if bullet == "on_done" else "UNKNOWN_ON_ERROR_EVENT"
            self.report.replace(code, message, name.span, nearest(name.text, self.names.outcomes()))
            return None
        path = self.names.state(name, f"{bullet} target")
        return OutcomeRef("state", path, span=name.span) if path is not None else None

    def _timeout(self, raw: RawTimeout) -> TimeoutDef | None:
        target = self.names.state(raw.target, "timeout target")
        try:
            delay_ms, bare = duration_ms(raw.duration.text)
        except BadValue as error:
            self.report.add("BAD_DURATION", str(error), raw.duration.span)
            return None
        if bare:
            text = raw.duration.text.strip()
            end = raw.duration.span.start + len(text)
            self.report.add(
                "BARE_DURATION",
                f"`{text}` has no unit and is read as seconds",
                raw.duration.span,
                suggestion=f"write `{text}s`",
                edits=(Edit(end, end, "s"),),
            )
        return TimeoutDef(delay_ms, target, span=raw.span) if target is not None else None

    def _ignore(self, names: Sequence[Name]) -> tuple[str, ...]:
        found: dict[str, None] = {}
        for name in names:
            if name.text == ANY_EVENT:
                found[ANY_EVENT] = None
            elif name.text != "_":
                found[self.names.event(name)] = None
        return tuple(found)

    def _invoke(self, raw: RawInvoke, late: Sequence[tuple[Name, Name]]) -> InvokeDef:
        name = raw.machine.text
        machines = self.names.machines
        if len(machines) > 1 and name not in machines:
            message = f"machine `{name}` is not in this document; it has to be registered at run time"
            known = nearest(name, machines)
            suggestion = f"did you mean `{known}`?" if known else ""
            self.report.add("UNKNOWN_MACHINE", message, raw.machine.span, suggestion=suggestion)
        for field, _ in [*raw.returns, *late]:
            self._field(field)
        pairs = tuple(
            (key.text, cast("VariableRef | ValueRef", self.expressions.value(value)))
            for key, value in raw.input
        )
        shots = self._shots(raw.shots) if raw.shots is not None else None
        returns = tuple((parent.text, child.text) for parent, child in [*raw.returns, *late])
        failures = tuple(item.text for item in raw.failures)
        return InvokeDef(name, pairs, shots, returns, failures, span=raw.span)

    def _shots(self, name: Name) -> int | None:
        if name.text.isdigit() and 0 < len(name.text) <= 12 and int(name.text) > 0:
            return int(name.text)
        self.report.add("SYNTAX", f"shots is a whole number above 0, not `{name.text}`", name.span)
        return None

    def _field(self, name: Name) -> None:
        if name.text not in self.names.fields:
            message = f"the context has no field `{name.text}`"
            self.report.replace("UNKNOWN_FIELD", message, name.span, nearest(name.text, self.names.fields))

    def _parallel(self, raw: RawState) -> ParallelDef | None:
        regions = [region for region in raw.regions if id(region) in self.placed]
        if raw.parallel is None and not regions:
            return None
        return ParallelDef(
            tuple(self._region(region) for region in regions), cast("Any", raw.sync or "all-final")
        )

    def _region(self, raw: RawRegion) -> RegionDef:
        path = self.placed[id(raw)]
        if not raw.states:
            self.report.add("EMPTY_PARALLEL", f"region `{path}` has no states", raw.name.span)
        states = self.level(raw.states, raw.name, f"region `{path}`")
        return RegionDef(raw.name.text, path, states, span=raw.name.span)


def _join(parent: str, name: str) -> str:
    return f"{parent}.{name}" if parent else name
