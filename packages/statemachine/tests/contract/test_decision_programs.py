"""Decision tables as Python, TypeScript and JSON decide what the runtime decides."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from dataclasses import replace
from itertools import product
from typing import TYPE_CHECKING, Any

import pytest
from node_packages import compile_typescript, run_module, workspace

from orca.common.cli import run
from orca.statemachine.cli import app
from orca.statemachine.outputs.decision_tables import tables_to_json, tables_to_python, tables_to_typescript
from orca.statemachine.runtime.decide import decide
from orca.statemachine.tables import (
    AnyCell,
    ConditionDef,
    DecisionTableDef,
    OutputDef,
    RangeCell,
    RuleDef,
    SetCell,
)
from orca.statemachine.verify.decision import axes_of

if TYPE_CHECKING:
    from pathlib import Path

TABLES = 120
CONTEXTS = 60
ODD: tuple[Any, ...] = (None, True, False, 0, 1, 1.0, 1.5, -3, "", "1", "gold", "true", [], [1], {}, {"a": 1})
NAMES = ("tier", "class", "constructor", "__proto__", "toString", "new", "import", "lambda", "found")
WORDS = ("gold", "it's", 'a "b", c', "x\\y", "*/ end", "</script>", "\u2028", "é😀", "True", "")


def random_table(rng: random.Random, name: str) -> DecisionTableDef:
    """A table with every kind of column and cell, and names that are words of both languages."""
    conditions = tuple(_condition(rng, name) for name in rng.sample(NAMES, rng.randint(1, 4)))
    outputs = tuple(
        OutputDef(name, rng.choice(("bool", "int", "decimal", "string")), rng.choice(WORDS))
        for name in rng.sample(NAMES, rng.randint(1, 2))
    )
    rules = tuple(
        RuleDef(
            number,
            tuple(_cell(rng, condition) for condition in conditions),
            tuple(_value(rng, output) for output in outputs),
        )
        for number in range(1, rng.randint(2, 6))
    )
    policy = "first-match" if rng.random() < 0.5 else "all-match"
    return DecisionTableDef(name, conditions, outputs, rules, policy)


def _condition(rng: random.Random, name: str) -> ConditionDef:
    kind = rng.choice(("bool", "enum", "int_range", "decimal_range", "string"))
    return ConditionDef(name, kind, tuple(rng.sample(WORDS, 3)) if kind == "enum" else ())  # type: ignore[arg-type]


def _cell(rng: random.Random, condition: ConditionDef) -> Any:
    if rng.random() < 0.3:
        return AnyCell()
    if condition.type == "bool":
        return SetCell((rng.random() < 0.5,), negated=rng.random() < 0.5)
    if condition.type in {"enum", "string"}:
        return SetCell(tuple(rng.sample(condition.values or WORDS, 2)), negated=rng.random() < 0.5)
    low, high = sorted(rng.choice((-1, 0, 1, 1.5, 7)) for _ in range(2))
    if condition.type == "int_range":
        low, high = int(low), int(high)
    if rng.random() < 0.3:
        return SetCell((low, high), negated=rng.random() < 0.5)
    return RangeCell(rng.choice((low, None)), high, low_open=rng.random() < 0.5, high_open=rng.random() < 0.5)


def _value(rng: random.Random, output: OutputDef) -> Any:
    kinds = {"bool": (True, False), "int": (0, -7, 2**40), "decimal": (0.25, 1e30), "string": WORDS}
    return rng.choice((None, *kinds[output.type]))


def contexts(rng: random.Random, table: DecisionTableDef) -> list[dict[str, Any]]:
    """Values of every piece of every axis, and values that no author thinks of; some are missing."""
    axes = [[value for value, _ in axis] for axis in axes_of(table)]
    names = [condition.name for condition in table.conditions]
    found = [dict(zip(names, values, strict=True)) for values in list(product(*axes))[: CONTEXTS // 2]]
    while len(found) < CONTEXTS:
        values = [rng.choice((*ODD, *WORDS, *axis)) for axis in axes]
        found.append({name: value for name, value in zip(names, values, strict=True) if rng.random() < 0.9})
    return found


@pytest.fixture(scope="module")
def cases() -> tuple[list[DecisionTableDef], list[list[dict[str, Any]]], list[list[dict[str, Any]]]]:
    rng = random.Random(11)
    tables = [random_table(rng, f"T{number}") for number in range(TABLES)]
    given = [contexts(rng, table) for table in tables]
    expected = [
        [decide(table, context) for context in each] for table, each in zip(tables, given, strict=True)
    ]
    assert sum(bool(made) for each in expected for made in each) > TABLES * CONTEXTS / 4
    assert sum(not made for each in expected for made in each) > TABLES * CONTEXTS / 10
    return tables, given, expected


def test_the_python_module_decides_the_same(cases, tmp_path: Path) -> None:
    tables, given, expected = cases
    (tmp_path / "decisions.py").write_text(tables_to_python(tables), "utf-8")
    program = """
import json, sys
import decisions
given = json.load(open("given.json", encoding="utf-8"))
made = [[getattr(decisions, f"decide_t{n}")(context) for context in each] for n, each in enumerate(given)]
json.dump(made, sys.stdout)
assert not any(name.startswith("orca") for name in sys.modules)
"""
    (tmp_path / "given.json").write_text(json.dumps(given), "utf-8")
    # -S: what the module imports is the standard library alone.
    command = [sys.executable, "-S", "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == expected


def test_the_typescript_module_decides_the_same(cases) -> None:
    tables, given, expected = cases
    with workspace() as folder:
        (folder / "package.json").write_text('{"type": "module"}', "utf-8")
        (folder / "given.json").write_text(json.dumps(given), "utf-8")
        (folder / "decisions.ts").write_text(tables_to_typescript(tables), "utf-8")
        compile_typescript(folder, "decisions.ts")
        harness = """
            import * as decisions from "./decisions.js";
            import { readFileSync } from "node:fs";
            const given = JSON.parse(readFileSync(new URL("./given.json", import.meta.url)));
            console.log(JSON.stringify(
              given.map((each, n) => each.map((context) => decisions[`decideT${n}`](context)))));
        """
        found = json.loads(run_module(folder, "harness.js", harness))
    for table, each, one, other in zip(tables, given, found, expected, strict=True):
        for context, mine, ours in zip(each, one, other, strict=True):
            assert mine == ours, (table, context)


def test_types_of_the_typescript_module_hold_callers_to_the_columns() -> None:
    table = DecisionTableDef(
        "Fee",
        (ConditionDef("tier", "enum", ("gold",)),),
        (OutputDef("fee", "int"),),
        (RuleDef(1, (AnyCell(),), (1,)),),
    )
    with workspace() as folder:
        text = tables_to_typescript([table])
        (folder / "good.ts").write_text(
            f'{text}export const n: number = decideFee({{ tier: "gold" }}).fee ?? 0;\n'
        )
        compile_typescript(folder, "good.ts")
        (folder / "bad.ts").write_text(f'{text}decideFee({{ tier: "bronze" }});\n')
        with pytest.raises(AssertionError, match=r"\"bronze\"' is not assignable"):
            compile_typescript(folder, "bad.ts")


def read_cell(cell: dict[str, Any] | None, value: object) -> bool:
    """A cell of the JSON, read by its own description."""
    if cell is None:
        return True
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if "in" in cell or "notIn" in cell:
        options = [json.dumps(float(o) if type(o) is int else o) for o in cell.get("in", cell.get("notIn"))]
        held = json.dumps(float(value) if number else value) in options  # type: ignore[arg-type]
        return held if "in" in cell else value is not None and not held
    checks = {
        "min": lambda v, b: v >= b,
        "exclusiveMin": lambda v, b: v > b,
        "max": lambda v, b: v <= b,
        "exclusiveMax": lambda v, b: v < b,
    }
    return number and all(checks[key](value, bound) for key, bound in cell.items())


def test_the_json_says_the_same(cases) -> None:
    tables, given, expected = cases
    read = json.loads(tables_to_json(tables))["tables"]
    assert [item["name"] for item in read] == [table.name for table in tables]
    for item, each, made in zip(read, given, expected, strict=True):
        names = [condition["name"] for condition in item["conditions"]]
        outputs = [output["name"] for output in item["outputs"]]
        for context, wanted in zip(each, made, strict=True):
            found: dict[str, Any] = {}
            for rule in item["rules"]:
                if all(map(read_cell, rule["when"], (context.get(name) for name in names))):
                    found |= {k: v for k, v in zip(outputs, rule["then"], strict=True) if v is not None}
                    if item["policy"] == "first-match":
                        break
            assert found == wanted, (item, context)


def test_names_that_read_the_same_in_snake_case_stay_apart() -> None:
    table = DecisionTableDef(
        "AB", (ConditionDef("x", "bool"),), (OutputDef("y", "int"),), (RuleDef(1, (AnyCell(),), (1,)),)
    )
    text = tables_to_python([table, replace(table, name="Ab"), replace(table, name="HTTPCode2Text")])
    assert [line.split("(")[0] for line in text.splitlines() if line.startswith("def decide")] == [
        "def decide_ab",
        "def decide_ab_2",
        "def decide_http_code2_text",
    ]


TEXT = """decision_table Fee
conditions { age: int_range "0..120" }
outputs { fee: int }
rules {
    "<18" -> "0"
    "18+" -> "12"
}
"""
BOTH = "machine M\nstate a [initial]\n" + TEXT + TEXT.replace("Fee", "Other")
BROKEN = TEXT.replace('"<18"', '"17-"')


@pytest.mark.parametrize(
    ("arguments", "start"),
    [
        (["--to", "python"], '"""Decision tables'),
        (["--to", "typescript", "--table", "Other"], "// Decision tables"),
        (["--to", "json"], '{\n  "tables"'),
        (["--to", "mermaid"], "stateDiagram-v2"),
    ],
)
def test_render_writes_tables(tmp_path: Path, capsys, arguments: list[str], start: str) -> None:
    path = tmp_path / "fee.orca"
    path.write_text(BOTH)
    assert run(app, ["render", str(path), *arguments], prog="orca machine") == 0
    out = capsys.readouterr().out
    assert out.startswith(start)
    assert ("Fee" in out) is (arguments[1] in {"python", "json"})


@pytest.mark.parametrize(
    ("name", "start"),
    [("fee.py", '"""Decision'), ("fee.ts", "// Decision"), ("fee.json", '{\n  "tables"')],
)
def test_the_ending_tells_the_format(tmp_path: Path, name: str, start: str) -> None:
    path = tmp_path / "fee.orca"
    path.write_text(TEXT)
    assert run(app, ["render", str(path), "-o", str(tmp_path / name)], prog="orca machine") == 0
    assert (tmp_path / name).read_text("utf-8").startswith(start)


def test_tables_that_are_not_there_are_wrong_usage(tmp_path: Path, capsys) -> None:
    path = tmp_path / "fee.orca"
    path.write_text(BOTH)
    assert run(app, ["render", str(path), "--to", "json", "--table", "Fees"], prog="orca machine") == 2
    assert "it has Fee, Other" in capsys.readouterr().err
    path.write_text("machine M\nstate a [initial]\n")
    assert run(app, ["render", str(path), "--to", "python"], prog="orca machine") == 2
    path.write_text(BROKEN)
    assert run(app, ["render", str(path), "--to", "json"], prog="orca machine") == 1
