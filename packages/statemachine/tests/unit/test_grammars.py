"""Everything that is read goes through the grammars, and they have no conflicts."""

from __future__ import annotations

import logging
import re
from pathlib import Path

import lark
import pytest
from lark import Lark

import orca.statemachine
from orca.statemachine import _cells, _grammar
from orca.statemachine._values import duration_ms
from orca.statemachine.loading import load

SOURCES = Path(orca.statemachine.__file__).parent / "grammars"
CONFLICT = re.compile(r"Shift/Reduce conflict for terminal (\w+)")
CHOICES = {"_ON", "_RETURNS", "COMMA"}
"""Where something belongs to what stands right before it; the grammar says which and why."""
MARKDOWN = """
# machine M

## context

| Field | Type | Default |
|---|---|---|
| n | int | 0 |

## state a [initial] "First"

- timeout: 1.25s -> b
- on_entry: act

## state b [final]

## transitions

| Source | Event | Guard | Target | Action |
|---|---|---|---|---|
| a | GO | ctx.n > 2 | b | act |

## actions

| Name | Signature |
|---|---|
| act | `(ctx) -> Context` |

# decision_table T

## conditions

| Name | Type | Values |
|---|---|---|
| n | int_range | 0..9 |
| ok | bool | |
| s | enum | x, y |

## actions

| Name | Type |
|---|---|
| out | int |

## rules

| n | ok | s | -> out |
|---|---|---|---|
| 1..7 | !no | x,y | 3 |
| - | | | 4 |
"""


@pytest.fixture
def used(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The rules that parses begin with from now on."""
    duration_ms.cache_clear()
    _cells.remembered.cache_clear()
    found: set[str] = set()
    real = Lark.parse

    def parse(self: Lark, text: str, start: str | None = None, **more: object) -> object:
        found.add(start or "duration")
        return real(self, text, start=start, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(Lark, "parse", parse)
    return found


def test_cells_of_markdown_are_read_by_the_rules_of_the_grammars(used: set[str]) -> None:
    assert load(MARKDOWN).ok
    assert used >= {"expr", "signature", "bullet", "state_heading", "duration", "type", "default"}
    assert used >= {"number_cell", "truth_cell", "word_cell", "number_output", "number_values", "word_values"}


def test_a_brace_text_is_one_parse_and_its_durations(used: set[str]) -> None:
    text = "machine M\ncontext { n: int = 0 }\nstate a [initial] { timeout: 1.75s -> b }\nstate b\n"
    assert load(text + "transitions { a + GO [n > 1] -> b }\n").ok
    assert used == {"file", "duration"}


@pytest.mark.parametrize(
    ("name", "starts"),
    [
        ("statemachine", _grammar.STARTS),
        ("cells", _grammar.CELL_STARTS),
        ("durations", ("duration",)),
    ],
)
def test_grammars_have_no_conflicts(
    name: str, starts: tuple[str, ...], caplog: pytest.LogCaptureFixture
) -> None:
    text = (SOURCES / f"{name}.lark").read_text("utf-8")
    with caplog.at_level(logging.DEBUG, logger=lark.logger.name):
        # Two rules for one input are refused anyway; with `debug`, a choice between shifting and reducing is logged.
        found = Lark(text, parser="lalr", lexer="contextual", start=list(starts), debug=True)
    assert (found.options.parser, found.options.lexer) == ("lalr", "contextual")
    terminals = {match[1] for record in caplog.records if (match := CONFLICT.match(record.message))}
    assert terminals == (CHOICES if name == "statemachine" else set())
    assert {path.stem for path in SOURCES.glob("*.lark")} == {"statemachine", "cells", "durations"}


def test_a_conflict_would_be_seen(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, logger=lark.logger.name):
        Lark('start: start "+" start | "x"', parser="lalr", debug=True)
    assert any(CONFLICT.match(record.message) for record in caplog.records)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("state p { state c\n on X -> c }", "p.c"),
        ("state p { state c {}\n on X -> c }", "p"),
    ],
)
def test_an_on_clause_belongs_to_the_nearest_state_without_a_body(text: str, expected: str) -> None:
    machine = load(
        f"machine M\nevents {{ X }}\n{text.replace('state p', 'state p [initial]')}"
    ).document.machines[0]
    assert [row.source for row in machine.transitions] == [expected]


def test_a_comma_goes_on_with_the_list_before_it() -> None:
    text = "machine M\nevents {{ A, B }}\nstate a [initial] {{ ignore: A{} B{} on_entry: act }}\nactions {{ act }}\n"
    assert load(text.format(",", "")).document.machines[0].states[0].ignore == ("A", "B")
    assert not load(text.format(",", ",")).ok


def test_returns_after_an_invocation_are_its_own() -> None:
    body = "invoke: Kid returns: { x: y } on_done: -> b"
    text = f"machine M\ncontext {{ x: int = 0 }}\nstate a [initial] {{ {body} }}\nstate b\n"
    call = load(text).document.machines[0].states[0].invoke
    assert call is not None
    assert call.returns == (("x", "y"),)


def test_a_hostile_cell_takes_no_longer_than_its_length() -> None:
    for text in ("a" + " " * 50_000 + ",", "!" * 50_000, "'" * 50_001, "1" * 50_000, "1," * 25_000 + "x"):
        for start in _grammar.CELL_STARTS:
            said = _cells._read(text, start)
            assert said is None or said.kind == "values"


def test_a_set_of_many_values() -> None:
    said = _cells._read(",".join(f"v{n}" for n in range(20_000)), "word_cell")
    assert said is not None
    assert len(said.texts) == 20_000
