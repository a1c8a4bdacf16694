"""The page of commands: what Typer and argparse know of each, with arguments, options and defaults."""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Iterator
from pathlib import Path, PurePath
from typing import Any

from orca.common.cli import to_click
from reference_text import code, first_line, table
from workspace_checks import MODULES, toml

__all__ = ["page"]

HEAD = """\
# Commands

Each package brings its commands; `orca` lists those that are installed, and every command has `--help`. Commands that
read have `--json`. Exit codes: 0 it worked, 1 it failed, 2 it was asked for in a wrong way, 3 the core was not
reachable.

```console
$ orca --help
usage: orca ...
...
  machine ...
...
  start ...
...
$ orca machine --help
...
$ orchestra --help
usage: orchestra ...
```
"""
HIDDEN = {"--help", "--install-completion", "--show-completion"}


def page(root: Path) -> str:
    """The whole page."""
    commands = sorted(_commands(root), key=lambda one: one[0])
    overview = [
        (f"[`{path}`](#{path.replace(' ', '-')})", package, line) for path, package, line, _ in commands
    ]
    lines = [HEAD, *table(("command", "from", "what it does"), overview), ""]
    for path, _, line, parameters in commands:
        lines += [f"## {path}\n", f"{line}\n", *table(("argument or option", "default", ""), parameters)]
        lines += [""] if parameters else []
    return "\n".join(lines).rstrip() + "\n"


def _commands(root: Path) -> Iterator[tuple[str, str, str, list[tuple[str, str, str]]]]:
    """Path, distribution, first line and parameters of every command."""
    for package in MODULES:
        table_ = toml(root / "packages" / package / "pyproject.toml")["project"]
        for name, place in table_.get("entry-points", {}).get("orca.commands", {}).items():
            module, _, attribute = place.partition(":")
            command = to_click(getattr(importlib.import_module(module), attribute))
            yield from _click(f"orca {name}", f"orca-{package}", command)
    from orchestra.sdk import cli

    yield from _argparse("orchestra", "orca-orchestra", cli._parser())


def _click(
    path: str, package: str, command: Any
) -> Iterator[tuple[str, str, str, list[tuple[str, str, str]]]]:
    shown = [
        one for one in command.params if not getattr(one, "hidden", False) and not HIDDEN & set(one.opts)
    ]
    yield path, package, first_line(command.help), [_click_row(one) for one in shown]
    for name, inner in sorted(getattr(command, "commands", {}).items()):
        if not inner.hidden:
            yield from _click(f"{path} {name}", package, inner)


def _click_row(one: Any) -> tuple[str, str, str]:
    help_ = first_line(getattr(one, "help", "") or "")
    said = getattr(one, "show_default", None)
    default = said if isinstance(said, str) else _default(one.default)
    if not one.opts[0].startswith("-"):
        name = (one.name or "").upper() + ("..." if one.nargs == -1 else "")
        return code(name if one.required else f"[{name}]"), default, help_
    flag = bool(getattr(one, "is_flag", False))
    written = ", ".join([*one.opts, *one.secondary_opts])
    value = "" if flag else f" {(one.name or '').upper()}"
    if flag:
        default = one.opts[0] if one.default and one.secondary_opts else ""
        default = code(default) if default else ""
    return code(written + value), "required" if one.required else default, help_


def _default(value: Any) -> str:
    if value is None or value is False or value in ("", (), []) or callable(value):
        return ""
    return code(value.as_posix() if isinstance(value, PurePath) else value)


def _argparse(
    path: str, package: str, parser: argparse.ArgumentParser
) -> Iterator[tuple[str, str, str, list[tuple[str, str, str]]]]:
    rows, inner = [], {}
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            inner = action.choices
        elif not {"--help", "--version"} & set(action.option_strings):
            rows.append(_argparse_row(action))
    yield path, package, first_line(parser.description), rows
    for name, one in inner.items():
        yield from _argparse(f"{path} {name}", package, one)


def _argparse_row(action: argparse.Action) -> tuple[str, str, str]:
    choices = ", ".join(map(str, action.choices or ()))
    help_ = first_line(action.help) or (f"one of {choices}" if choices else "")
    if not action.option_strings:
        optional = action.nargs == argparse.OPTIONAL
        name = action.metavar or action.dest.upper()
        return code(f"[{name}]" if optional else name), _default(action.default), help_
    value = "" if action.nargs == 0 else f" {action.metavar or action.dest.upper().strip('_')}"
    return code(", ".join(action.option_strings) + value), _default(action.default), help_
