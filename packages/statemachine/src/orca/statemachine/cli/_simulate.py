"""``orca machine simulate``."""

from __future__ import annotations

import sys
from pathlib import Path  # noqa: TC003 - typer reads it
from typing import TYPE_CHECKING, Annotated, Final, cast

import typer

if TYPE_CHECKING:
    from orca.statemachine.model import MachineDef
    from orca.statemachine.verify import Played, Trace

__all__ = ["add", "context_of"]

TRACE_SIZE_MAX: Final = 10_000_000
"""Bytes of a trace: far more events than a person looks at, and no accident fills the memory."""


def add(app: typer.Typer) -> None:
    """Add the command."""
    app.command("simulate")(simulate)


def simulate(
    path: Annotated[Path, typer.Argument(help="A file, or - for standard input.")],
    events: Annotated[list[str] | None, typer.Argument(help="Events to send, in order.")] = None,
    *,
    trace: Annotated[
        Path | None,
        typer.Option("--trace", help="A trace in JSON, such as `check --json` gives with a finding."),
    ] = None,
    machine: Annotated[
        str | None,
        typer.Option("--machine", "-m", help="Which machine; that of the trace, or the first one."),
    ] = None,
    context: Annotated[
        list[str] | None, typer.Option("--context", "-c", help="NAME=VALUE at the start; VALUE is JSON.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> int:
    """Run events or a trace through the engine, with actions that do nothing but what the trace says.

    Exit codes: 0 played, 1 a step of the trace did not end where it says or the text has errors, 2 wrong usage.
    """
    from orca.common.errors import UsageError  # noqa: PLC0415
    from orca.common.terminal import print_json  # noqa: PLC0415
    from orca.statemachine.cli._inputs import one_machine  # noqa: PLC0415
    from orca.statemachine.verify import Trace, TraceStep, play  # noqa: PLC0415

    if trace is not None and (events or context):
        raise UsageError("a trace brings its own events and context", hint="leave one of both out")
    values = context_of(context or ())
    steps = tuple(TraceStep(name) for name in events or ())
    script = _read_trace(trace) if trace is not None else Trace(machine or "", values, steps=steps)
    definition = one_machine(path, machine or script.machine or None)
    _check_context(definition, script)
    played = play(definition, script)
    if as_json:
        print_json(_json(script, played))
    else:
        sys.stdout.writelines(f"{line}\n" for line in _lines(script, played))
    return 0 if played.agrees else 1


def _read_trace(path: Path) -> Trace:
    """A trace from a file: the trace itself, a finding that holds one, or what ``check --json`` prints.

    Raises:
        UsageError: The file is no JSON, or holds no trace.
    """
    import json  # noqa: PLC0415

    from orca.common.errors import UsageError  # noqa: PLC0415
    from orca.statemachine.verify import read_trace  # noqa: PLC0415

    try:
        if path.stat().st_size > TRACE_SIZE_MAX:
            raise UsageError(f"{path} is larger than {TRACE_SIZE_MAX} bytes")
        found: object = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        if isinstance(error, UsageError):
            raise
        raise UsageError(f"{path} is not a trace: {error}") from error
    return read_trace(_trace_in(found, path))


def _trace_in(found: object, path: Path) -> object:
    """The trace inside of a finding, or of the first finding that has one."""
    from orca.common.errors import UsageError  # noqa: PLC0415

    if not isinstance(found, dict):
        return found
    top = cast("dict[str, object]", found)
    if "diagnostics" in top:
        each = cast("list[dict[str, object]]", top["diagnostics"])
        traced = [item for item in each if "trace" in item]
        if not traced:
            raise UsageError(f"no finding in {path} has a trace")
        top = traced[0]
    return top.get("trace", top)


def context_of(pairs: list[str] | tuple[()]) -> dict[str, object]:
    """``NAME=VALUE`` pairs; a value that is no JSON is a string.

    Raises:
        UsageError: A pair has no ``=``.
    """
    import json  # noqa: PLC0415

    from orca.common.errors import UsageError  # noqa: PLC0415

    found: dict[str, object] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals:
            raise UsageError(f"`{pair}` is not NAME=VALUE")
        try:
            found[name] = json.loads(text)
        except ValueError:
            found[name] = text
    return found


def _check_context(machine: MachineDef, trace: Trace) -> None:
    from orca.common.errors import UsageError  # noqa: PLC0415

    known = {item.name for item in machine.fields}
    unknown = [name for name in trace.context if name not in known]
    if unknown:
        raise UsageError(f"`{unknown[0]}` is not in the context of `{machine.name}`")


def _json(trace: Trace, played: Played) -> dict[str, object]:
    return {
        "machine": trace.machine,
        "start": list(played.leaves[0]) if played.leaves else [],
        "steps": [
            {"event": step.event, "verdict": verdict, "leaves": list(leaves)}
            for step, verdict, leaves in zip(trace.steps, played.verdicts, played.leaves[1:], strict=False)
        ],
        "livelock": list(played.livelock),
        "context": dict(played.context),
        "done": played.snapshot.status == "done",
        "agrees": played.agrees,
    }


def _lines(trace: Trace, played: Played) -> list[str]:
    rows = [("start", "", ", ".join(played.leaves[0]) if played.leaves else "")]
    for step, verdict, leaves in zip(trace.steps, played.verdicts, played.leaves[1:], strict=False):
        rows.append((step.event, verdict, ", ".join(leaves)))
    width, other = (max(len(row[column]) for row in rows) for column in (0, 1))
    lines = [f"{event:{width}}  {verdict:{other}}  {leaves}".rstrip() for event, verdict, leaves in rows]
    if played.livelock:
        lines.append(f"never becomes stable: {' -> '.join((*played.livelock, played.livelock[0]))}")
    elif played.snapshot.status == "done":
        lines.append("done")
    if not played.agrees:
        lines.append("a step did not end where the trace says")
    return lines
