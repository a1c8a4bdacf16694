"""The parser, built from the grammar at the first parse."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

from orca.statemachine.syntax import FRAGMENT, Fragment

if TYPE_CHECKING:
    from lark import Lark

__all__ = ["STARTS", "parse_fragment"]

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


@lru_cache(maxsize=1)
def grammar() -> Lark:
    """The LALR parser with its callbacks; it is immutable and serves every thread."""
    from lark import Lark  # noqa: PLC0415 - 100 ms that only a parse has to pay

    from orca.statemachine._builder import Builder  # noqa: PLC0415 - needs lark

    text = (Path(__file__).parent / "grammars" / "statemachine.lark").read_text(encoding="utf-8")
    return Lark(
        text,
        parser="lalr",
        lexer="contextual",
        start=list(STARTS),
        maybe_placeholders=False,
        transformer=Builder(),
    )


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
