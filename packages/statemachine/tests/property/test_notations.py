"""Whatever is printed in a notation reads back as the same definition, and printing it again changes nothing."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from strategies import conditions, decision_tables, machines

from orca.statemachine.loading import load, parse_document
from orca.statemachine.model import Document, MachineDef
from orca.statemachine.print_markdown import print_markdown
from orca.statemachine.printer import print_brace
from orca.statemachine.tables import DecisionTableDef

QUICK = settings(
    max_examples=60,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


def reread(text: str) -> Document:
    result = load(text)
    errors = [item for item in result.diagnostics if item.severity == "error"]
    assert not errors, "\n".join(["", text, *map(str, errors)])
    return result.document


@QUICK
@given(machines())
def test_brace_reads_back(machine: MachineDef) -> None:
    text = print_brace(machine)
    found = reread(text).machines[0]
    assert found == machine
    assert repr(found) == repr(machine)
    assert print_brace(found) == text


@QUICK
@given(machines())
def test_markdown_reads_back(machine: MachineDef) -> None:
    text = print_markdown(machine)
    found = reread(text).machines[0]
    assert found == machine
    assert repr(found) == repr(machine)
    assert print_markdown(found) == text


@QUICK
@given(decision_tables())
def test_decision_tables_read_back_in_both(table: DecisionTableDef) -> None:
    document = Document((), (table,))
    for text in (print_brace(document), print_markdown(document)):
        assert parse_document(text) == document


@QUICK
@given(st.data())
def test_expressions_read_back(data: Any) -> None:
    tree = data.draw(conditions(["x", "or"], ["big"], 4))
    from orca.statemachine._print_text import guard_text

    text = f"""machine A
    context {{ x: Order  or: Order }}
    state a [initial]
    guards {{ big: true }}
    transitions {{ a [{guard_text(tree)}] -> a }}
    """
    assert parse_document(text).machines[0].transitions[0].guard == tree
