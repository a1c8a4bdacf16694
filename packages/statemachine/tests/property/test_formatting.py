"""Formatting is canonical, idempotent, keeps the meaning, and loses neither comments nor prose."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from strategies import machines

from orca.statemachine.formatting import convert_text, format_text
from orca.statemachine.loading import parse_document
from orca.statemachine.model import MachineDef
from orca.statemachine.print_markdown import print_markdown
from orca.statemachine.printer import print_brace

QUICK = settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)


@QUICK
@given(machines(), st.data())
def test_comments_survive(machine: MachineDef, data: Any) -> None:
    lines = print_brace(machine).split("\n")
    marks: list[str] = []
    for index in range(len(lines)):
        if data.draw(st.booleans()):
            mark = f"# note {len(marks)}."
            marks.append(mark)
            lines[index] = f"{lines[index]} {mark}" if data.draw(st.booleans()) else f"{mark}\n{lines[index]}"
    text = "\n".join(lines)
    formatted = format_text(text)
    assert parse_document(formatted).machines[0] == machine
    for mark in marks:
        assert formatted.count(mark) == 1
    assert format_text(formatted) == formatted


@pytest.mark.parametrize(
    "text",
    [
        "state a [initial] {\n# note\n}\nstate b",
        "state a [initial] {\n# note\n}\ntransitions { a + X -> a }",
        "state a [initial] {\nstate b [initial] {\n# note\n}\n}\nstate c",
        "context {\n# note\n}\nstate a [initial]",
        "state a [initial]\nreturns {\n# note\n}\nproperties { live }",
        "state a [initial]\nreturns {\n# note\n}",
    ],
)
def test_a_comment_of_an_empty_block_finds_a_place_and_keeps_it(text: str) -> None:
    formatted = format_text(f"machine M\n{text}")
    assert formatted.count("# note") == 1
    assert format_text(formatted) == formatted


@QUICK
@given(machines(), st.data())
def test_prose_survives(machine: MachineDef, data: Any) -> None:
    blocks = print_markdown(machine).split("\n\n")
    marks: list[str] = []
    found: list[str] = []
    for block in blocks:
        found.append(block)
        if data.draw(st.booleans()):
            mark = data.draw(
                st.sampled_from(
                    ["Some *prose*", "<!-- a comment -->", "```\nfenced\n\n\n  code\n```", "1. one\n2. two"]
                )
            )
            marks.append(mark)
            found.append(mark)
    text = "\n\n\n".join(found)
    formatted = format_text(text, notation="markdown")
    assert parse_document(formatted).machines[0] == machine
    for mark in set(marks):
        assert formatted.count(mark) == marks.count(mark)
    assert format_text(formatted) == formatted


@QUICK
@given(machines())
def test_conversion_goes_there_and_back(machine: MachineDef) -> None:
    brace = print_brace(machine)
    markdown = convert_text(brace, to="markdown")
    assert markdown == print_markdown(machine)
    assert convert_text(markdown, to="brace") == brace
