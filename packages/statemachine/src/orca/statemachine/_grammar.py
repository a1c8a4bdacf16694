"""The parsers, each built from its grammar when it is first used."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

from orca.statemachine.syntax import FRAGMENT, Fragment

if TYPE_CHECKING:
    from lark import Lark

__all__ = ["CELL_STARTS", "STARTS", "parse_cell_text", "parse_duration_text", "parse_fragment"]

STARTS: Final = (
    "file",
    "section",
    "table_section",
    "field",
    "event",
    "state",
    "region",
    "body_item",
    "transition",
    "guard_def",
    "action_def",
    "effect_def",
    "return_def",
    "property",
    "table_condition",
    "table_output",
    "table_rule",
    "annotations",
    "bullet",
    "state_heading",
    "region_heading",
    "expr",
    "invariant",
    "ref",
    "signature",
    "rich_type",
    "type",
    "default",
    "statistics",
)
"""The rules that are parsed by themselves: rows, for recovery after an error, and cells of Markdown tables."""


CELL_STARTS: Final = (
    "number_cell",
    "truth_cell",
    "word_cell",
    "number_output",
    "truth_output",
    "word_output",
    "number_values",
    "word_values",
)
"""The rules of the grammar of cells: one for each kind of column."""

_OPTIONS: Final[Any] = {"parser": "lalr", "lexer": "contextual", "maybe_placeholders": False}


def _text(name: str) -> str:
    return (Path(__file__).parent / "grammars" / f"{name}.lark").read_text(encoding="utf-8")


@lru_cache(maxsize=1)
def grammar() -> Lark:
    """The LALR parser with its callbacks; it is immutable and serves every thread."""
    from lark import Lark  # noqa: PLC0415 - 100 ms that only a parse has to pay

    from orca.statemachine._builder import Builder  # noqa: PLC0415 - needs lark

    return Lark(_text("statemachine"), start=list(STARTS), transformer=Builder(), **_OPTIONS)


def parse_fragment(fragment: Fragment, start: str) -> Any:
    """Parse a piece of a source by one of the rules in `STARTS`.

    Raises:
        lark.UnexpectedInput: The piece does not follow the rule; its offsets are those of the piece.
    """
    token = FRAGMENT.set(fragment)
    try:
        return cast("Any", grammar()).parse(fragment.text, start=start)
    finally:
        FRAGMENT.reset(token)


@lru_cache(maxsize=2)
def _small(name: str, starts: tuple[str, ...]) -> Lark:
    from lark import Lark  # noqa: PLC0415 - as above

    return Lark(_text(name), start=list(starts), **_OPTIONS)


def parse_cell_text(text: str, start: str) -> Any:
    """The tree of a cell of a decision table, by one of the rules in `CELL_STARTS`.

    Raises:
        lark.UnexpectedInput: The text does not follow the rule.
    """
    return cast("Any", _small("cells", CELL_STARTS)).parse(text, start=start)


def parse_duration_text(text: str) -> Any:
    """The tree of a duration: a number, and its unit when there is one.

    Raises:
        lark.UnexpectedInput: It is something else.
    """
    return cast("Any", _small("durations", ("duration",))).parse(text)
