"""The ``orchestra`` command: run a program as a task, look at the outbox, listen in place of the platform.

Exit codes: 0 it worked, 1 it failed, 2 it was asked for in a wrong way; ``orchestra run`` ends as its program did.
"""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from orca.common.errors import OrcaError
from orca.common.terminal import ask_for_json, print_error

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]

EXIT_INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``orchestra`` with ``argv`` (those of the process when None) and return its exit code."""
    try:
        return _main(list(sys.argv[1:] if argv is None else argv))
    except OrcaError as error:
        print_error(error)
        return error.exit_code
    except BrokenPipeError:
        return 1
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED


def _main(args: list[str]) -> int:
    parser = _parser()
    options = parser.parse_args(args)
    if options.command is None:
        parser.print_help()
        return 0
    ask_for_json(bool(getattr(options, "json", False)))
    if options.command == "run":
        from orchestra.sdk._cli_run import run  # noqa: PLC0415  only the asked-for command is loaded

        return run(options)
    if options.command == "listen":
        from orchestra.sdk._cli_listen import listen  # noqa: PLC0415

        return listen(options)
    from orchestra.sdk._cli_outbox import outbox  # noqa: PLC0415

    return outbox(options)


def _parser() -> argparse.ArgumentParser:
    from orchestra.sdk import __version__  # noqa: PLC0415

    parser = argparse.ArgumentParser(prog="orchestra", description="Report tasks to the Orchestra platform.")
    parser.add_argument("--version", action="version", version=f"orchestra {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    _add_run(commands.add_parser("run", help="run any program as the task of this environment"))
    _add_outbox(commands.add_parser("outbox", help="what is undelivered, and why"))
    _add_listen(commands.add_parser("listen", help="a local stand-in for the webhook, with a page"))
    return parser


def _add_run(run: argparse.ArgumentParser) -> None:
    run.description = (
        "Run a program as the task run of this environment: RUNNING, its log's tail, its outputs, and a final "
        "status from its exit code or signal. The program runs also when nothing is configured or reachable."
    )
    run.add_argument("--name", help="what messages call it; the program's name by default")
    run.add_argument("--output-file", help="read outputs from this file too (lines NAME=VALUE)")
    run.add_argument(
        "--warn-exit", type=int, action="append", default=[], metavar="N", help="exit code that means WARNING"
    )
    run.add_argument("--heartbeat", type=float, metavar="S", help="repeat RUNNING every S seconds")
    run.add_argument(
        "--supervise", action="store_true", help="report also when this command itself is killed"
    )
    run.add_argument("--no-logs", action="store_true", help="do not capture what it prints")
    run.add_argument("--quiet", action="store_true", help="print nothing of our own")
    run.add_argument("program", nargs=argparse.REMAINDER, metavar="-- PROGRAM ...", help="the program")


def _add_outbox(outbox: argparse.ArgumentParser) -> None:
    outbox.description = "Show what is undelivered and why, deliver it, or put dead letters back in the line."
    outbox.add_argument("action", nargs="?", choices=["show", "flush", "dead", "retry"], default="show")
    outbox.add_argument("--wait", metavar="TIME", default="60s", help="how long flush may take, as 60s or 5m")
    outbox.add_argument(
        "--spool", help="the outbox's folder; ORCHESTRA_SPOOL_DIR or the usual place by default"
    )
    outbox.add_argument("--json", action="store_true", help="print for programs instead of people")


def _add_listen(listen: argparse.ArgumentParser) -> None:
    listen.description = "Answer as the webhook would, check every event, and show the task runs on a page."
    listen.add_argument("--port", type=int, default=8477, help="the port on 127.0.0.1; 0 takes a free one")
    listen.add_argument("--key", help="accept this API key only; any by default")
    listen.add_argument("--jsonl", action="store_true", help="print each event as one line of JSON")
    listen.add_argument(
        "--fault",
        action="append",
        default=[],
        metavar="FAULT",
        help="treat one request badly: 503, 429=2 (Retry-After), hang, drop, lost-answer, slow-loris, "
        "redirect=URL, delay=2s",
    )
    listen.add_argument("--for", dest="for_", metavar="TIME", help="stop after this time, as 10s")


if __name__ == "__main__":
    raise SystemExit(main())
