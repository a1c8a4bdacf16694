"""The findings of the verifier about decision tables and the machines that use them."""

from __future__ import annotations

from typing import Final

from orca.statemachine.catalogue.entry import Entry

__all__ = ["ENTRIES"]


def _table(*rules: str, policy: str = "", conditions: str = 'tier: enum "gold, silver"') -> str:
    rows = "".join(f"    {rule}\n" for rule in rules)
    last = f"metadata {{ policy: {policy} }}\n" if policy else ""
    head = "decision_table Discount\n"
    return f"{head}conditions {{ {conditions} }}\noutputs {{ discount: int }}\nrules {{\n{rows}}}\n{last}"


_GOOD: Final = ('"gold" -> "10"', '"silver" -> "5"')


def _used(
    *, field: str = "discount: int = 0", tier: str = 'enum<gold, silver> = "gold"', guard: str = ""
) -> str:
    """A machine that runs the table, and the table."""
    machine = f"""
machine Shop
context {{ tier: {tier}, {field} }}
state open [initial] {{ ignore: END }}
state priced {{ ignore: PRICE }}
state done [final]
transitions {{
    open + PRICE -> priced : Discount
    priced + END{guard} -> done
}}
actions {{ Discount: (ctx) -> Context }}

"""
    return machine + _table(*_GOOD)


ENTRIES: Final = (
    Entry(
        "DT_INCOMPLETE",
        "no rule matches some values",
        "The values are part of the finding. Add a rule for them, or a last rule that matches everything.",
        _table(_GOOD[0]),
        _table(*_GOOD),
    ),
    Entry(
        "DT_DUPLICATE_RULE",
        "a rule stands there twice",
        "Two rules have the same conditions and the same outputs. Remove one.",
        _table(*_GOOD, _GOOD[0]),
        _table(*_GOOD),
    ),
    Entry(
        "DT_INCONSISTENT",
        "rules contradict each other",
        """Two rules have the same conditions and different outputs; or, where all matching rules count
        (`all-match`), two
        rules match together and give one output two values. Under `first-match`, rules may overlap: a last
        rule that
        catches the rest is no contradiction.""",
        _table(*_GOOD, '"gold" -> "20"'),
        _table('"gold" -> "10"', '"-" -> "5"'),
    ),
    Entry(
        "DT_REDUNDANT",
        "a rule never decides",
        """Earlier rules together match whatever this one matches (`first-match`), or another rule says the
        same for more
        values (`all-match`). Rules that only overlap are not redundant.""",
        _table(*_GOOD, '"-" -> "0"'),
        _table(*_GOOD),
    ),
    Entry(
        "DT_CONTEXT_MISMATCH",
        "a table does not fit the context of its machine",
        "Every column of a table that a machine uses is a field of its context, of a type that fits.",
        _used(field="rebate: int = 0"),
        _used(),
    ),
    Entry(
        "DT_COVERAGE_GAP",
        "a table does not know a value of the context",
        "The field can have a value that the condition does not list, so that no rule can match it.",
        _used(tier='enum<gold, silver, bronze> = "gold"'),
        _used(),
    ),
    Entry(
        "DT_GUARD_DEAD",
        "a guard waits for a value that no rule gives",
        """The field gets its values from a decision table, and neither a rule nor the default gives the
        one that the guard
        waits for.""",
        _used(guard=" [discount == 7]").replace(
            "priced + END", "priced + END [discount == 5] -> done\n    priced + END"
        ),
        _used(guard=" [discount == 10]")
        .replace("priced + END", "priced + END [discount == 5] -> done\n    priced + END")
        .replace("-> done\n}", "-> done\n    priced + END -> priced\n}"),
    ),
    Entry(
        "DT_UNREACHABLE_STATE",
        "a state waits behind values that no rule gives",
        "Every transition to this state has a guard that waits for a value which no rule of the table gives.",
        _used(guard=" [discount == 7]"),
        _used(guard=" [discount == 10]"),
    ),
)
