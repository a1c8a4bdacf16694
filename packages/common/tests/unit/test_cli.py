from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from orca.common import __version__, cli, terminal
from orca.common.errors import OrcaError

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Install

DEMO = """
import sys
import typer

from orca.common.errors import OrcaError, UnreachableError, UsageError
from orca.common.terminal import print_json, wants_json

app = typer.Typer(help="Show what a command can do.")


@app.command()
def say(word: str, json: bool = False, times: int = 1) -> None:
    "Say a word."
    print_json({"word": word}) if wants_json() else print(word * times)


@app.command()
def fail(kind: str) -> int:
    if kind == "code":
        return 7
    if kind == "exit":
        raise typer.Exit(5)
    if kind == "abort":
        raise typer.Abort
    if kind == "interrupt":
        raise KeyboardInterrupt
    if kind == "pipe":
        raise BrokenPipeError
    if kind == "unreachable":
        raise UnreachableError("core not reachable at grpc://127.0.0.1:1", hint="orca start")
    if kind == "usage":
        raise UsageError("wrong")
    if kind == "defect":
        raise KeyError("threshold")
    group = OrcaError("several")
    inner = OrcaError("inner")
    inner.exceptions = [] if kind == "empty" else [UsageError("a")]
    error = RuntimeError("group")
    error.exceptions = [UsageError("one"), OrcaError("two")]
    if kind == "mixed":
        error.exceptions = [UsageError("one"), ValueError("two")]
    raise error
"""


@pytest.fixture
def demo(install: Install) -> None:
    install("orca-demo", {"orca_demo_cli": DEMO}, {"demo": "orca_demo_cli:app"})


@pytest.fixture(autouse=True)
def _no_json_left_over() -> None:
    terminal.ask_for_json(False)


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"orca {__version__}\n"
    assert cli.main(["-V"]) == 0
    capsys.readouterr()
    assert cli.main(["--json", "--version"]) == 0
    assert json.loads(capsys.readouterr().out) == {"version": __version__}
    assert cli.main(["--version", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"version": __version__}


def test_the_installed_script_answers_without_the_heavy_imports() -> None:
    code = "import sys; from orca.common.cli import main; main(['--version']); print(sorted(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    for heavy in (
        "typer",
        "click",
        "rich",
        "pydantic",
        "structlog",
        "tenacity",
        "asyncio",
        "importlib.metadata",
    ):
        assert f"'{heavy}'" not in done.stdout


@pytest.mark.usefixtures("demo")
def test_help_lists_the_commands_with_their_summaries(capsys: pytest.CaptureFixture[str]) -> None:
    for args in ([], ["--help"], ["-h"]):
        assert cli.main(args) == 0
        out = capsys.readouterr().out
        assert "Show what a command can do." in out
        assert "exit codes: 0 ok, 1 failed, 2 wrong usage, 3 core not reachable" in out


@pytest.mark.usefixtures("demo")
def test_help_as_json_imports_no_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--json"]) == 0
    commands = json.loads(capsys.readouterr().out)["commands"]
    assert {"name": "demo", "package": "orca-demo"} in commands
    assert "orca_demo_cli" not in sys.modules


def test_a_broken_command_does_not_hide_the_others(
    install: Install, capsys: pytest.CaptureFixture[str]
) -> None:
    install("orca-demo", {"orca_demo_cli": DEMO}, {"demo": "orca_demo_cli:app"})
    install("orca-bad", {"orca_bad_cli": "import nothing_of_that_name"}, {"bad": "orca_bad_cli:app"})
    assert cli.main(["--help"]) == 0
    out = capsys.readouterr().out
    assert "Show what a command can do." in out
    assert "command `bad` of orca-bad cannot be loaded: ModuleNotFoundError" in out
    assert cli.main(["bad"]) == 1
    assert capsys.readouterr().err.endswith("  hint: orca doctor\n")


def test_an_error_of_ours_at_import_is_shown_as_it_is(
    install: Install, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (
        "from orca.common.errors import UsageError\nraise UsageError('needs lark', hint='pip install lark')"
    )
    install("orca-lark", {"orca_lark_cli": text}, {"larky": "orca_lark_cli:app"})
    assert cli.main(["larky"]) == 2
    assert capsys.readouterr().err == "error: needs lark\n  hint: pip install lark\n"


def test_without_any_command_the_help_says_so(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cli, "GROUP", "orca.commands.of.nobody")
    assert cli.main([]) == 0
    assert "no commands are installed" in capsys.readouterr().out


def test_two_packages_with_one_command_are_both_named(
    install: Install, capsys: pytest.CaptureFixture[str]
) -> None:
    install("orca-demo", {"orca_demo_cli": DEMO}, {"demo": "orca_demo_cli:app"})
    install("orca-other", {}, {"demo": "somewhere:else"})
    assert cli.main(["demo"]) == 1
    err = capsys.readouterr().err
    assert "orca-demo (orca_demo_cli:app)" in err
    assert "orca-other (somewhere:else)" in err
    assert "pip uninstall orca-other" in err


@pytest.mark.usefixtures("demo")
def test_an_unknown_command_gets_a_suggestion(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["dmeo"]) == 2
    assert capsys.readouterr().err == "error: unknown command `dmeo`\n  hint: did you mean `orca demo`?\n"
    assert cli.main(["zzzzzz"]) == 2
    assert capsys.readouterr().err == "error: unknown command `zzzzzz`\n  hint: orca --help\n"
    assert "orca_demo_cli" not in sys.modules


def test_a_command_of_a_package_that_is_not_installed_names_that_package(
    install: Install, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cli, "GROUP", "orca.commands.of.nobody")
    assert cli.main(["machine", "check"]) == 2
    assert (
        capsys.readouterr().err == "error: unknown command `machine`\n  hint: pip install orca-statemachine\n"
    )
    install("orca-statemachine", {}, {"other": "x:app"}, group="orca.commands.of.nobody")
    assert cli.main(["machine"]) == 2
    assert capsys.readouterr().err == "error: unknown command `machine`\n  hint: orca --help\n"


def test_an_unknown_option_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--verison"]) == 2
    assert capsys.readouterr().err == "error: unknown option `--verison`\n  hint: orca --help\n"


@pytest.mark.usefixtures("demo")
def test_a_command_runs(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["orca", "demo", "say", "ho", "--times", "2"])
    assert cli.main() == 0
    assert capsys.readouterr().out == "hoho\n"


@pytest.mark.usefixtures("demo")
@pytest.mark.parametrize(
    ("args", "as_json"),
    [
        (["--json", "demo", "say", "ho"], True),
        (["demo", "say", "ho", "--json"], True),
        (["demo", "say", "--", "--json"], False),
        (["demo", "say", "ho"], False),
    ],
)
def test_json_may_be_asked_for_before_and_after_the_command(
    args: list[str], as_json: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(args) == 0
    assert capsys.readouterr().out == ('{"word": "ho"}\n' if as_json else args[-1] + "\n")


@pytest.mark.usefixtures("demo")
def test_what_one_command_was_asked_for_is_not_asked_of_the_next(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["demo", "say", "--json"]) == 2
    assert json.loads(capsys.readouterr().err)["error"]["code"] == "USAGE"
    app = cli.load_command(cli.find_commands()["demo"])
    for args in (["say", "ho", "--json"], ["say", "--json"]):
        cli.run(app, args, prog="demo")
        assert not terminal.wants_json()
    capsys.readouterr()
    assert cli.run(app, ["say"], prog="demo") == 2
    assert capsys.readouterr().err.startswith("error: ")


@pytest.mark.usefixtures("demo")
@pytest.mark.parametrize(
    ("kind", "code", "err"),
    [
        ("code", 7, ""),
        ("exit", 5, ""),
        ("abort", 130, ""),
        ("interrupt", 130, ""),
        ("unreachable", 3, "error: core not reachable at grpc://127.0.0.1:1\n  hint: orca start\n"),
        ("usage", 2, "error: wrong\n"),
        ("group", 2, "error: one\nerror: two\n"),
    ],
)
def test_exit_codes(kind: str, code: int, err: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["demo", "fail", kind]) == code
    assert capsys.readouterr().err == err


@pytest.mark.usefixtures("demo")
@pytest.mark.parametrize(("kind", "error"), [("defect", KeyError), ("mixed", RuntimeError)])
def test_a_defect_is_not_dressed_up(kind: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        cli.main(["demo", "fail", kind])


@pytest.mark.usefixtures("demo")
def test_wrong_arguments_name_the_help_of_that_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["demo", "say", "ho", "--tmies", "2"]) == 2
    err = capsys.readouterr().err
    assert err.startswith("error: No such option: --tmies")
    assert err.endswith("  hint: orca demo say --help\n")


@pytest.mark.usefixtures("demo")
def test_errors_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--json", "demo", "fail", "unreachable"]) == 3
    assert json.loads(capsys.readouterr().err) == {
        "error": {
            "code": "UNREACHABLE",
            "message": "core not reachable at grpc://127.0.0.1:1",
            "hint": "orca start",
            "retryable": True,
        }
    }


@pytest.mark.usefixtures("demo")
def test_debug_adds_the_traceback(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORCA_DEBUG", "1")
    assert cli.main(["demo", "fail", "usage"]) == 2
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.usefixtures("demo")
def test_help_in_a_pipe_is_plain(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["demo", "--help"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("Usage: orca demo [OPTIONS] COMMAND [ARGS]...")
    assert out.isascii()


def run_script(text: str, *args: str, env: dict[str, str] | None = None) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", text, *args],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **(env or {})},
    )


def test_ctrl_c_ends_a_command_without_a_traceback() -> None:
    text = (
        "import sys, signal, typer\nfrom orca.common.cli import run\napp = typer.Typer()\n"
        "@app.command()\ndef wait() -> None:\n    print('ready', flush=True)\n    signal.pause()\n"
        "sys.exit(run(app, [], prog='wait'))"
    )
    process = run_script(text)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (130, "", "")


def test_a_reader_that_goes_away_is_no_error() -> None:
    text = (
        "import sys, typer\nfrom orca.common.cli import run\napp = typer.Typer()\n"
        "@app.command()\ndef flood() -> None:\n    for _ in range(100_000): print('x' * 100)\n"
        "sys.exit(run(app, [], prog='flood'))"
    )
    process = run_script(text)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.readline()
    process.stdout.close()
    err = process.stderr.read()
    process.stderr.close()
    assert process.wait(60) == 1
    assert err == ""


def test_a_reader_that_is_gone_before_the_flush_is_no_error() -> None:
    text = (
        "import sys, click\nfrom orca.common.cli import run\n"
        "class Short:\n    def main(self, **_):\n        sys.stdin.readline()\n        print('x')\n"
        "sys.exit(run(Short(), [], prog='short'))"
    )
    text = text.replace(", click", "")
    process = subprocess.Popen(
        [sys.executable, "-c", text],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdout.close()
    process.stdin.write("go\n")
    process.stdin.close()
    assert process.wait(60) == 1
    assert process.stderr is not None
    assert process.stderr.read() == ""
    process.stderr.close()


def test_a_plain_click_command_will_do(capsys: pytest.CaptureFixture[str]) -> None:
    import click

    @click.command()
    @click.argument("word")
    def say(word: str) -> None:
        if word == "bad":
            raise click.ClickException("no such word")
        click.echo(word)

    assert cli.run(say, ["ho"], prog="say") == 0
    assert capsys.readouterr().out == "ho\n"
    assert cli.run(say, ["bad"], prog="say") == 1
    assert capsys.readouterr().err == "error: no such word\n  hint: say --help\n"


def test_a_group_without_leaves_is_a_defect() -> None:
    class EmptyError(Exception):
        exceptions = ()

    class Fails:
        def main(self, **_: object) -> None:
            raise EmptyError

    with pytest.raises(EmptyError):
        cli.run(Fails(), [], prog="fails")


def test_a_nested_group_is_unpacked(capsys: pytest.CaptureFixture[str]) -> None:
    class GroupError(Exception):
        def __init__(self, *exceptions: Exception) -> None:
            self.exceptions = exceptions

    class Fails:
        def main(self, **_: object) -> None:
            raise GroupError(GroupError(OrcaError("deep")))

    assert cli.run(Fails(), [], prog="fails") == 1
    assert capsys.readouterr().err == "error: deep\n"


class Raises:
    def __init__(self, error: BaseException) -> None:
        self.error = error

    def main(self, **_: object) -> None:
        raise self.error


def test_an_interrupt_outside_the_command_is_one_too() -> None:
    assert cli.run(Raises(KeyboardInterrupt()), [], prog="x") == 130


def test_after_a_broken_pipe_the_output_goes_nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "out"
    with path.open("w") as out:
        monkeypatch.setattr(sys, "stdout", out)
        assert cli.run(Raises(BrokenPipeError()), [], prog="x") == 1
        out.write("more")
        out.flush()
        monkeypatch.undo()
    assert path.read_text() == ""


@pytest.mark.usefixtures("demo")
def test_help_on_a_terminal_may_be_pretty(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    out = Terminal()
    monkeypatch.setattr(sys, "stdout", out)
    assert cli.main(["demo", "--help"]) == 0
    assert not out.getvalue().isascii()
