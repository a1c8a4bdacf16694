from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from orca.common import cli, doctor, terminal
from orca.common.doctor import Finding
from orca.common.errors import UsageError

if TYPE_CHECKING:
    from conftest import Install

SRC = Path(doctor.__file__).parents[2]
SCRIPT = SRC.parent / "scripts" / "orca-doctor"


@pytest.fixture(autouse=True)
def _no_json_left_over() -> None:
    terminal.ask_for_json(False)


@pytest.mark.parametrize(
    ("level", "fix"), [("error", ""), ("warning", ""), ("ok", "do something"), ("error", "two\nlines")]
)
def test_what_is_wrong_has_one_line_that_fixes_it(level: str, fix: str) -> None:
    with pytest.raises(UsageError, match="give one line that fixes it"):
        Finding(level, "check", "message", fix)  # type: ignore[arg-type]


# --- namespaces ----------------------------------------------------------------------------------------------


def test_folders_without_init_are_no_intruders(tmp_path: Path) -> None:
    (tmp_path / "orca" / "processor").mkdir(parents=True)
    (tmp_path / "orca" / "processor" / "__init__.py").touch()
    findings = list(doctor.check_namespaces([str(tmp_path), str(tmp_path / "absent")]))
    assert [(finding.level, finding.message) for finding in findings] == [
        ("ok", "nobody else is called orca"),
        ("ok", "nobody else is called orchestra"),
    ]


@pytest.mark.parametrize("form", ["orca/__init__.py", "orca.py"])
def test_an_intruder_is_named_with_its_path_and_fix(form: str, tmp_path: Path) -> None:
    path = tmp_path / form
    path.parent.mkdir(exist_ok=True)
    path.touch()
    first, second = doctor.check_namespaces([str(tmp_path)])
    assert first.level == "error"
    assert first.message == f"{path} of no distribution takes the name orca from us"
    assert first.fix == f"rename or remove {path}"
    assert second.level == "ok"


def test_an_intruder_of_a_distribution_is_uninstalled(install: Install) -> None:
    site = install("orchestra-music", {}, {})
    (site / "orchestra").mkdir()
    (site / "orchestra" / "__init__.py").touch()
    (site / "orchestra_music-1.0.dist-info" / "RECORD").write_text(
        "orchestra_music-1.0.dist-info/METADATA,,\norchestra/other.py,,\norchestra/__init__.py,,\n"
    )
    _, finding = doctor.check_namespaces([str(site)])
    assert "of the distribution orchestra-music takes the name orchestra" in finding.message
    assert finding.fix == "pip uninstall orchestra-music"


def test_an_intruder_of_the_system_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "dist-packages" / "orca" / "__init__.py"
    path.parent.mkdir(parents=True)
    path.touch()
    finding, _ = doctor.check_namespaces([str(path.parents[1])])
    assert "of the operating system" in finding.message
    assert finding.fix.endswith("python3 -m venv .venv")


def test_the_working_directory_counts_where_the_path_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "orca.py").touch()
    monkeypatch.chdir(tmp_path)
    assert [finding.level for finding in doctor.check_namespaces(["", str(tmp_path)])] == ["error", "ok"]


def test_the_path_of_this_process_is_the_default() -> None:
    assert {finding.level for finding in doctor.check_namespaces()} == {"ok"}


def test_where_an_intruder_hides_us_the_script_still_names_it(tmp_path: Path) -> None:
    intruder = tmp_path / "orca" / "__init__.py"
    intruder.parent.mkdir()
    intruder.write_text("raise SystemExit('the intruder ran')")
    script = tmp_path / "bin" / "orca-doctor"
    script.parent.mkdir()
    shutil.copy(SCRIPT, script)
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(SRC)])}

    hidden = subprocess.run(
        [sys.executable, "-c", "import orca.common"],
        env=env,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "the intruder ran" in hidden.stderr

    done = subprocess.run(
        [sys.executable, str(script), "--json"],
        env=env,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=tmp_path,
    )
    assert done.returncode == 1, done.stderr
    findings = json.loads(done.stdout)["findings"]
    assert {
        "level": "error",
        "check": "namespace",
        "message": f"{intruder} of no distribution takes the name orca from us",
        "fix": f"rename or remove {intruder}",
    } in findings


# --- versions ------------------------------------------------------------------------------------------------


def test_equal_versions_are_well() -> None:
    (finding,) = doctor.check_versions({"orca-common": "1.0", "orca-processor": "1.0", "other": "2"})
    assert finding == Finding("ok", "versions", "orca-common 1.0, orca-processor 1.0")


@pytest.mark.parametrize(
    ("versions", "newest"),
    [(("0.9.0", "0.10.0"), "0.10.0"), (("1.0.0rc1", "1.0.0"), "1.0.0"), (("1.0.0", "0.9.9"), "1.0.0")],
)
def test_unequal_versions_name_all_and_the_newest(versions: tuple[str, str], newest: str) -> None:
    (finding,) = doctor.check_versions({"orca-common": versions[0], "orca-processor": versions[1]})
    assert finding.level == "error"
    assert f"orca-common {versions[0]}, orca-processor {versions[1]}" in finding.message
    assert finding.fix == f"pip install orca-common=={newest} orca-processor=={newest}"


def test_the_installed_versions_are_the_default(install: Install) -> None:
    install("orca-statemachine", {}, {}, version="99.0")
    (finding,) = doctor.check_versions()
    assert finding.level == "error"
    assert "orca-statemachine 99.0" in finding.message


# --- commands, files -----------------------------------------------------------------------------------------


def test_a_command_that_cannot_be_imported_is_found(install: Install) -> None:
    install("orca-bad", {"orca_bad_doctor": "import nothing_of_that_name"}, {"bad": "orca_bad_doctor:app"})
    text = (
        "from orca.common.errors import UsageError\nraise UsageError('needs lark', hint='pip install lark')"
    )
    install("orca-lark", {"orca_lark_doctor": text}, {"larky": "orca_lark_doctor:app"})
    first, second = doctor.check_commands()
    assert "command `bad` of orca-bad cannot be loaded: ModuleNotFoundError" in first.message
    assert first.fix == "pip install --force-reinstall orca-bad"
    assert (second.message, second.fix) == ("needs lark", "pip install lark")


def test_two_commands_of_one_name_are_found(install: Install) -> None:
    install("orca-one", {}, {"same": "one:app"})
    install("orca-two", {}, {"same": "two:app"})
    (finding,) = doctor.check_commands()
    assert "two packages bring a command `same`" in finding.message
    assert finding.fix.endswith("pip uninstall orca-two")


def test_commands_that_load_are_listed() -> None:
    (finding,) = doctor.check_commands()
    assert finding.level == "ok"
    assert "doctor" in finding.message


def test_settings_files_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "orca.json").write_text("{\n  oops")
    (tmp_path / "pyproject.toml").write_text("[tool.orca]\nport = 1\n")
    first, second = doctor.check_files()
    assert first.message.startswith(f"{tmp_path}/orca.json:2: not JSON")
    assert first.fix == f"correct {tmp_path}/orca.json"
    assert second.message == f"{tmp_path}/pyproject.toml can be read"


def test_without_any_file_all_is_well(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "find_upwards", lambda *_: iter(()))
    (finding,) = doctor.check_files(Path("/"))
    assert finding.message == "no orca.json or pyproject.toml from / upwards"


# --- all of it -----------------------------------------------------------------------------------------------

OTHERS = """
from orca.common.doctor import Finding

def port():
    yield Finding("warning", "port", "33670 is held by pid 1", "kill 1")

def broken():
    raise RuntimeError("no")
"""


def test_packages_add_checks_of_their_own(install: Install, capsys: pytest.CaptureFixture[str]) -> None:
    install(
        "orca-others",
        {"orca_others_doctor": OTHERS},
        {"port": "orca_others_doctor:port", "broken": "orca_others_doctor:broken", "gone": "nowhere:x"},
        group="orca.doctor",
    )
    findings = {finding.check: finding for finding in doctor.run_checks()}
    assert findings["port"] == Finding("warning", "port", "33670 is held by pid 1", "kill 1")
    assert findings["broken"].message == "the check broken of orca-others failed: RuntimeError: no"
    assert findings["gone"].fix == "pip install --force-reinstall orca-others"
    assert {"namespace", "versions", "commands", "files"} < set(findings)

    assert cli.main(["doctor"]) == 1
    out = capsys.readouterr().out
    assert "warning port: 33670 is held by pid 1\n        fix: kill 1\n" in out
    assert out.isascii()


def test_the_command_prints_json_and_colour(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for args in (["doctor", "--json"], ["--json", "doctor"]):
        assert cli.main(args) == 0
        assert json.loads(capsys.readouterr().out)["ok"] is True
    terminal.ask_for_json(False)

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    out = Terminal()
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert cli.main(["doctor"]) == 0
    assert "\x1b[32mok     \x1b[0m namespace: nobody else is called orca\n" in out.getvalue()
