"""The commands of the language: files, folders, standard input, exit codes, and one object behind every output."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from orca.common.cli import run
from orca.statemachine.cli import app
from orca.statemachine.cli._watch import watch_files
from orca.statemachine.loading import load

ROWS = "transitions {\n    off + TOGGLE -> on\n    on + TOGGLE -> off\n}\n"
GOOD = f"machine Lamp\n\nstate off [initial]\n\nstate on\n\n{ROWS}"
BAD = GOOD.replace("-> on\n", "-> onn\n")
WARNS = "machine Lamp\nstate on [initial] { timeout: 30 -> on }\n"


def machine(*args: str | Path) -> int:
    return run(app, [str(arg) for arg in args], prog="orca machine")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "good.orca").write_text(GOOD)
    (tmp_path / "bad.orca").write_text(BAD)
    (tmp_path / "notes.md").write_text("# machine NotRead")
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "lamp.orca.md").write_text("# machine Lamp\n\n## state off [initial, final]\n")
    return tmp_path


def stdin(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(text))


def test_check_of_a_folder(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert machine("check", folder) == 1
    out = capsys.readouterr().out
    assert f"{folder / 'bad.orca'}:8:21" in out
    assert "did you mean `on`?   (orca machine check --fix)" in out
    assert "3 files, 1 error, 0 warnings" in out
    assert machine("check", folder / "good.orca") == 0


def test_check_of_standard_input(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    stdin(monkeypatch, BAD)
    assert machine("check") == 1
    assert "<stdin>:8:21" in capsys.readouterr().out
    stdin(monkeypatch, GOOD)
    assert machine("check", "-") == 0


def test_check_fails_on_warnings_when_strict(monkeypatch: pytest.MonkeyPatch) -> None:
    stdin(monkeypatch, WARNS)
    assert machine("check") == 0
    stdin(monkeypatch, WARNS)
    assert machine("check", "--strict") == 1


def test_json_and_sarif_show_what_the_terminal_shows(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = folder / "bad.orca"
    assert machine("check", "--json", path) == 1
    found = json.loads(capsys.readouterr().out)
    expected = load(BAD, str(path)).diagnostics
    assert found == {"files": 1, "diagnostics": [item.to_json() for item in expected]}
    assert found["diagnostics"][0]["edits"] == [{"start": 79, "end": 82, "text": "on"}]
    assert machine("check", "--sarif", path) == 1
    log = json.loads(capsys.readouterr().out)
    (result,) = log["runs"][0]["results"]
    region = result["locations"][0]["physicalLocation"]["region"]
    assert (result["ruleId"], result["level"], region["startLine"], region["startColumn"]) == (
        "UNKNOWN_STATE",
        "error",
        8,
        21,
    )
    change = result["fixes"][0]["artifactChanges"][0]["replacements"][0]
    assert change["deletedRegion"] == {"charOffset": 79, "charLength": 3}
    assert log["runs"][0]["tool"]["driver"]["rules"][0]["id"] == "UNKNOWN_STATE"


def test_sarif_of_related_places(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    stdin(monkeypatch, "machine A\nstate a [initial]\nstate a\n")
    assert machine("check", "--sarif") == 1
    (result,) = json.loads(capsys.readouterr().out)["runs"][0]["results"]
    assert result["relatedLocations"][0]["physicalLocation"]["region"]["startLine"] == 2


def test_fix_mends_the_file(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = folder / "bad.orca"
    assert machine("check", "--fix", path) == 0
    assert path.read_text() == GOOD
    assert machine("check", path) == 0


def test_fix_of_standard_input(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    stdin(monkeypatch, BAD)
    assert machine("check", "--fix", "-") == 0
    assert capsys.readouterr().err == GOOD


def test_fmt(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    path = folder / "good.orca"
    path.write_text(GOOD.replace("\n    off", " off"))
    assert machine("fmt", "--check", path) == 1
    assert "would change" in capsys.readouterr().out
    assert machine("fmt", path) == 0
    assert path.read_text() == GOOD
    assert machine("fmt", path, "--check") == 0
    stdin(monkeypatch, GOOD.replace("    off", "off"))
    capsys.readouterr()
    assert machine("fmt", "-") == 0
    assert capsys.readouterr().out == GOOD


def test_fmt_leaves_a_text_with_errors_alone(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = folder / "bad.orca"
    assert machine("fmt", path) == 1
    assert path.read_text() == BAD
    assert "UNKNOWN_STATE" in capsys.readouterr().out


def test_convert_there_and_back(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert machine("convert", folder / "good.orca", "-o", folder / "good.orca.md") == 0
    assert (folder / "good.orca.md").read_text().startswith("# machine Lamp\n")
    assert machine("convert", folder / "good.orca.md") == 0
    assert capsys.readouterr().out == GOOD
    assert machine("convert", folder / "good.orca", "--to", "brace") == 0
    assert capsys.readouterr().out == GOOD


def test_wrong_usage_ends_with_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert machine("check", tmp_path / "none.orca") == 2
    assert "none.orca" in capsys.readouterr().err
    assert machine("convert", "--to", "xml", tmp_path) == 2
    assert machine("explain", "NONE_SUCH") == 2
    assert machine("nonsense") == 2


def test_a_file_that_is_not_text(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "binary.orca"
    path.write_bytes(b"\xff\xfe\x00")
    assert machine("check", path) == 1
    assert "cannot be read" in capsys.readouterr().err


def test_explain(capsys: pytest.CaptureFixture[str]) -> None:
    assert machine("explain", "unknown_state") == 0
    out = capsys.readouterr().out
    assert out.startswith("UNKNOWN_STATE: a reference names no state\n")
    assert "    off + TOGGLE -> onn" in out
    assert machine("explain", "UNKNOWN_STATE", "--json") == 0
    assert json.loads(capsys.readouterr().out)["code"] == "UNKNOWN_STATE"
    assert machine("explain", "--list") == 0
    assert "BAD_DURATION  " in capsys.readouterr().out
    assert machine("explain", "--list", "--json") == 0
    assert len(json.loads(capsys.readouterr().out)) > 40


def test_stubs(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = folder / "good.orca"
    assert machine("stubs", path) == 0
    out = capsys.readouterr().out
    compile(out, "stubs", "exec")
    assert "def register(machine: OrcaMachine) -> None:" in out
    assert machine("stubs", path, "--schema", "-o", folder / "schema.json") == 0
    assert json.loads((folder / "schema.json").read_text())["title"] == "Lamp"
    assert machine("stubs", path, "--machine", "Other") == 2
    assert "it has Lamp" in capsys.readouterr().err


def test_watch_checks_again_after_a_change(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = folder / "bad.orca"
    waits: list[float] = []

    def wait(delay_s: float) -> None:
        waits.append(delay_s)
        path.write_text(GOOD)

    assert watch_files([path], times=2, sleep=wait) == 0
    assert waits
    out = capsys.readouterr().out
    assert "1 file, 1 error" in out
    assert "1 file, 0 errors" in out
    assert machine("watch", path, "--times", "1") == 0
