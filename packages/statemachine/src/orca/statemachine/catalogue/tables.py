"""The findings of reading a decision table."""

from __future__ import annotations

from typing import Final

from orca.statemachine.catalogue.entry import Entry

__all__ = ["ENTRIES"]

_CONDITIONS: Final = 'conditions { tier: enum "gold, silver" }\n'
_OUTPUTS: Final = "outputs { discount: int }\n"
_RULES: Final = 'rules {\n    "gold" -> "10"\n    "silver" -> "5"\n}\n'
_GOOD: Final = f"decision_table Discount\n{_CONDITIONS}{_OUTPUTS}{_RULES}"


def _markdown(header: str, row: str) -> str:
    rule = "|" + "---|" * (header.count("|") + 1)
    return f"""# decision_table Discount

## conditions

| Name | Type | Values       |
|------|------|--------------|
| tier | enum | gold, silver |

## actions

| Name     | Type |
|----------|------|
| discount | int  |

## rules

| {header} |
{rule}
| {row} |
"""


_GOOD_MARKDOWN: Final = _markdown("# | tier | → discount", "1 | gold | 10")

ENTRIES: Final = (
    Entry(
        "DT_NO_CONDITIONS",
        "a decision table has no conditions",
        "Without conditions every rule always matches: there is nothing to decide.",
        f'decision_table Discount\n{_OUTPUTS}rules {{ "-" -> "10" }}',
        _GOOD,
    ),
    Entry(
        "DT_NO_ACTIONS",
        "a decision table has no outputs",
        "Without outputs a matching rule has nothing to say.",
        f"decision_table Discount\n{_CONDITIONS}{_RULES}",
        _GOOD,
    ),
    Entry(
        "DT_EMPTY_RULES",
        "a decision table has no rules",
        "Without rules the table never decides.",
        f"decision_table Discount\n{_CONDITIONS}{_OUTPUTS}",
        _GOOD,
    ),
    Entry(
        "DT_UNKNOWN_CONDITION_COLUMN",
        "a column of the rules is no condition",
        "Every column of the rules is a declared condition, or begins with an arrow and is a declared output.",
        _markdown("# | teir | → discount", "1 | gold | 10"),
        _GOOD_MARKDOWN,
    ),
    Entry(
        "DT_UNKNOWN_ACTION_COLUMN",
        "a column of the rules is no output",
        "A column that begins with an arrow is a declared output.",
        _markdown("# | tier | → discont", "1 | gold | 10"),
        _GOOD_MARKDOWN,
    ),
    Entry(
        "DT_UNKNOWN_CONDITION_VALUE",
        "a cell holds what its condition does not allow",
        """The values of a condition are declared: names for an enumeration, a range for numbers. A cell may be empty
        or `-`, a value, a list of values, `!value`, or for numbers `N+ >=N <=N >N <N A..B`.""",
        _markdown("# | tier | → discount", "1 | glod | 10"),
        _GOOD_MARKDOWN,
    ),
    Entry(
        "DT_UNKNOWN_ACTION_VALUE",
        "an output cell does not fit its column",
        "The type of an output, and its values where they are listed, decide what its cells may hold.",
        _markdown("# | tier | → discount", "1 | gold | ten"),
        _GOOD_MARKDOWN,
    ),
    Entry(
        "DT_MISSING_CONDITION_COLUMN",
        "the rules have no column for a condition",
        "The condition is declared and never asked. Every rule reads as if its cell were empty.",
        _markdown("# | → discount", "1 | 10"),
        _GOOD_MARKDOWN,
    ),
    Entry(
        "DT_MISSING_ACTION_COLUMN",
        "the rules have no column for an output",
        "The output is declared and no rule gives it a value.",
        _markdown("# | tier", "1 | gold"),
        _GOOD_MARKDOWN,
    ),
)
