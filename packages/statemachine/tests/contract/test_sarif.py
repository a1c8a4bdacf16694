"""SARIF logs follow the schema of the standard, and show the runs of the verifier step by step."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from node_packages import run_module, workspace

from orca.common.cli import run
from orca.statemachine.catalogue import entries
from orca.statemachine.cli import app

if TYPE_CHECKING:
    from pathlib import Path

VALIDATE = """
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";
const require = createRequire(import.meta.url);
const Ajv = require("ajv");
const ajv = new Ajv({ schemaId: "auto", allErrors: true });
ajv.addMetaSchema(require("ajv/lib/refs/json-schema-draft-04.json"));
const validate = ajv.compile(require("@microsoft/jest-sarif/lib/schemas/sarif-2.1.0-rtm.5.json"));
const logs = JSON.parse(readFileSync(new URL("./logs.json", import.meta.url)));
console.log(JSON.stringify(logs.map((log) => (validate(log) ? [] : validate.errors))));
"""
DOOR = """machine Door
context { tries: int = 0 }
state open [initial]
state p {
  parallel {
    region one { state shut [initial] state locked }
    region two { state quiet [initial] }
  }
}
transitions {
  open + PUSH [event.force >= 3] -> p
  shut + TURN [tries > 2] -> locked : turn
}
"""


def faults_of(logs: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """What the schema says about each log."""
    with workspace() as folder:
        (folder / "logs.json").write_text(json.dumps(logs), "utf-8")
        return json.loads(run_module(folder, "validate.mjs", VALIDATE))  # type: ignore[no-any-return]


def sarif(path: Path, capsys: pytest.CaptureFixture[str], *options: str) -> dict[str, Any]:
    run(app, ["check", str(path), "--sarif", *options], prog="orca machine")
    return json.loads(capsys.readouterr().out)  # type: ignore[no-any-return]


def test_logs_of_every_code_follow_the_schema(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    logs = []
    for code, entry in entries().items():
        suffix = "orca.md" if entry.failing.startswith("# ") else "orca"
        path = tmp_path / f"{code} ü.{suffix}"
        path.write_text(entry.failing, "utf-8")
        logs.append(sarif(path, capsys))
    found = [result["ruleId"] for log in logs for result in log["runs"][0]["results"]]
    assert len(set(found)) > 80
    assert [faults for faults in faults_of(logs) if faults] == []


def test_the_schema_is_really_asked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "door.orca"
    path.write_text(DOOR)
    log = sarif(path, capsys)
    good, bad, worse = log, json.loads(json.dumps(log)), json.loads(json.dumps(log))
    bad["runs"][0]["results"][0]["level"] = "fatal"
    flows = next(item for item in worse["runs"][0]["results"] if "codeFlows" in item)["codeFlows"]
    flows[0]["threadFlows"][0]["locations"] = []
    no, one, other = faults_of([good, bad, worse])
    assert no == []
    assert one[0]["dataPath"].endswith(".level")
    assert other[0]["dataPath"].endswith(".locations")


def test_a_counterexample_is_a_code_flow(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "the door.orca"
    path.write_text(DOOR)
    log = sarif(path, capsys)
    dead = next(item for item in log["runs"][0]["results"] if item["ruleId"] == "DEADLOCK")
    (flow,) = dead["codeFlows"]
    (thread,) = flow["threadFlows"]
    shown = [
        (
            step["location"]["message"]["text"],
            step["location"]["physicalLocation"]["region"]["startLine"],
            {name: value["text"] for name, value in step["state"].items()},
        )
        for step in thread["locations"]
    ]
    where = "p.one.locked, p.two.quiet"
    assert shown == [
        ("start: open", 3, {"configuration": "open", "ctx.tries": "3"}),
        (
            "PUSH: p.one.shut, p.two.quiet",
            6,
            {"configuration": "p.one.shut, p.two.quiet", "event.force": "3.5"},
        ),
        (f"TURN: {where}", 6, {"configuration": where}),
    ]
    assert [step["executionOrder"] for step in thread["locations"]] == [0, 1, 2]
    uri = dead["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]
    assert uri == path.as_uri()


def test_relative_files_and_standard_input_stay_relative(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a b").mkdir()
    (tmp_path / "a b" / "door.orca").write_text("machine A\nstate a\n")
    run(app, ["check", "a b", "--sarif"], prog="orca machine")
    log = json.loads(capsys.readouterr().out)
    place = log["runs"][0]["results"][0]["locations"][0]["physicalLocation"]
    assert place["artifactLocation"]["uri"] == "a%20b/door.orca"


def test_a_livelock_ends_in_a_step_without_a_configuration(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "loop.orca"
    path.write_text(
        "machine L\nevents { GO }\nstate a [initial]\nstate b\n"
        "transitions {\n  a + GO -> b\n  b -> b : n\n}\nactions { n: (ctx) -> Context }\n"
    )
    log = sarif(path, capsys)
    found = next(item for item in log["runs"][0]["results"] if item["ruleId"] == "LIVELOCK")
    last = found["codeFlows"][0]["threadFlows"][0]["locations"][-1]
    assert last["location"]["message"]["text"] == "GO: never stable"
    assert last["location"]["physicalLocation"]["region"]["startLine"] == 1
    assert faults_of([log]) == [[]]
