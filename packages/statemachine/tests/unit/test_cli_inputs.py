"""Every command takes files, folders and standard input, and ends with 0, 1 or 2."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from orca.common.cli import run
from orca.common.terminal import ask_for_json
from orca.statemachine.cli import app

LAMP = """machine Lamp

state off [initial]

state on

transitions {
    off + TOGGLE -> on
    on + TOGGLE -> off
}
"""
DOOR = LAMP.replace("Lamp", "Door").replace("off", "shut")
FEE = """decision_table Fee

conditions {
    ok: bool
}

outputs {
    fee: int
}

rules {
    "-" -> "1"
}
"""
BROKEN = LAMP.replace("-> on\n", "-> onn\n")
COMMANDS = {
    "check": [],
    "fmt": ["--check"],
    "convert": [],
    "render": ["--to", "mermaid"],
    "stubs": [],
    "simulate": [],
    "watch": ["--times", "1"],
}


def machine(*args: str | Path) -> int:
    return run(app, [str(arg) for arg in args], prog="orca machine")


@pytest.fixture(autouse=True)
def _for_people() -> None:
    """A process asks for JSON once and for good; here many commands run in one."""
    ask_for_json(False)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "machines"
    (place / "deep").mkdir(parents=True)
    (place / "lamp.orca").write_text(LAMP)
    (place / "deep" / "door.orca").write_text(DOOR)
    return place


@pytest.fixture
def out(tmp_path: Path) -> Path:
    place = tmp_path / "out"
    place.mkdir()
    return place


def written(out: Path) -> list[str]:
    return sorted(str(path.relative_to(out)) for path in out.rglob("*") if path.is_file())


@pytest.mark.parametrize("command", COMMANDS)
def test_a_good_file_is_0_a_bad_one_1_and_none_2(command: str, tmp_path: Path, capsys) -> None:
    good, bad = tmp_path / "good.orca", tmp_path / "bad.orca"
    good.write_text(LAMP)
    bad.write_text(BROKEN)
    assert machine(command, good, *COMMANDS[command]) == 0
    assert machine(command, bad, *COMMANDS[command]) == 1
    said = capsys.readouterr()
    assert "`onn`" in said.out + said.err
    assert machine(command, tmp_path / "none.orca", *COMMANDS[command]) == 2
    assert machine(command, good, "--no-such-option") == 2


@pytest.mark.parametrize("command", [name for name in COMMANDS if name != "watch"])
def test_standard_input(command: str, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    for text, code in ((LAMP, 0), (BROKEN, 1)):
        monkeypatch.setattr("sys.stdin", io.StringIO(text))
        assert machine(command, "-", *COMMANDS[command]) == code
    said = capsys.readouterr()
    assert "<stdin>:8:" in said.out + said.err


def test_explain_is_0_or_2(capsys) -> None:
    assert machine("explain", "DEADLOCK") == 0
    assert machine("explain", "--list") == 0
    assert machine("explain", "NOTHING_AT_ALL") == 2


@pytest.mark.parametrize(
    ("command", "names"),
    [
        (["render", "--to", "svg"], ["deep/door.svg", "lamp.svg"]),
        (["render"], ["deep/door.mmd", "lamp.mmd"]),
        (["render", "--to", "xstate-module"], ["deep/door.mjs", "lamp.mjs"]),
        (["convert"], ["deep/door.orca.md", "lamp.orca.md"]),
        (["stubs"], ["deep/door.py", "lamp.py"]),
        (["stubs", "--schema"], ["deep/door.schema.json", "lamp.schema.json"]),
    ],
)
def test_a_folder_goes_into_a_folder(command: list[str], names: list[str], folder: Path, out: Path) -> None:
    assert machine(*command, folder, "-o", out) == 0
    assert written(out) == names
    texts = [(out / name).read_text("utf-8") for name in names]
    assert ["Door" in text or "shut" in text for text in texts] == [True, False]


@pytest.mark.parametrize("command", ["render", "convert", "stubs"])
def test_several_files_need_a_folder(command: str, folder: Path, tmp_path: Path, capsys) -> None:
    assert machine(command, folder) == 2
    assert machine(command, folder, "-o", tmp_path / "file.orca") == 2
    assert "2 files need a folder to go to" in capsys.readouterr().err
    (tmp_path / "empty").mkdir()
    assert machine(command, tmp_path / "empty") == 2
    assert "there is no .orca" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["render", "convert", "stubs"])
def test_one_bad_file_does_not_keep_the_others_away(command: str, folder: Path, out: Path, capsys) -> None:
    (folder / "bad.orca").write_text(BROKEN)
    assert machine(command, folder, "-o", out) == 1
    assert len(written(out)) == 2
    assert "UNKNOWN_STATE" in capsys.readouterr().out


def test_tables_and_machines_of_a_folder_go_their_own_ways(folder: Path, out: Path, capsys) -> None:
    (folder / "fee.orca").write_text(FEE)
    assert machine("render", folder, "--to", "python", "-o", out) == 0
    assert written(out) == ["fee.py"]
    assert machine("render", folder, "--to", "svg", "-o", out) == 0
    assert machine("stubs", folder, "-o", out) == 0
    assert written(out) == ["deep/door.py", "deep/door.svg", "fee.py", "lamp.py", "lamp.svg"]
    assert "fee.orca has nothing of the kind" in capsys.readouterr().err


def test_a_conversion_comes_back(folder: Path, out: Path, tmp_path: Path) -> None:
    back = tmp_path / "back"
    back.mkdir()
    assert machine("convert", folder, "-o", out) == 0
    assert machine("convert", out, "-o", back) == 0
    assert (back / "lamp.orca").read_text() == LAMP
    assert (back / "deep" / "door.orca").read_text() == DOOR


def test_one_file_goes_into_a_folder_too(folder: Path, out: Path) -> None:
    assert machine("render", folder / "lamp.orca", "-o", out) == 0
    assert written(out) == ["lamp.mmd"]


@pytest.mark.parametrize(
    ("command", "ending"),
    [
        (["render", "--to", "svg"], ".svg"),
        (["render", "--to", "xstate"], ".json"),
        (["stubs"], ".py"),
        (["stubs", "--schema"], ".schema.json"),
    ],
)
def test_every_machine_of_a_file_is_written(
    command: list[str], ending: str, out: Path, tmp_path: Path, capsys
) -> None:
    """None is left out: without a folder the command says so."""
    path = tmp_path / "both.orca"
    path.write_text(LAMP + DOOR)
    assert machine(*command, path) == 2
    told = capsys.readouterr().err
    assert "has 2 machines: Lamp, Door" in told
    assert "-m Lamp" in told
    assert machine(*command, path, "-o", out) == 0
    assert written(out) == [f"both.Door{ending}", f"both.Lamp{ending}"]
    assert "Door" in (out / f"both.Door{ending}").read_text()
    assert machine(*command, path, "-m", "Door", "-o", out) == 0
    assert written(out) == [f"both.Door{ending}", f"both.Lamp{ending}", f"both{ending}"]
    assert machine(*command, path, "-m", "Door") == 0
    assert "Lamp" not in capsys.readouterr().out


def test_simulate_finds_the_machine_in_a_folder(folder: Path, capsys) -> None:
    assert machine("simulate", folder, "TOGGLE") == 2
    assert "-m Door | Lamp" in capsys.readouterr().err
    assert machine("simulate", folder, "TOGGLE", "-m", "Lamp") == 0
    assert capsys.readouterr().out.splitlines()[-1].split() == ["TOGGLE", "taken", "on"]
    assert machine("simulate", folder, "TOGGLE", "-m", "Window") == 2
    (folder / "lamp.orca").unlink()
    assert machine("simulate", folder, "TOGGLE") == 0


@pytest.mark.parametrize(
    "options",
    [["-o", "x.bmp"], ["--to", "bmp"], ["--direction", "up"], ["--active", "nowhere"], ["-m", "Nothing"]],
)
def test_wrong_usage_of_render(options: list[str], tmp_path: Path, capsys) -> None:
    path = tmp_path / "lamp.orca"
    path.write_text(LAMP)
    assert machine("render", path, *options) == 2
    assert capsys.readouterr().err.startswith("error:")


@pytest.mark.parametrize("options", [["--to", "prose"], ["--to"]])
def test_wrong_usage_of_convert(options: list[str], tmp_path: Path) -> None:
    path = tmp_path / "lamp.orca"
    path.write_text(LAMP)
    assert machine("convert", path, *options) == 2


def test_a_file_that_cannot_be_read_is_1(tmp_path: Path, capsys) -> None:
    path = tmp_path / "lamp.orca"
    path.write_bytes(b"machine \xff\xfe")
    assert machine("check", path) == 1
    assert "cannot be read" in capsys.readouterr().err


def test_a_machine_of_a_table_is_2(tmp_path: Path, capsys) -> None:
    path = tmp_path / "fee.orca"
    path.write_text(FEE)
    assert machine("simulate", path, "X") == 2
    assert machine("stubs", path) == 2
    assert machine("render", path, "--to", "svg") == 2
    said = capsys.readouterr().err
    assert said.count("there is no machine") == 3


def test_standard_input_goes_into_a_folder(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(LAMP))
    assert machine("convert", "-", "-o", out) == 0
    assert written(out) == ["stdin.orca.md"]


def test_a_folder_without_machines(tmp_path: Path, capsys) -> None:
    assert machine("simulate", tmp_path, "X") == 2
    assert "there is no .orca or .orca.md file" in capsys.readouterr().err
    assert machine("check", tmp_path) == 0
    assert "0 files" in capsys.readouterr().out


def test_a_file_that_nobody_wrote_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    path = tmp_path / "lamp.orca"
    path.write_text(LAMP)
    monkeypatch.setattr("orca.statemachine.cli._inputs.MAX_FILE_SIZE", 10)
    assert machine("check", path) == 1
    assert "larger than 10 bytes" in capsys.readouterr().err


def test_traces_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    path, trace = tmp_path / "lamp.orca", tmp_path / "trace.json"
    path.write_text(LAMP)
    assert machine("simulate", path, "--trace", trace) == 2
    trace.write_text("[" * 100_000)
    assert machine("simulate", path, "--trace", trace) == 2
    assert capsys.readouterr().err.count("is not a trace") == 2
    monkeypatch.setattr("orca.statemachine.cli._simulate.TRACE_SIZE_MAX", 10)
    assert machine("simulate", path, "--trace", trace) == 2
    assert "larger than 10 bytes" in capsys.readouterr().err
    assert machine("simulate", path, "TOGGLE", "--trace", trace) == 2


def test_watch_sees_a_change_and_a_file_that_goes_away(tmp_path: Path, capsys) -> None:
    from orca.statemachine.cli._watch import watch_files

    path = tmp_path / "lamp.orca"
    path.write_text(LAMP)

    def wait(seconds: float) -> None:
        path.write_text(BROKEN)

    assert watch_files([path], times=2, sleep=wait) == 1
    out = capsys.readouterr().out
    assert "1 file, 0 errors" in out
    assert "1 file, 1 error" in out
