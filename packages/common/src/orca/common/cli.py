"""The ``orca`` command: a small dispatcher over the entry points of the group ``orca.commands``.

Each installed package adds its commands there; only the one that was asked for is imported. Exit codes: 0 it
worked, 1 it failed, 2 it was asked for in a wrong way, 3 the core was not reachable, 130 Ctrl-C.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

from orca.common import __version__, _beside
from orca.common.errors import OrcaError, UsageError
from orca.common.terminal import ask_for_json, print_error, print_json, wants_json

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from importlib.metadata import EntryPoint

__all__ = ["GROUP", "HOMES", "find_commands", "load_command", "main", "run"]

#: The entry-point group that packages add their commands to.
GROUP = "orca.commands"

COMPLETE_VARIABLE = "_ORCA_COMPLETE"
EXIT_FAILED = 1
EXIT_INTERRUPTED = 130

#: Where the commands live that people know from the documentation, for those who have not installed them yet.
HOMES = {
    "dev": "orca-orchestrator",
    "emit": "orca-processor",
    "init": "orca-processor",
    "machine": "orca-statemachine",
    "results": "orca-orchestrator",
    "runs": "orca-orchestrator",
    "start": "orca-orchestrator",
    "status": "orca-orchestrator",
    "stop": "orca-orchestrator",
    "sync": "orca-processor",
    "windows": "orca-orchestrator",
}

HELP = """\
usage: orca [--json] COMMAND [ARGUMENTS]
       orca COMMAND --help

{commands}

options:
  --version                     print the version
  --json                        print for programs instead of people
  --show-completion [SHELL]     print the completion script of bash, zsh or fish
  --install-completion [SHELL]  put it where the shell finds it
  --help                        print this

exit codes: 0 ok, 1 failed, 2 wrong usage, 3 core not reachable
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``orca`` with ``argv`` (those of the process when None) and return its exit code."""
    args = list(sys.argv[1:] if argv is None else argv)
    before = wants_json()
    ask_for_json(_asks_for_json(args))
    try:
        return _main(args)
    except OrcaError as error:
        print_error(error)
        return error.exit_code
    finally:
        ask_for_json(before)


def _main(args: list[str]) -> int:
    while args and args[0] == "--json":
        args.pop(0)
    if os.environ.get(COMPLETE_VARIABLE):
        from orca.common import completion  # noqa: PLC0415  only the shell comes here

        return completion.answer()
    name = args.pop(0) if args else "--help"
    if name != "doctor":  # which says the same, and more
        _warn_of_collisions()
    if name in {"--version", "-V"}:
        _print_version()
        return 0
    if name in {"--help", "-h"}:
        _print_help()
        return 0
    if name in {"--show-completion", "--install-completion"}:
        from orca.common import completion  # noqa: PLC0415  rarely asked for

        shell = args[0] if args else None
        completion.show(shell) if name == "--show-completion" else completion.install(shell)
        return 0
    if name.startswith("-"):
        raise UsageError(f"unknown option `{name}`", hint="orca --help")
    commands = find_commands()
    if name not in commands:
        raise UsageError(f"unknown command `{name}`", hint=_what_then(name, commands))
    return run(load_command(commands[name]), args, prog=f"orca {name}")


def _warn_of_collisions() -> None:
    """Say on standard error which published package stands beside orca-compat."""
    for found in _beside.collisions():
        sys.stderr.write(f"warning: {found.message}\n  hint: {found.fix}\n")


def _print_version() -> None:
    if wants_json():
        print_json({"version": __version__})
    else:
        sys.stdout.write(f"orca {__version__}\n")


def find_commands() -> Mapping[str, EntryPoint]:
    """Return the installed commands by name, in order of their names, without importing them.

    Raises:
        OrcaError: Two distributions claim one name.
    """
    from importlib.metadata import entry_points  # noqa: PLC0415  36 ms to import

    commands: dict[str, EntryPoint] = {}
    for entry in sorted(entry_points(group=GROUP), key=lambda entry: (entry.name, entry.value)):
        other = commands.setdefault(entry.name, entry)
        if other.value != entry.value:
            raise OrcaError(
                f"two packages bring a command `{entry.name}`: {package_of(other)} ({other.value}) "
                f"and {package_of(entry)} ({entry.value})",
                hint=f"uninstall one of them: pip uninstall {package_of(entry)}",
            )
    return commands


def package_of(entry: EntryPoint) -> str:
    """Return the name of the distribution that an entry point comes from."""
    return entry.dist.name if entry.dist else "an unknown package"


def load_command(entry: EntryPoint) -> Any:
    """Import one command.

    Raises:
        OrcaError: Its module fails to import, or has no such object.
    """
    try:
        return entry.load()
    except OrcaError:
        raise
    except Exception as error:
        raise OrcaError(
            f"command `{entry.name}` of {package_of(entry)} cannot be loaded: "
            f"{type(error).__name__}: {error}",
            hint="orca doctor",
        ) from error


def run(app: Any, args: Sequence[str], *, prog: str) -> int:
    """Run a command and turn its end, good or bad, into output and an exit code.

    Args:
        app: A `typer.Typer` or a click command. It raises errors derived from `OrcaError`; an int that it
            returns is the exit code.
        args: What follows the command's name.
        prog: The command's name as the user typed it.

    Returns:
        The exit code.

    Raises:
        Exception: What the command raised, when that is no `OrcaError`: a defect, so its traceback is due.
    """
    before = wants_json()
    ask_for_json(before or _asks_for_json(args))
    try:
        outcome = to_click(app).main(args=list(args), prog_name=prog, standalone_mode=False)
        sys.stdout.flush()
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has seen enough; the interpreter must not complain when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_FAILED
    except Exception as error:  # noqa: BLE001  what is not ours is raised again there
        return _report(error, prog=prog)
    finally:
        # What one command was asked for is not asked of the next one in the same program.
        ask_for_json(before)
    return outcome if isinstance(outcome, int) else 0


def to_click(app: Any) -> Any:
    """Return the click command of a `typer.Typer`; what is one already comes back as it is."""
    if not hasattr(app, "registered_commands"):
        return app
    from typer.main import get_command  # noqa: PLC0415  79 ms to import

    if not sys.stdout.isatty():
        app.rich_markup_mode = None  # no boxes in pipes
    return get_command(app)


def _report(error: Exception, *, prog: str) -> int:
    # Newer typer brings its own copy of click, so click's errors are known by what they can do.
    if hasattr(error, "format_message") and hasattr(error, "exit_code"):
        wrong: Any = error
        print_error(UsageError(wrong.format_message(), hint=f"{_command_path(wrong, prog)} --help"))
        return int(wrong.exit_code)
    if type(error).__name__ == "Abort":
        return EXIT_INTERRUPTED
    found = list(_orca_errors(error))
    if not found:
        raise error
    for each in found:
        print_error(each)
        if os.environ.get("ORCA_DEBUG"):
            import traceback  # noqa: PLC0415  only for those who ask

            traceback.print_exception(type(each), each, each.__traceback__)
    return max(each.exit_code for each in found)


def _orca_errors(error: BaseException) -> list[OrcaError]:
    """Return the errors to show: the error itself, or all leaves of a group when each of them is ours."""
    if isinstance(error, OrcaError):
        return [error]
    leaves: list[OrcaError] = []
    for each in getattr(error, "exceptions", ()):
        inner = _orca_errors(each)
        if not inner:
            return []
        leaves.extend(inner)
    return leaves


def _command_path(error: Any, prog: str) -> str:
    context = getattr(error, "ctx", None)
    return context.command_path if context is not None else prog


def _asks_for_json(args: Sequence[str]) -> bool:
    own = args[: args.index("--")] if "--" in args else args
    return "--json" in own or "--jsonl" in own


def _what_then(name: str, commands: Mapping[str, EntryPoint]) -> str:
    """Return what helps somebody who asked for a command that is not there."""
    home = HOMES.get(name)
    if home and home not in {package_of(entry) for entry in commands.values()}:
        return f"pip install {home}"
    from difflib import get_close_matches  # noqa: PLC0415  only for typing errors

    close = get_close_matches(name, commands, n=1)
    return f"did you mean `orca {close[0]}`?" if close else "orca --help"


def _print_help() -> None:
    commands = find_commands()
    if wants_json():
        print_json({"commands": [{"name": n, "package": package_of(e)} for n, e in commands.items()]})
        return
    width = max(map(len, commands), default=0)
    lines = [f"  {name:{width}}  {_summary(entry)}".rstrip() for name, entry in commands.items()]
    listing = "\n".join(["commands:", *lines]) if lines else "no commands are installed"
    sys.stdout.write(HELP.format(commands=listing))


def _summary(entry: EntryPoint) -> str:
    """Return the first line of a command's help; for that, and only for that, it is imported."""
    try:
        return str(to_click(load_command(entry)).get_short_help_str(limit=80))
    except OrcaError as error:
        return f"({error.message})"
