"""What machines owe each other, and what tables and the machines that use them owe each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orca.statemachine.expr import GuardCompare, ValueRef, VariableRef
from orca.statemachine.model import StateDef
from orca.statemachine.verify.domains import expand
from orca.statemachine.verify.findings import VERIFY_CODES, Finding

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from orca.statemachine.expr import GuardExpression
    from orca.statemachine.model import ContextField, InvokeDef, MachineDef
    from orca.statemachine.span import Span
    from orca.statemachine.tables import CellValue, ConditionDef, DecisionTableDef, OutputDef

__all__ = ["check_invocations", "check_uses"]


def _finding(
    machine: MachineDef, code: str, message: str, span: Span | None, suggestion: str = ""
) -> Finding:
    return Finding(code, VERIFY_CODES[code], message, span, suggestion, None, {}, machine.name)


def _invoking(machine: MachineDef) -> Iterator[tuple[StateDef, InvokeDef]]:
    for item in machine.walk():
        if isinstance(item, StateDef) and item.invoke is not None:
            yield item, item.invoke


def check_invocations(machines: Sequence[MachineDef]) -> list[Finding]:
    """Children that never end, circles, failures that nothing answers, mappings of fields that are not there."""
    by_name = {machine.name: machine for machine in machines}
    found = list(_circles(by_name))
    for machine in machines:
        for state, invoke in _invoking(machine):
            child = by_name.get(invoke.machine)
            found.extend(_inputs(machine, state, invoke, child))
            if child is None:
                continue
            if not any(item.is_final for item in child.states):
                text = f"`{state.path}` waits for `{child.name}`, which has no final state"
                found.append(_finding(machine, "CHILD_NO_FINAL_STATE", text, invoke.span or state.span))
            if state.on_error is None:
                text = f"`{state.path}` invokes `{child.name}`, but nothing says what happens when it fails"
                hint = "add `on_error`"
                found.append(_finding(machine, "MISSING_ON_ERROR", text, invoke.span or state.span, hint))
    return found


def _circles(by_name: Mapping[str, MachineDef]) -> Iterator[Finding]:
    """Each machine that invokes itself in the end, with the shortest way around, once for each circle."""
    reported: set[frozenset[str]] = set()
    for start, machine in by_name.items():
        ways: dict[str, tuple[str, ...]] = {start: (start,)}
        waiting = [start]
        for name in waiting:  # grows while it is walked
            for _, invoke in _invoking(by_name[name]):
                if invoke.machine == start:
                    circle = frozenset(ways[name])
                    if circle not in reported:
                        reported.add(circle)
                        text = f"machines invoke each other in a circle: {' -> '.join((*ways[name], start))}"
                        yield _finding(machine, "CIRCULAR_INVOCATION", text, machine.span)
                elif invoke.machine in by_name and invoke.machine not in ways:
                    ways[invoke.machine] = (*ways[name], invoke.machine)
                    waiting.append(invoke.machine)


def _inputs(
    machine: MachineDef, state: StateDef, invoke: InvokeDef, child: MachineDef | None
) -> Iterator[Finding]:
    fields = {item.name for item in machine.fields}
    for name, value in invoke.input:
        if child is not None and name not in {item.name for item in child.fields}:
            text = f"`{state.path}` gives `{child.name}` the input `{name}`, which its context does not have"
            yield _finding(machine, "INVALID_INPUT_MAPPING", text, invoke.span or state.span)
        if isinstance(value, VariableRef) and value.root == "ctx" and value.path[1] not in fields:
            text = f"`{state.path}` takes the input `{name}` from `{value}`, which is not in the context"
            yield _finding(machine, "INVALID_INPUT_MAPPING", text, invoke.span or state.span)
    given = None if child is None else {r.name for r in child.returns} | {f.name for f in child.fields}
    for into, source in invoke.returns:
        if into not in fields:
            text = f"`{state.path}` puts a result into `{into}`, which is not in the context"
            yield _finding(machine, "INVALID_INPUT_MAPPING", text, invoke.span or state.span)
        if given is not None and source not in given:
            text = f"`{state.path}` takes the result `{source}`, which `{invoke.machine}` does not return"
            yield _finding(machine, "INVALID_INPUT_MAPPING", text, invoke.span or state.span)


# ---- decision tables in machines


def _used_tables(machine: MachineDef, tables: Iterable[DecisionTableDef]) -> list[DecisionTableDef]:
    """Tables that an action of the machine names."""
    names = {row.action for row in machine.transitions}
    for item in machine.walk():
        if isinstance(item, StateDef):
            names |= {item.on_entry, item.on_exit}
    known = {table.name: table for table in (*machine.tables, *tables)}
    return [table for name, table in known.items() if name in names]


_KINDS = {
    "bool": {"bool"},
    "enum": {"enum", "string"},
    "string": {"string", "enum"},
    "int_range": {"int", "decimal"},
    "decimal_range": {"int", "decimal"},
    "int": {"int", "decimal"},
    "decimal": {"decimal"},
}


def check_uses(machine: MachineDef, tables: Iterable[DecisionTableDef] = ()) -> list[Finding]:
    """Tables of a machine against its context, its guards against what tables can give."""
    fields = {item.name: item for item in machine.fields}
    found: list[Finding] = []
    used = _used_tables(machine, tables)
    for table in used:
        columns: tuple[ConditionDef | OutputDef, ...] = (*table.conditions, *table.outputs)
        for column in columns:
            item = fields.get(column.name)
            if item is None:
                text = (
                    f"table `{table.name}` has the column `{column.name}`, which is no field of the context"
                )
            elif item.type.kind != "custom" and item.type.kind not in _KINDS.get(
                column.type, {item.type.kind}
            ):
                text = f"column `{column.name}` of table `{table.name}` is {column.type}, the field is {item.type}"
            else:
                continue
            found.append(_finding(machine, "DT_CONTEXT_MISMATCH", text, column.span or table.span))
        found.extend(_gaps(machine, table, fields))
    found.extend(_dead(machine, used, fields))
    return found


def _gaps(
    machine: MachineDef, table: DecisionTableDef, fields: Mapping[str, ContextField]
) -> Iterator[Finding]:
    """Values that a field can have and the table's condition cannot."""
    for condition in table.conditions:
        item = fields.get(condition.name)
        if item is None or not condition.values:
            continue
        missing = [choice for choice in item.type.choices if choice not in condition.values]
        if missing:
            text = f"table `{table.name}` does not know {condition.name} = {', '.join(missing)}"
            yield _finding(machine, "DT_COVERAGE_GAP", text, condition.span or table.span)


def _produced(
    used: Sequence[DecisionTableDef], fields: Mapping[str, ContextField]
) -> dict[str, set[tuple[str, CellValue]]]:
    """For each output that has only the values of tables and its default: those values."""
    found: dict[str, set[tuple[str, CellValue]]] = {}
    for table in used:
        for column, output in enumerate(table.outputs):
            if output.name not in fields:
                continue
            values = found.setdefault(output.name, set())
            for rule in table.rules:
                value = rule.outputs[column]
                if value is not None:
                    values.add((_kind(value), value))
            default = fields[output.name].default
            if isinstance(default, bool | int | float | str):
                values.add((_kind(default), default))
    return found


def _kind(value: object) -> str:
    if isinstance(value, bool):
        return "boolean"
    return "string" if isinstance(value, str) else "number"


def _dead(
    machine: MachineDef, used: Sequence[DecisionTableDef], fields: Mapping[str, ContextField]
) -> Iterator[Finding]:
    """Guards that wait for a value which no rule gives, and states behind nothing but such guards."""
    produced = _produced(used, fields)
    dead: list[object] = []
    for row in machine.transitions:
        waits = None if row.guard is None else _waits(row.guard, machine, produced)
        if waits is None:
            continue
        dead.append(row)
        text = f"`{row.source}` on `{row.event}` waits for {waits}, which no rule gives"
        yield _finding(machine, "DT_GUARD_DEAD", text, row.span)
    for item in machine.walk():
        rows = [row for row in machine.transitions if row.target == item.path]
        if rows and isinstance(item, StateDef) and not item.is_initial and all(row in dead for row in rows):
            text = f"`{item.path}` is only reached by guards that wait for values which no rule gives"
            yield _finding(machine, "DT_UNREACHABLE_STATE", text, item.span)


def _waits(
    guard: GuardExpression, machine: MachineDef, produced: Mapping[str, set[tuple[str, CellValue]]]
) -> str | None:
    """The comparison that can never hold, when the whole guard is that comparison."""
    nodes = list(expand(guard, machine.guards))
    compares = [node for node in nodes if isinstance(node, GuardCompare)]
    if len(compares) != 1 or compares[0].op != "eq" or not _only(nodes):
        return None
    left, right = compares[0].left, compares[0].right
    if isinstance(left, ValueRef):
        left, right = right, left
    if not (isinstance(left, VariableRef) and isinstance(right, ValueRef) and len(left.path) == 2):
        return None
    values = produced.get(left.path[1]) if left.root == "ctx" else None
    if values is None or right.value is None or (_kind(right.value), right.value) in values:
        return None
    return f"{left.path[1]} == {right.value!r}"


def _only(nodes: Sequence[GuardExpression]) -> bool:
    """Whether a guard is one comparison, perhaps behind names."""
    plain = {"GuardCompare", "GuardRef", "VariableRef", "ValueRef"}
    return all(type(node).__name__ in plain for node in nodes)
