"""``orca machine check`` with the verifier, ``render`` and ``simulate``."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from orca.common.cli import run
from orca.statemachine.cli import app
from orca.statemachine.cli._render import FORMATS

STUCK = """machine Door
context { tries: int = 0 }
state open [initial]
state shut
state locked
transitions {
    open + PUSH -> shut
    shut + TURN [tries > 2] -> locked
    shut + PUSH -> open : knock
}
"""


@pytest.fixture
def door(tmp_path: Path) -> Path:
    path = tmp_path / "door.orca"
    path.write_text(STUCK)
    return path


def machine(*args: object) -> int:
    return run(app, [str(arg) for arg in args], prog="orca machine")


def test_check_verifies_and_shows_the_run(door: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert machine("check", door) == 1
    out = capsys.readouterr().out
    assert "error[DEADLOCK]: nothing leads out of `locked`" in out
    assert f"--> {door}:5:7" in out
    assert "= shown by: start (tries=3) -> PUSH -> TURN" in out
    assert machine("check", door, "--no-verify") == 0


def test_levels_and_budget(door: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert machine("check", door, "--level", "DEADLOCK=off") == 0
    assert machine("check", door, "--level", "DEADLOCK=warning") == 0
    assert machine("check", door, "--level", "DEADLOCK=warning", "--strict") == 1
    capsys.readouterr()
    assert machine("check", door, "--budget", "1", "--level", "INCOMPLETE_EVENT_HANDLING=off") == 0
    assert "info[INCONCLUSIVE]" in capsys.readouterr().out
    for bad in ("DEADLOCK", "DEADLOCK=loud", "NOTHING=off"):
        assert machine("check", door, "--level", bad) == 2


def test_json_and_sarif_carry_the_trace(door: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert machine("check", door, "--json") == 1
    found = json.loads(capsys.readouterr().out)["diagnostics"]
    dead = next(item for item in found if item["code"] == "DEADLOCK")
    assert [step["event"] for step in dead["trace"]["steps"]] == ["PUSH", "TURN"]
    assert dead["trace"]["context"] == {"tries": 3}
    assert machine("check", door, "--sarif") == 1
    rules = json.loads(capsys.readouterr().out)["runs"][0]["tool"]["driver"]["rules"]
    assert "DEADLOCK" in [rule["id"] for rule in rules]


def test_simulate_plays_what_check_found(
    door: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert machine("check", door, "--json") == 1
    trace = tmp_path / "found.json"
    trace.write_text(capsys.readouterr().out)
    assert machine("simulate", door, "--trace", trace) == 0
    assert capsys.readouterr().out.splitlines() == [
        "start         open",
        "PUSH   taken  shut",
        "TURN   taken  locked",
    ]
    changed = json.loads(trace.read_text())
    dead = next(item for item in changed["diagnostics"] if "trace" in item)
    dead["trace"]["steps"][1]["leaves"] = ["open"]
    trace.write_text(json.dumps(dead))
    assert machine("simulate", door, "--trace", trace) == 1
    assert "a step did not end where the trace says" in capsys.readouterr().out


def test_simulate_sends_events(door: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert machine("simulate", door, "PUSH", "TURN", "PUSH", "-c", "tries=1") == 0
    assert capsys.readouterr().out.splitlines() == [
        "start         open",
        "PUSH   taken  shut",
        "TURN   guard  shut",
        "PUSH   taken  open",
    ]
    assert machine("simulate", door, "PUSH", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["steps"] == [{"event": "PUSH", "verdict": "taken", "leaves": ["shut"]}]
    assert found["context"] == {"tries": 0}
    assert found["done"] is False


def test_simulate_shows_the_end_and_the_circle(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "loop.orca.md"
    head = "# machine Loop\n\n## state a [initial]\n## state b\n## state c\n## state end [final]\n\n## transitions\n\n"
    table = "| Source | Event | Target |\n|---|---|---|\n| a | GO | b |\n| b | | c |\n| c | | b |\n| a | END | end |\n"
    path.write_text(head + table)
    assert machine("simulate", path, "GO") == 0
    assert "never becomes stable: " in capsys.readouterr().out
    assert machine("simulate", path, "END") == 0
    assert capsys.readouterr().out.splitlines()[-1] == "done"


def test_simulate_says_what_it_cannot_play(door: Path, tmp_path: Path) -> None:
    assert machine("simulate", door, "-c", "tries") == 2
    assert machine("simulate", door, "-c", "nothing=word") == 2
    assert machine("simulate", door, "-m", "Window") == 2
    trace = tmp_path / "t.json"
    texts = ["[", "[]", '{"steps": 1}', '{"steps": [1]}', '{"steps": [{}]}', '{"diagnostics": [{}]}']
    texts += [
        '{"context": 1}',
        '{"steps": [{"event": "E", "actions": [1]}]}',
        '{"steps": [{"event": "E", "payload": 2}]}',
    ]
    for text in texts:
        trace.write_text(text)
        assert machine("simulate", door, "--trace", trace) == 2, text
    trace.write_text('{"steps": ["PUSH"]}')
    assert machine("simulate", door, "--trace", trace) == 0
    assert machine("simulate", door, "PUSH", "--trace", trace) == 2


@pytest.mark.parametrize("name", FORMATS)
def test_render_writes_every_format(door: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert machine("render", door, "--to", name) == 0
    assert "locked" in capsys.readouterr().out


def test_render_takes_the_format_from_the_file(door: Path, tmp_path: Path) -> None:
    out = tmp_path / "door.svg"
    assert machine("render", door, "-o", out, "--active", "shut", "--direction", "right") == 0
    root = ET.fromstring(out.read_text("utf-8"))
    assert [item.get("data-state") for item in root.iter() if item.get("class") == "state active"] == ["shut"]
    assert machine("render", door, "-o", tmp_path / "door.json") == 0
    assert json.loads((tmp_path / "door.json").read_text("utf-8"))["id"] == "Door"


def test_render_says_what_it_cannot_draw(door: Path, tmp_path: Path) -> None:
    assert machine("render", door, "--to", "png") == 2
    assert machine("render", door, "-o", tmp_path / "door.png") == 2
    assert machine("render", door, "--direction", "up") == 2
    assert machine("render", door, "--active", "ajar") == 2
    assert machine("render", door, "-m", "Window") == 2
    assert machine("render", tmp_path / "none.orca") == 2


def test_mermaid_shows_all_machines_of_a_file(door: Path, capsys: pytest.CaptureFixture[str]) -> None:
    door.write_text(STUCK + STUCK.replace("Door", "Gate"))
    assert machine("render", door) == 0
    out = capsys.readouterr().out
    assert 'state "Door" as m0 {' in out
    assert 'state "Gate" as m1 {' in out
    assert machine("render", door, "-m", "Gate") == 0
    assert "Door" not in capsys.readouterr().out
