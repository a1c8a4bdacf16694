"""Texts in either notation to definitions in the published shapes."""

from __future__ import annotations

import logging
import re
from typing import Final, Literal

from orca.statemachine.diagnostics import ParseError, render
from orca.statemachine.loading import LoadResult, load
from orca_runtime_python._convert import DefinitionError, from_model, to_model
from orca_runtime_python.types import (
    ActionSignature,
    EffectDef,
    GuardAnd,
    GuardCompare,
    GuardDef,
    GuardExpression,
    GuardFalse,
    GuardNot,
    GuardNullcheck,
    GuardOr,
    GuardTrue,
    InvokeDef,
    MachineDef,
    ParallelDef,
    RegionDef,
    ReturnDef,
    StateDef,
    Transition,
    ValueRef,
    VariableRef,
)

__all__ = [
    "ActionSignature",
    "DefinitionError",
    "EffectDef",
    "GuardAnd",
    "GuardCompare",
    "GuardDef",
    "GuardExpression",
    "GuardFalse",
    "GuardNot",
    "GuardNullcheck",
    "GuardOr",
    "GuardTrue",
    "InvokeDef",
    "MachineDef",
    "ParallelDef",
    "ParseError",
    "RegionDef",
    "ReturnDef",
    "StateDef",
    "Transition",
    "ValueRef",
    "VariableRef",
    "from_model",
    "parse_orca",
    "parse_orca_auto",
    "parse_orca_md",
    "parse_orca_md_multi",
    "to_model",
]


logger = logging.getLogger(__name__)

_TOLERATED: Final = frozenset(
    {
        "UNKNOWN_ACTION",
        "UNKNOWN_BULLET",
        "UNKNOWN_EFFECT",
        "UNKNOWN_EVENT",
        "UNKNOWN_FIELD",
        "UNKNOWN_MACHINE",
        "UNKNOWN_ON_DONE_EVENT",
        "UNKNOWN_ON_ERROR_EVENT",
        "UNKNOWN_SECTION",
    }
)
"""Errors of the language that the published parser let pass: names that are declared nowhere. They are logged."""

_ROW: Final = re.compile(r"\s*\|.*\|\s*")
_DELIMITER: Final = re.compile(r"\s*\|(\s*:?-+:?\s*\|)+\s*")


def parse_orca(source: str) -> MachineDef:
    """The first machine of a text in either notation.

    Raises:
        ParseError: The text has errors; ``diagnostics`` lists all of them.

    Example:
        >>> machine = parse_orca('machine Lamp state off [initial] state on transitions { off + PRESS -> on }')
        >>> machine.name, machine.events, machine.transitions[0].target
        ('Lamp', [], 'on')
    """
    return _read(source, None)[0]


def parse_orca_md(source: str) -> MachineDef:
    """The first machine of a text in Markdown notation.

    Raises:
        ParseError: The text has errors.
    """
    return _read(source, "markdown")[0]


def parse_orca_md_multi(source: str) -> list[MachineDef]:
    """All machines of a text in Markdown notation.

    Raises:
        ParseError: The text has errors.
    """
    return _read(source, "markdown")


def parse_orca_auto(source: str, filename: str | None = None) -> MachineDef:
    """The first machine of a text; a file name ending in ``.md`` or ``.orca`` decides the notation.

    Raises:
        ParseError: The text has errors.
    """
    if filename is not None and filename.endswith(".md"):
        return _read(source, "markdown")[0]
    return _read(source, "brace" if filename is not None and filename.endswith(".orca") else None)[0]


def _read(text: str, notation: Literal["brace", "markdown"] | None) -> list[MachineDef]:
    result = load(text, notation=notation)
    if result.notation == "markdown":
        result = load(_with_delimiters(text), notation="markdown")
    _check(result)
    return [from_model(machine) for machine in result.document.machines]


def _check(result: LoadResult) -> None:
    errors = [one for one in result.diagnostics if one.severity == "error"]
    if any(one.code not in _TOLERATED for one in errors) or not result.document.machines:
        raise ParseError(result.diagnostics, result.source)
    for one in errors:
        logger.warning("%s", render(one, result.source))


def _with_delimiters(text: str) -> str:
    """The text with the row of dashes that Markdown wants under a table's head, where it was left out."""
    found: list[str] = []
    lines = text.splitlines()
    for number, line in enumerate(lines):
        found.append(line)
        begins = _ROW.fullmatch(line) and (number == 0 or not _ROW.fullmatch(lines[number - 1]))
        if begins and number + 1 < len(lines) and not _DELIMITER.fullmatch(lines[number + 1]):
            found.append("|" + "---|" * (line.replace("\\|", "").count("|") - 1))
    return "\n".join(found) + "\n"
