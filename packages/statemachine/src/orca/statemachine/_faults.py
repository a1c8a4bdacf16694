"""The border to Lark: its exceptions become findings here and nowhere else."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, cast

from orca.statemachine._scope import nearest
from orca.statemachine.syntax import Fragment, Note

if TYPE_CHECKING:
    from lark import Token
    from lark.exceptions import UnexpectedInput

    from orca.statemachine._report import Report
    from orca.statemachine.span import Span

__all__ = ["MAX_TEXT_LENGTH", "fault", "inner_parse", "try_parse"]

MAX_TEXT_LENGTH: Final = 4_000_000
"""Characters in one text: some 30,000 states, and about ten seconds of parsing."""

_KEYWORDS: Final[dict[str, str]] = {
    "_OR": "`or`",
    "_AND": "`and`",
    "_NOT": "`not`",
    "_IS": "`is`",
    "NULL": "`null`",
    "_IN_LIST": "`in [`",
    "_IN_STATE": "`in`",
    "CMP": "a comparison",
    "NAME": "a name",
    "NUMBER": "a number",
    "STRING": "a string",
    "DURATION": "a duration",
    "VERSION_TEXT": "a version",
    "SYNC_KIND": "`all-final`, `any-final` or `custom`",
    "HISTORY_KIND": "`shallow` or `deep`",
    "POLICY": "`first-match` or `all-match`",
    "$END": "the end",
}
_SIGNS: Final = {
    "LBRACE": "{",
    "RBRACE": "}",
    "LPAR": "(",
    "RPAR": ")",
    "LSQB": "[",
    "RSQB": "]",
    "COLON": ":",
    "COMMA": ",",
    "DOT": ".",
    "EQUAL": "=",
    "QMARK": "?",
    "LESSTHAN": "<",
    "MORETHAN": ">",
    "PLUS": "+",
    "MINUS": "-",
    "STAR": "*",
    "SLASH": "/",
    "PERCENT": "%",
}
_MANY: Final = 7
"""A message names what may follow when these are at most so many."""


def try_parse(fragment: Fragment, start: str) -> tuple[Any, UnexpectedInput | None]:
    """What a piece parses to, or the error."""
    from lark.exceptions import UnexpectedInput  # noqa: PLC0415 - heavy

    from orca.statemachine._grammar import parse_fragment  # noqa: PLC0415 - needs lark

    fragment.notes.clear()
    try:
        return parse_fragment(fragment, start), None
    except UnexpectedInput as error:
        return None, error


def fault(fragment: Fragment, start: str, report: Report) -> None:
    """Report why a piece does not parse."""
    _, error = try_parse(fragment, start)
    fragment.notes.clear()
    if error is not None:
        report_error(fragment, error, report)


def report_error(fragment: Fragment, error: UnexpectedInput, report: Report) -> None:
    """Report one of Lark's errors at its place, with what would have been right there."""
    message, span, known = describe(fragment, error)
    report.replace("SYNTAX", message, span, known)


def describe(fragment: Fragment, error: UnexpectedInput) -> tuple[str, Span, str | None]:
    """The message for one of Lark's errors, its place, and the keyword that may have been meant."""
    from lark.exceptions import UnexpectedToken  # noqa: PLC0415 - heavy

    expected = _expected(error)
    token = cast("Token", cast("Any", error).token) if isinstance(error, UnexpectedToken) else None
    if token is not None and token.type != "$END":
        start = token.start_pos if token.start_pos is not None else 0
        # After a failure the lexer tries every terminal, so that the token may be longer than what is wrong.
        text = str(token) if token.type == "STRING" else _piece_at(fragment.text, start)
        end = start + len(text)
    elif token is not None:
        text = ""
        start = end = len(fragment.text.rstrip())
    else:
        start = min(error.pos_in_stream or 0, len(fragment.text))
        text = fragment.text[start : start + 1]
        end = start + len(text)
    what = f"unexpected `{_short(text)}`" if text.strip() else "it ends too early"
    if text in {'"', "'"}:
        what = "the string is not closed"
    wanted = _either([_name(item) for item in expected]) if len(expected) <= _MANY else ""
    message = f"{what}; expected {wanted}" if wanted else what
    words = [item.strip("_").lower() for item in expected if item not in _KEYWORDS and item not in _SIGNS]
    known = nearest(_word_at(fragment.text, start), words)
    span = fragment.span(start, end) if end > start else _end_span(fragment, start)
    return message, span, known if text != known else None


def _end_span(fragment: Fragment, start: int) -> Span:
    """The last character of a piece that ends too early, so that the caret has something to point at."""
    return fragment.span(max(0, start - 1), max(start, 0))


_PIECE: Final = re.compile(r"[A-Za-z0-9_]+|->|=>|==|!=|<=|>=|&&|\|\||.", re.DOTALL)


def _piece_at(text: str, start: int) -> str:
    match = _PIECE.match(text, start)
    return match[0] if match is not None else ""


def _word_at(text: str, start: int) -> str:
    end = start
    while end < len(text) and (text[end].isalnum() or text[end] == "_"):
        end += 1
    return text[start:end]


def _expected(error: UnexpectedInput) -> list[str]:
    found: set[str] = set()
    for attribute in ("accepts", "allowed", "expected"):
        found = set(getattr(error, attribute, None) or ())
        if found:
            break
    return sorted(found - {"COMMENT"} - {item for item in found if item.startswith("__IGNORE")})


def _name(terminal: str) -> str:
    if terminal in _KEYWORDS:
        return _KEYWORDS[terminal]
    if terminal in _SIGNS:
        return f"`{_SIGNS[terminal]}`"
    if terminal.startswith("__ANON"):
        return "`->`"
    return f"`{terminal.strip('_').lower()}`"


def _either(names: list[str]) -> str:
    unique = list(dict.fromkeys(names))
    return unique[0] if len(unique) == 1 else f"{', '.join(unique[:-1])} or {unique[-1]}" if unique else ""


def _short(text: str) -> str:
    first = text.split("\n", 1)[0]
    return first if len(first) <= 40 else first[:40] + "..."


def inner_parse(fragment: Fragment, start: str) -> Any:
    """Parse a piece inside of another parse; what is wrong with it becomes a note, and the answer None."""
    notes = fragment.notes
    inner = Fragment(fragment.source, fragment.text, fragment.start, offsets=fragment.offsets, notes=notes)
    kept = list(notes)
    found, error = try_parse(inner, start)
    notes[:0] = kept
    if error is not None:
        message, span, known = describe(fragment, error)
        suggestion = f"did you mean `{known}`?" if known else ""
        notes.append(Note("SYNTAX", message, span, suggestion, known))
    return found
