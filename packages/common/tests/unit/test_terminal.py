from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest

from orca.common import terminal
from orca.common.errors import OrcaError


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_COLOR", "TERM", "FORCE_COLOR", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    terminal.ask_for_json(False)


def test_colour_is_for_terminals_that_want_it(monkeypatch: pytest.MonkeyPatch) -> None:
    assert terminal.use_color(Terminal())
    assert not terminal.use_color(io.StringIO())
    monkeypatch.setenv("NO_COLOR", "1")
    assert not terminal.use_color(Terminal())
    monkeypatch.setenv("NO_COLOR", "")
    assert terminal.use_color(Terminal())
    monkeypatch.setenv("TERM", "dumb")
    assert not terminal.use_color(Terminal())


def test_errors_are_coloured_on_a_terminal_only() -> None:
    error = OrcaError("it broke", hint="orca doctor")
    out = Terminal()
    terminal.print_error(error, file=out)
    assert out.getvalue() == "\x1b[1;31merror:\x1b[0m it broke\n  \x1b[36mhint:\x1b[0m orca doctor\n"
    plain = io.StringIO()
    terminal.print_error(error, file=plain)
    assert plain.getvalue() == "error: it broke\n  hint: orca doctor\n"


def test_an_error_as_json_is_one_line() -> None:
    terminal.ask_for_json(True)
    assert terminal.wants_json()
    out = io.StringIO()
    terminal.print_error(OrcaError("it\nbroke"), file=out)
    assert out.getvalue().count("\n") == 1
    assert json.loads(out.getvalue())["error"]["message"] == "it\nbroke"


def test_an_error_does_not_repeat_a_password_in_an_address() -> None:
    error = OrcaError("no answer from grpc://me:pw@core:1; is ORCA_TOKEN set?", hint="ping http://me:pw@core")
    for as_json in (False, True):
        terminal.ask_for_json(as_json)
        out = io.StringIO()
        terminal.print_error(error, file=out)
        assert "pw" not in out.getvalue()
        assert "grpc://***@core:1; is ORCA_TOKEN set?" in out.getvalue()
        assert "http://***@core" in out.getvalue()


def test_json_is_indented_for_people_only() -> None:
    value = {"path": Path("a"), "name": "\u00e4"}
    out = Terminal()
    terminal.print_json(value, file=out)
    assert out.getvalue() == '{\n  "path": "a",\n  "name": "\u00e4"\n}\n'
    out = io.StringIO()
    terminal.print_json(value, file=out)
    assert out.getvalue() == '{"path": "a", "name": "\u00e4"}\n'


def test_a_console_in_a_pipe_cuts_and_colours_nothing(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    terminal.console().print("x" * 500, "[red]word[/red]", 42)
    assert capsys.readouterr().out == "x" * 500 + " word 42\n"
    terminal.console(stderr=True).print("to the other one")
    assert capsys.readouterr().err == "to the other one\n"


def test_a_console_on_a_terminal_obeys_no_color(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    for no_color, styled in (("", True), ("1", False)):
        out = Terminal()
        monkeypatch.setattr(sys, "stdout", out)
        monkeypatch.setenv("NO_COLOR", no_color)
        terminal.console().print("[red]word[/red]")
        assert ("\x1b[31m" in out.getvalue()) is styled
