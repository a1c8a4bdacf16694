"""Whatever stands in a text, loading it gives findings with places and never another exception."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from strategies import decision_tables, machines

from orca.statemachine.diagnostics import apply_edits, render
from orca.statemachine.formatting import format_text
from orca.statemachine.loading import load
from orca.statemachine.model import Document, MachineDef
from orca.statemachine.print_markdown import print_markdown
from orca.statemachine.printer import print_brace

QUICK = settings(
    max_examples=25,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
JUNK = st.sampled_from(
    [
        *"{}[]()|\\`\"'#*-+:,.=<>!&%\n\t_",
        "->",
        "state ",
        "machine ",
        "transitions {",
        "\n# ",
        "\n| ",
        "\n- ",
        " or ",
        "99",
    ]
) | st.characters(codec="utf-8")


def check(text: str) -> None:
    result = load(text, "text")
    for item in result.diagnostics:
        assert item.severity in {"error", "warning", "info"}
        shown = render(item, result.source)
        assert shown.startswith(f"{item.severity}[{item.code}]: ")
        if item.span is not None:
            assert 0 <= item.span.start <= item.span.end <= len(text)
            assert (item.span.line, item.span.column) == result.source.position(item.span.start)
        item.to_json()
    edits = [edit for item in result.diagnostics for edit in item.edits]
    load(apply_edits(result.source.text, edits))
    if result.ok:
        once = format_text(text)
        assert format_text(once) == once, text


def broken(data: Any, text: str) -> str:
    for _ in range(data.draw(st.integers(1, 3))):
        start = data.draw(st.integers(0, len(text)))
        end = data.draw(st.integers(start, min(len(text), start + 12)))
        text = text[:start] + data.draw(JUNK | st.just("")) + text[end:]
    return text


@QUICK
@given(machines(), st.data())
def test_broken_brace_texts(machine: MachineDef, data: Any) -> None:
    check(broken(data, print_brace(machine)))


@QUICK
@given(machines(), st.data())
def test_broken_markdown_texts(machine: MachineDef, data: Any) -> None:
    check(broken(data, print_markdown(machine)))


@QUICK
@given(decision_tables(), st.data())
def test_broken_decision_tables(table: Any, data: Any) -> None:
    document = Document((), (table,))
    check(broken(data, print_brace(document)))
    check(broken(data, print_markdown(document)))


@QUICK
@given(st.text(max_size=60))
def test_any_text(text: str) -> None:
    check(text)
    check(f"machine M\n{text}")
    check(f"# machine M\n{text}")
    check(
        f"# machine M\n## state a [initial]\n## transitions\n| Source | Target | Guard |\n|-|-|-|\n| a | a | {text} |"
    )


@pytest.mark.parametrize("word", ["returns", "context", "events", "guards", "effects", "properties", "rules"])
def test_a_word_that_begins_a_section_elsewhere_stands_in_a_broken_state(word: str) -> None:
    check(
        f"machine M\nstate b [initial] {{\n    {word}: {{ x: r  on_done: c\n    x: bool[]? (histogram)\n}}\n"
    )
    check(f"machine M\nstate b [initial] {{\n    {word} {{ x: r }}\n    +\n}}\n")
