"""Texts that are hostile or large: refused or read, in a time that grows with their length, never a crash."""

from __future__ import annotations

import gc
import subprocess
import sys
import time

import pytest

from orca.statemachine._builder import MAX_NUMBER_LENGTH, MAX_PATH_LENGTH
from orca.statemachine._faults import MAX_TEXT_LENGTH
from orca.statemachine._report import MAX_DIAGNOSTICS
from orca.statemachine._resolve_states import MAX_STATE_DEPTH
from orca.statemachine.formatting import format_text
from orca.statemachine.guards import MAX_GUARD_DEPTH
from orca.statemachine.loading import load
from orca.statemachine.print_markdown import print_markdown

SIZE = 100_000


def guard(text: str) -> str:
    return f"machine M\ncontext {{ a: any }}\nstate s [initial]\ntransitions {{ s + E [{text}] -> s }}\n"


def table(cell: str) -> str:
    return (
        "# machine M\n\n## state s [initial]\n\n## transitions\n\n"
        f"| Source | Event | Guard | Target |\n|---|---|---|---|\n| s | E | {cell} | s |\n"
    )


HOSTILE = {
    "parentheses": lambda n: guard("(" * (n // 2) + "a" + ")" * (n // 2)),
    "open parentheses": lambda n: guard("(" * n),
    "nots": lambda n: guard("not " * (n // 4) + "a"),
    "bangs": lambda n: guard("!" * n + "a"),
    "minuses": lambda n: guard("-" * n + "a < 1"),
    "or chain": lambda n: guard("a or " * (n // 5) + "a"),
    "sum chain": lambda n: guard("a + " * (n // 4) + "a > 1"),
    "path": lambda n: guard("a." * (n // 2) + "a"),
    "long name": lambda n: guard("a" * n),
    "long number": lambda n: guard("a < " + "9" * n),
    "long string": lambda n: guard('a == "' + "x" * n + '"'),
    "open string": lambda n: guard('a == "' + "\\" * n),
    "in list": lambda n: guard("a in [" + "1, " * (n // 3) + "1]"),
    "states inside": lambda n: "machine M\n" + "state s [initial] { " * (n // 20) + "}" * (n // 20),
    "open braces": lambda n: "machine M\n" + "{" * n,
    "close braces": lambda n: "machine M\n" + "}" * n,
    "state openings": lambda n: "machine M\n" + "state a {\n" * (n // 10),
    "sections": lambda n: "machine M\n" + "context {\n" * (n // 10),
    "machines": lambda n: "".join(f"machine M{i}\nstate a [initial]\n" for i in range(n // 28)),
    "bad rows": lambda n: "machine M\nstate a [initial]\ntransitions {\n" + "a + + b\n" * (n // 8) + "}",
    "unknown targets": lambda n: (
        "machine M\nstate a [initial]\ntransitions {\n" + "a+E->bbbbb\n" * (n // 11) + "}"
    ),
    "guard circle": lambda n: (
        "machine M\nstate a [initial]\nguards {\n"
        + "".join(f"g{i}: g{i + 1}\n" for i in range(n // 14))
        + f"g{n // 14}: g0\n}}"
    ),
    "guard chain": lambda n: (
        "machine M\nstate a [initial]\nguards {\n"
        + "".join(f"g{i}: g{i + 1}\n" for i in range(n // 14))
        + f"g{n // 14}: true\n}}"
    ),
    "same names": lambda n: (
        "machine M\n"
        + "".join(
            f"state p{i} {'[initial]' if i == 0 else ''} {{ state a [initial] }}\n" for i in range(n // 40)
        )
        + "transitions {\n"
        + "p0.a + E -> a\n" * (n // 80)
        + "}"
    ),
    "list default": lambda n: (
        f"machine M\ncontext {{ a = {'[' * (n // 2)}{']' * (n // 2)} }}\nstate s [initial]"
    ),
    "generic type": lambda n: (
        f"machine M\ncontext {{ a: {'list<' * (n // 5)}int{'>' * (n // 5)} }}\nstate s [initial]"
    ),
    "array type": lambda n: f"machine M\ncontext {{ a: int{'[]' * (n // 2)} }}\nstate s [initial]",
    "letters": lambda n: "x" * n,
    "spaces": lambda n: " " * n,
    "control": lambda n: "\0" * n,
    "md headings": lambda n: "# machine M\n" + "## state a\n" * (n // 11),
    "md quotes": lambda n: "# machine M\n" + ">" * n,
    "md lists": lambda n: "# machine M\n## state a [initial]\n" + "- " * (n // 2),
    "md nested lists": lambda n: (
        "# machine M\n" + "".join(" " * (2 * i) + "- x\n" for i in range(min(300, n // 300)))
    ),
    "md backticks": lambda n: table("`" * n),
    "md backtick runs": lambda n: table(" ".join("`" * (i % 300 + 1) for i in range(n // 150))),
    "md bars": lambda n: table("|" * n),
    "md backslashes": lambda n: table("\\" * n),
    "md parentheses": lambda n: table("(" * n),
    "md brackets": lambda n: "# machine M\n" + "[" * n,
    "md stars": lambda n: "# machine M\n" + "*" * n,
    "md rows": lambda n: table("a") + "| s | E | b | s |\n" * (n // 18),
    "md columns": lambda n: (
        "# machine M\n## context\n" + "|a" * (n // 4) + "|\n" + "|-" * (n // 4) + "|\n" + "|b|\n" * 10
    ),
    "md html": lambda n: "# machine M\n" + "<!--" * (n // 4),
    "md entities": lambda n: "# machine M\n" + "&amp" * (n // 4),
    "md cells": lambda n: (
        "# decision_table T\n## conditions\n| Name | Type | Values |\n|--|--|--|\n| a | enum | "
        + "x," * (n // 2)
        + " |\n"
    ),
    "dt number": lambda n: (
        f'decision_table T\nconditions {{ a: int_range "{"9" * n}..1" }}\noutputs {{ b: int }}\nrules {{ "1" -> "1" }}'
    ),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_texts_are_refused_or_read_in_linear_time(kind: str) -> None:
    load("machine M\nstate a [initial]")
    load("# machine M\n## state a [initial]")
    full = spent(HOSTILE[kind](SIZE))
    if full > 0.5:
        # Four times the text in at most ten times the time: linear would be four, quadratic sixteen. Smaller
        # texts are no measure: some are read on a shorter way, and so many times faster.
        assert_proportion(HOSTILE[kind](SIZE), HOSTILE[kind](4 * SIZE), 10)
    assert full < 10


def assert_proportion(small: str, large: str, factor: float) -> None:
    """The large text takes less than so many times the time of the small one.

    What else runs on the machine only ever adds time: the best of each counts. The small one is measured more often,
    since its time must not be taken for longer than it is; a machine that is busy gets more turns.
    """
    least_small = min(spent(small), spent(small))
    least_large = float("inf")
    for _ in range(12):
        least_small = min(least_small, spent(small))
        least_large = min(least_large, spent(large))
        if least_large < factor * least_small:
            return
    pytest.fail(f"{least_large:.2f} s, and {least_small:.2f} s for the smaller text")


def spent(text: str) -> float:
    # What other tests left is not gone through again while the parser makes objects of its own.
    gc.collect()
    gc.freeze()
    try:
        start = time.process_time()
        result = load(text)
        assert len(result.diagnostics) <= MAX_DIAGNOSTICS + 1
        return time.process_time() - start
    finally:
        gc.unfreeze()


def test_the_bound_on_levels_of_states() -> None:
    def nested(levels: int) -> str:
        inside = "".join(f"state s{level} [initial] {{ " for level in range(levels))
        return f"machine M\n{inside}{'} ' * levels}"

    result = load(nested(MAX_STATE_DEPTH))
    assert result.ok
    machine = result.document.machines[0]
    assert load(print_markdown(machine)).document.machines[0] == machine
    assert [item.code for item in load(nested(MAX_STATE_DEPTH + 1)).diagnostics] == ["LIMIT_EXCEEDED"]


def test_the_bound_on_levels_of_expressions() -> None:
    assert load(guard("not " * (MAX_GUARD_DEPTH - 1) + "a")).ok
    assert [item.code for item in load(guard("not " * MAX_GUARD_DEPTH + "a")).diagnostics] == [
        "LIMIT_EXCEEDED"
    ]


def test_the_bounds_on_paths_and_numbers() -> None:
    assert load(guard(".".join("a" * (MAX_PATH_LENGTH - 1)))).ok
    assert "LIMIT_EXCEEDED" in [
        item.code for item in load(guard(".".join("a" * (MAX_PATH_LENGTH + 1)))).diagnostics
    ]
    assert load(guard("a < " + "9" * MAX_NUMBER_LENGTH)).ok
    assert not load(guard("a < " + "9" * (MAX_NUMBER_LENGTH + 1))).ok
    assert not load(guard("a < 1e999")).ok


@pytest.mark.parametrize("start", ["machine M\n", "# machine M\n"])
def test_the_bound_on_the_length_of_a_text(start: str) -> None:
    assert [item.code for item in load(start + " " * MAX_TEXT_LENGTH).diagnostics] == ["LIMIT_EXCEEDED"]


def test_the_bound_on_findings() -> None:
    rows = "".join(f"a + E -> nowhere{n}\n" for n in range(MAX_DIAGNOSTICS + 50))
    found = load(f"machine M\nstate a [initial]\ntransitions {{\n{rows}}}").diagnostics
    assert len(found) == MAX_DIAGNOSTICS + 1
    assert sum(item.code == "LIMIT_EXCEEDED" for item in found) == 1


@pytest.mark.parametrize(
    "text", ["a: " + "list<" * 40 + "int" + ">" * 40, "a = " + "[" * 40 + "]" * 40, "a: int" + "[]" * 40]
)
def test_the_bound_on_levels_of_types_and_defaults(text: str) -> None:
    result = load(f"machine M\ncontext {{ {text} }}\nstate s [initial]")
    assert [item.code for item in result.diagnostics] == ["LIMIT_EXCEEDED"]
    effects = load(f"machine M\nstate s [initial]\neffects {{ A: {'list<' * 40}int{'>' * 40} -> int }}")
    assert [item.code for item in effects.diagnostics] == ["LIMIT_EXCEEDED"]


def big(states: int) -> str:
    rows = "".join(
        f"    s{n} + E{n} [ctx.x < {n}] -> s{(n + 1) % states} : act\n    s{n} + F -> s{n // 2}\n"
        for n in range(states)
    )
    body = "".join(
        f'state s{n}{" [initial]" if n == 0 else ""} {{\n    description: "state {n}"\n    on_entry: enter\n}}\n'
        for n in range(states)
    )
    return f"machine Big\ncontext {{ x: int = 0 }}\n{body}transitions {{\n{rows}}}\n"


@pytest.mark.parametrize("notation", ["brace", "markdown"])
def test_parsing_is_linear_in_the_states(notation: str) -> None:
    def text_of(states: int) -> str:
        text = big(states)
        return print_markdown(load(text).document) if notation == "markdown" else text

    thousand, many = text_of(1000), text_of(3000)
    assert len(load(thousand).document.machines[0].states) == 1000
    # How fast it is, benchmarks/statemachine/parse.py says; here three times the text must not cost nine times.
    assert_proportion(thousand, many, 6)


def test_formatting_a_large_text_is_linear() -> None:
    start = time.process_time()
    format_text("# about\n" + big(1000))
    assert time.process_time() - start < 3


def test_the_parser_loads_at_the_first_parse() -> None:
    code = (
        "import sys, orca.statemachine as s; s.MachineDef; "
        "heavy = {'lark', 'markdown_it', 'anyio', 'asyncio', 'typer', 'rich', 'pydantic', 'hypothesis'}; "
        "print(sorted(heavy & set(sys.modules)))"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert found.stdout.strip() == "[]"
