from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from orca.common import cli, completion

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Install

DEMO = """
import typer
app = typer.Typer()

@app.command()
def alpha() -> None: ...

@app.command()
def beta() -> None: ...
"""


def complete(words: str, index: int, site: Path) -> str:
    """Ask as bash does and return what it would offer."""
    text = (
        "import sys\nfrom orca.common.cli import main\n"
        "try:\n    main([])\nfinally:\n    print(sorted(sys.modules), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", text],
        env={
            **os.environ,
            "PYTHONPATH": str(site),
            "_ORCA_COMPLETE": "complete_bash",
            "COMP_WORDS": words,
            "COMP_CWORD": str(index),
        },
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert ("demo_completion" in done.stderr) is (index > 1), (
        "a command is imported only to complete inside it"
    )
    return done.stdout


def test_names_are_completed_without_importing_commands(install: Install) -> None:
    site = install("orca-demo", {"demo_completion": DEMO}, {"demo": "demo_completion:app"})
    assert complete("orca dem", 1, site) == "demo\n"
    assert complete("orca demo ", 2, site) == "alpha\nbeta\n"
    assert complete("orca demo b", 2, site) == "beta\n"
    assert complete("orca zzz", 1, site) == "\n"


def test_inside_an_unknown_command_nothing_is_offered(
    install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    install("orca-demo", {"demo_completion": DEMO}, {"demo": "demo_completion:app"})
    monkeypatch.setenv("_ORCA_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", "orca nothing ")
    monkeypatch.setenv("COMP_CWORD", "2")
    with pytest.raises(SystemExit) as end:
        cli.main([])
    assert not end.value.code


@pytest.mark.parametrize("shell", sorted(completion.SHELLS))
def test_each_shell_has_a_script(
    shell: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cli.main(["--show-completion", shell]) == 0
    text = capsys.readouterr().out
    assert f"_ORCA_COMPLETE=complete_{shell}" in text
    assert cli.main(["--install-completion", shell]) == 0
    path = tmp_path / completion.SHELLS[shell]
    assert path.read_text() == text
    out = capsys.readouterr().out
    assert f"wrote {path}" in out
    assert ("compinit" in out) is (shell == "zsh")
    assert "_ORCA_COMPLETE" not in os.environ


def test_the_script_of_bash_is_bash(tmp_path: Path) -> None:
    script = tmp_path / "orca"
    script.write_text(completion.script("bash")[1])
    subprocess.run(["bash", "-n", str(script)], check=True, timeout=60)


def test_the_shell_of_the_user_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHELL", "/usr/bin/fish")
    assert completion.script()[0] == "fish"


def test_an_unknown_shell_is_wrong_usage(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHELL", "/bin/tcsh")
    assert cli.main(["--show-completion"]) == 2
    assert "'tcsh': it is there for bash, fish, zsh" in capsys.readouterr().err
