"""From the raw syntax of a decision table to its definition: columns matched, cells read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, cast

from orca.statemachine._cells import BadCell, parse_cell, parse_domain, parse_output
from orca.statemachine._scope import nearest
from orca.statemachine.tables import (
    AnyCell,
    Cell,
    CellValue,
    ConditionDef,
    DecisionTableDef,
    OutputDef,
    RuleDef,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orca.statemachine._report import Report
    from orca.statemachine.span import Span
    from orca.statemachine.syntax import Fragment, Name, RawColumn, RawRule, RawTable

__all__ = ["CONDITION_TYPES", "OUTPUT_TYPES", "resolve_table"]

CONDITION_TYPES: Final = ("bool", "enum", "int_range", "decimal_range", "string")
OUTPUT_TYPES: Final = ("bool", "enum", "int", "decimal", "string")


def resolve_table(raw: RawTable, report: Report) -> DecisionTableDef:
    """Resolve one decision table; findings go to the report."""
    conditions = _columns(raw.conditions, report, _condition)
    outputs = _columns(raw.outputs, report, _output)
    table = f"decision table `{raw.name.text}`"
    if not conditions:
        report.add("DT_NO_CONDITIONS", f"{table} has no conditions", raw.name.span)
    if not outputs:
        report.add("DT_NO_ACTIONS", f"{table} has no outputs", raw.name.span)
    if not raw.rules:
        report.add("DT_EMPTY_RULES", f"{table} has no rules", raw.name.span)
    if conditions and outputs:
        _check_header(raw, conditions, outputs, report)
    rules = tuple(
        _rule(row, number, conditions, outputs, report) for number, row in enumerate(raw.rules, start=1)
    )
    policy = raw.policy.text.replace("_", "-") if raw.policy is not None else "first-match"
    return DecisionTableDef(
        raw.name.text,
        tuple(conditions.values()),
        tuple(outputs.values()),
        rules,
        cast("Any", policy),
        span=raw.name.span,
    )


def _columns(rows: Sequence[RawColumn], report: Report, make: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for row in rows:
        if row.name.text in found:
            report.add("DUPLICATE_FIELD", f"column `{row.name.text}` is declared twice", row.name.span)
        else:
            found[row.name.text] = make(row, report)
    return found


def _condition(row: RawColumn, report: Report) -> ConditionDef:
    kind = _known_type(row, CONDITION_TYPES, report)
    try:
        values, low, high = parse_domain(kind, row.values.text if row.values is not None else "")
    except BadCell as error:
        span = row.values.whole() if row.values is not None else row.name.span
        report.add("DT_UNKNOWN_CONDITION_VALUE", str(error), span)
        values, low, high = (), None, None
    return ConditionDef(row.name.text, cast("Any", kind), values, low, high, span=row.name.span)


def _output(row: RawColumn, report: Report) -> OutputDef:
    kind = _known_type(row, OUTPUT_TYPES, report)
    values: tuple[str, ...] = ()
    if kind in {"enum", "string"} and row.values is not None:
        try:
            values, _, _ = parse_domain(kind, row.values.text)
        except BadCell as error:
            report.add("DT_UNKNOWN_ACTION_VALUE", str(error), row.values.whole())
    return OutputDef(row.name.text, kind, row.description, values, span=row.name.span)


def _known_type(row: RawColumn, known: tuple[str, ...], report: Report) -> str:
    kind = {"boolean": "bool", "integer": "int", "float": "decimal", "number": "decimal"}.get(
        row.type.text, row.type.text
    )
    if kind in known:
        return kind
    if known is CONDITION_TYPES and kind in {"int", "decimal"}:
        return f"{kind}_range"
    if known is OUTPUT_TYPES and kind in {"int_range", "decimal_range"}:
        return kind.removesuffix("_range")
    message = f"`{row.type.text}` is not one of {', '.join(known)}"
    report.replace("SYNTAX", message, row.type.span, nearest(row.type.text, known))
    return "string"


def _check_header(
    raw: RawTable, conditions: dict[str, ConditionDef], outputs: dict[str, OutputDef], report: Report
) -> None:
    """Compare the header of the rules with the declared columns; rules in braces have no header."""
    if not raw.condition_header and not raw.output_header:
        return
    for header, known, kind in (
        (raw.condition_header, conditions, "CONDITION"),
        (raw.output_header, outputs, "ACTION"),
    ):
        names = {name.text for name in header}
        for name in header:
            if name.text not in known:
                word = "condition" if kind == "CONDITION" else "output"
                message = f"column `{name.text}` is not a declared {word}"
                report.replace(f"DT_UNKNOWN_{kind}_COLUMN", message, name.span, nearest(name.text, known))
        for missing in known:
            if missing not in names:
                word = "condition" if kind == "CONDITION" else "output"
                message = f"the rules have no column for {word} `{missing}`"
                report.add(f"DT_MISSING_{kind}_COLUMN", message, raw.rules_span or raw.name.span)


def _rule(
    row: RawRule,
    number: int,
    conditions: dict[str, ConditionDef],
    outputs: dict[str, OutputDef],
    report: Report,
) -> RuleDef:
    given = _by_name(row.cells, list(conditions), row, "CONDITION", report)
    produced = _by_name(row.outputs, list(outputs), row, "ACTION", report)
    cells: list[Cell] = []
    spans: list[Span] = []
    for name, condition in conditions.items():
        fragment = given.get(name)
        cells.append(_cell(condition, fragment, report))
        spans.append(fragment.whole() if fragment is not None else row.span)
    values = tuple(_value(output, produced.get(name), report) for name, output in outputs.items())
    if row.number is not None and row.number.text.isdigit() and len(row.number.text) <= 9:
        number = int(row.number.text)
    return RuleDef(number, tuple(cells), values, span=row.span, cell_spans=tuple(spans))


def _by_name(
    cells: Sequence[tuple[Name, Fragment]], names: list[str], row: RawRule, kind: str, report: Report
) -> dict[str, Fragment]:
    """The cells by column: by the header's names, or in the order of the columns where there is none."""
    if not cells or cells[0][0].text:
        return {name.text: fragment for name, fragment in cells}
    if len(cells) != len(names):
        word = "conditions" if kind == "CONDITION" else "outputs"
        message = f"the rule has {len(cells)} {word} and the table {len(names)}"
        report.add(f"DT_UNKNOWN_{kind}_COLUMN", message, row.span)
    return {name: fragment for name, (_, fragment) in zip(names, cells, strict=False)}


def _cell(condition: ConditionDef, fragment: Fragment | None, report: Report) -> Cell:
    if fragment is None:
        return AnyCell()
    try:
        return parse_cell(condition, fragment.text)
    except BadCell as error:
        known = nearest(fragment.text.strip(" !"), condition.values)
        report.add(
            "DT_UNKNOWN_CONDITION_VALUE",
            f"{condition.name}: {error}",
            fragment.whole(),
            suggestion=f"did you mean `{known}`?" if known else "",
        )
        return AnyCell()


def _value(output: OutputDef, fragment: Fragment | None, report: Report) -> CellValue | None:
    if fragment is None:
        return None
    try:
        return parse_output(output, fragment.text)
    except BadCell as error:
        known = nearest(fragment.text.strip(), output.values)
        report.add(
            "DT_UNKNOWN_ACTION_VALUE",
            f"{output.name}: {error}",
            fragment.whole(),
            suggestion=f"did you mean `{known}`?" if known else "",
        )
        return None
