# ruff: noqa: ARG001, PLC0415 - every command takes --json, which the dispatcher reads; gRPC loads when used
"""``orca windows | runs | results | processors | annotations``."""

from __future__ import annotations

import array
import json as jsonlib
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from orca.common.errors import OrcaError, UsageError
from orca.common.terminal import print_json, wants_json
from orca.orchestrator.cli.common import Core, Json, Since, Until, Watch, connect, lists, new_app, ref_of
from orca.orchestrator.cli.output import echo, moment_ns, show, time_text, watching

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["notes", "processors", "results", "runs", "windows"]

windows = new_app("What was processed.")
runs = new_app("How it was processed, and what failed.")
results = new_app("What came out.")
processors = typer.Typer(add_completion=False)
notes = new_app("Notes on spans of time.")

Limit = Annotated[int, typer.Option("--limit", "-n", help="At most so many.")]
Meta = Annotated[list[str] | None, typer.Option("--meta", help="Only with this metadata: name=value.")]
TypeOption = Annotated[str, typer.Option("--type", help="Window type: Name or Name_1.0.0.")]


class RunFailedError(OrcaError):
    """A run that was waited for did not succeed."""

    code = "RUN_FAILED"


def metadata_of(entries: Iterable[str] | None) -> str:
    """``name=value`` options as a JSON object; values are JSON where they can be, text otherwise.

    Raises:
        UsageError: An entry has no ``=``.

    Example:
        >>> metadata_of(["asset=1", "site=north"])
        '{"asset": 1, "site": "north"}'
    """
    found: dict[str, Any] = {}
    for entry in entries or ():
        name, sign, text = entry.partition("=")
        if not sign or not name:
            raise UsageError(f"--meta {entry} is not name=value", hint="write --meta asset_id=1")
        try:
            found[name] = jsonlib.loads(text)
        except ValueError:
            found[name] = text
    return jsonlib.dumps(found) if found else ""


def _ref_text(ref: Any) -> str:
    return f"{ref.name}_{ref.version}"


def plain_value(value: Any) -> Any:
    """A ResultValue as JSON has it."""
    kind = value.WhichOneof("value")
    if kind == "number":
        return value.number
    if kind == "json":
        return jsonlib.loads(value.json)
    if kind == "array":
        numbers = array.array("d", value.array)
        if sys.byteorder == "big":
            numbers.byteswap()
        return numbers.tolist()
    return None


@windows.command("list")
def list_windows(
    *,
    kind: TypeOption = "",
    since: Since = "",
    until: Until = "",
    meta: Meta = None,
    limit: Limit = 20,
    watch: Watch = False,
    core: Core = "",
    json: Json = False,
) -> None:
    """The newest windows with the state of their latest run."""
    from orca.processor import wire_query as q

    request = q.ListWindowsRequest(
        window_type=ref_of(kind),
        range=q.Range(from_ns=moment_ns(since), to_ns=moment_ns(until)),
        metadata=metadata_of(meta),
        limit=limit,
        newest_first=True,
    )

    def draw() -> None:
        found = [
            {
                "id": row.id,
                "type": _ref_text(row.window_type),
                "from": time_text(row.time_from_ns),
                "to": time_text(row.time_to_ns),
                "state": row.state,
                "run": row.run_id,
                "origin": row.origin,
                "metadata": jsonlib.loads(row.metadata),
                "parent": row.parent_id or None,
                "parent_exec": row.parent_exec_id,
                "time_from_ns": row.time_from_ns,
                "time_to_ns": row.time_to_ns,
            }
            for row in client.stream(q.OrcaQuery.ListWindows, request)
        ]
        nested = ["parent", "parent_exec"] if any(row["parent"] for row in found) else []
        show(
            found,
            ["id", "type", "from", "to", "state", "run", *nested, "metadata"],
            empty="no windows yet: orca emit --help",
        )

    with connect(core) as client:
        watching(draw, watch=watch)


@windows.command("reprocess")
def reprocess(
    *,
    window: Annotated[int, typer.Option("--id", help="One window.")] = 0,
    kind: TypeOption = "",
    since: Since = "",
    until: Until = "",
    reuse: Annotated[bool, typer.Option("--reuse", help="Keep results that are there.")] = False,
    core: Core = "",
    json: Json = False,
) -> None:
    """Run windows again with the algorithms of today."""
    from orca.processor import wire_query as q

    request = q.ReprocessRequest(
        window_id=window,
        window_type=ref_of(kind),
        range=q.Range(from_ns=moment_ns(since), to_ns=moment_ns(until)),
        reuse=reuse,
    )
    with connect(core) as client:
        _progress(client.stream(q.OrcaQuery.Reprocess, request))


def _progress(stream: Iterable[Any]) -> None:
    """A bar on a terminal, one line otherwise."""
    last = None
    if sys.stdout.isatty() and not wants_json():
        from rich.progress import Progress

        with Progress() as progress:
            task = progress.add_task("windows", total=None)
            for last in stream:
                progress.update(task, total=last.total, completed=last.done)
    else:
        for entry in stream:
            last = entry
    done = last.done if last is not None else 0
    if wants_json():
        print_json({"runs": done})
    else:
        echo(f"{done} runs started")


@runs.command("list")
def list_runs(
    *,
    state: Annotated[str, typer.Option("--state", help="open, succeeded, failed or cancelled.")] = "",
    failed: Annotated[bool, typer.Option("--failed", help="Only failed ones.")] = False,
    kind: TypeOption = "",
    since: Annotated[str, typer.Option("--since", help="Accepted after this time.")] = "",
    limit: Limit = 20,
    watch: Watch = False,
    core: Core = "",
    json: Json = False,
) -> None:
    """The newest runs."""
    from orca.processor import wire_query as q

    request = q.ListRunsRequest(
        state="failed" if failed else state, window_type=ref_of(kind), since_ns=moment_ns(since), limit=limit
    )
    columns = ["id", "window", "type", "from", "state", "ok", "failed", "skipped", "ms", "metadata"]
    with connect(core) as client:
        watching(
            lambda: show(
                [_run_row(row) for row in client.stream(q.OrcaQuery.ListRuns, request)],
                columns,
                empty="no runs",
            ),
            watch=watch,
        )


def _run_row(row: Any) -> dict[str, Any]:
    return {
        "id": row.id,
        "window": row.window_id,
        "type": _ref_text(row.window_type),
        "from": time_text(row.time_from_ns),
        "state": row.state,
        "kind": row.kind,
        "ok": row.succeeded,
        "failed": row.failed,
        "skipped": row.skipped,
        "ms": round((row.finished_ns - row.created_ns) / 1e6, 1) if row.finished_ns else None,
        "metadata": jsonlib.loads(row.metadata),
    }


@runs.command("show")
def show_run(
    run: Annotated[int, typer.Argument(help="Number of the run.")] = 0,
    *,
    window: Annotated[int, typer.Option("--window", help="Instead: the latest run of this window.")] = 0,
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait for its end; exit code 1 when it failed.")
    ] = False,
    core: Core = "",
    json: Json = False,
) -> None:
    """One run: what each algorithm did, and the user's frame of every failure."""
    from orca.processor import wire_query as q

    request = q.GetRunRequest(id=run, window_id=window)
    with connect(core) as client:
        detail = client.ask(q.OrcaQuery.GetRun, request)
        if wait:
            for entry in client.stream(q.OrcaQuery.WatchRun, request):
                detail = entry
    found = [_execution(entry) for entry in detail.executions]
    if wants_json():
        print_json({**_run_row(detail.run), "executions": found})
    else:
        head = detail.run
        echo(
            f"#{head.window_id} {_ref_text(head.window_type)} {time_text(head.time_from_ns)} -> "
            f"{time_text(head.time_to_ns)}  {head.metadata}  {head.state}"
        )
        for execution in found:
            _print_execution(execution)
    if wait and detail.run.state != "succeeded":
        raise RunFailedError(
            f"run {detail.run.id} {detail.run.state}", hint=f"orca runs retry {detail.run.id}"
        )


def _execution(entry: Any) -> dict[str, Any]:
    return {
        "algorithm": _ref_text(entry.algorithm),
        "processor": entry.processor,
        "status": entry.status,
        "attempts": entry.attempts,
        "ms": round((entry.finished_ns - entry.sent_ns) / 1e6, 1)
        if entry.sent_ns and entry.finished_ns
        else None,
        "value": plain_value(entry.value) if entry.HasField("value") else None,
        "cause": entry.cause,
        "error": jsonlib.loads(entry.error or "{}"),
        "address": entry.address,
    }


_WORDS = {"succeeded": "ok", "failed": "fail", "skipped": "skip"}


def _print_execution(entry: dict[str, Any]) -> None:
    word = _WORDS.get(entry["status"], entry["status"])
    took = "" if entry["ms"] is None else f"{entry['ms']:g} ms"
    value = entry["cause"] if word != "ok" else jsonlib.dumps(entry["value"])
    echo(f"   {word:5} {entry['algorithm']:24} {took:>10}  {value}")
    error = entry["error"]
    if error.get("file"):
        echo(f"        {error['file']}:{error.get('line', '?')} in {error.get('function', '?')}")
        if error.get("source"):
            echo(f"            {error['source']}")


@runs.command("retry")
def retry(
    run: Annotated[int, typer.Argument(help="One failed run; otherwise all that match.")] = 0,
    *,
    failed: Annotated[bool, typer.Option("--failed", help="All failed runs that match.")] = False,
    last: Annotated[str, typer.Option("--last", help="Windows accepted within this time, such as 1h.")] = "",
    kind: TypeOption = "",
    core: Core = "",
    json: Json = False,
) -> None:
    """Run only what failed, and what depends on it."""
    from orca.processor import wire_query as q

    if not run and not failed:
        raise UsageError("name a run, or all failed ones", hint="orca runs retry --failed --last 1h")
    request = q.ReprocessRequest(
        run_id=run, failed=True, window_type=ref_of(kind), since_ns=moment_ns(f"-{last}" if last else "")
    )
    with connect(core) as client:
        _progress(client.stream(q.OrcaQuery.Reprocess, request))


@runs.command("cancel")
def cancel(run: int, *, core: Core = "", json: Json = False) -> None:
    """End an open run; what it has already stays."""
    from orca.processor import wire_query as q

    with connect(core) as client:
        row = client.ask(q.OrcaQuery.CancelRun, q.GetRunRequest(id=run))
    show([_run_row(row)], ["id", "state"])


@results.command("get")
def get_results(
    algorithm: Annotated[str, typer.Argument(help="Name or Name_1.0.0.")],
    *,
    since: Since = "",
    until: Until = "",
    last: Annotated[str, typer.Option("--last", help="Windows of this time until now, such as 24h.")] = "",
    meta: Meta = None,
    limit: Limit = 100,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on as results come, until Ctrl-C.")
    ] = False,
    core: Core = "",
    json: Json = False,
) -> None:
    """Results of one algorithm in order of time."""
    from orca.processor import wire_query as q

    start_ns = moment_ns(f"-{last}") if last else moment_ns(since)
    request = q.ReadResultsRequest(
        algorithm=ref_of(algorithm),
        range=q.Range(from_ns=start_ns, to_ns=moment_ns(until)),
        metadata=metadata_of(meta),
        limit=limit,
        follow=follow,
    )
    with connect(core) as client:
        stream = client.stream(q.OrcaQuery.ReadResults, request)
        if follow:
            for row in stream:
                sys.stdout.write(jsonlib.dumps(_result_row(row)) + "\n")
                sys.stdout.flush()
        else:
            columns = ["window", "from", "to", "algorithm", "value", "metadata"]
            show([_result_row(row) for row in stream], columns, empty="no results")


def _result_row(row: Any) -> dict[str, Any]:
    return {
        "window": row.window_id,
        "from": time_text(row.time_from_ns),
        "to": time_text(row.time_to_ns),
        "algorithm": _ref_text(row.algorithm),
        "value": plain_value(row.value),
        "metadata": jsonlib.loads(row.metadata),
        "run": row.run_id,
        "time_from_ns": row.time_from_ns,
        "time_to_ns": row.time_to_ns,
    }


@processors.command()
def list_processors(
    *,
    history: Annotated[bool, typer.Option("--history", help="Also former sets.")] = False,
    watch: Watch = False,
    core: Core = "",
    json: Json = False,
) -> None:
    """Who offers what, and who is alive."""
    from orca.processor import wire_query as q

    request = q.ListProcessorsRequest(history=history)

    def draw() -> None:
        found = [
            {
                "name": row.name,
                "project": row.project,
                "set": row.set_version,
                "instances": [f"{one.address} {one.state}" for one in row.instances],
                "algorithms": [_ref_text(one.algorithm) for one in row.algorithms],
                "runtime": row.runtime.split("\n")[0],
                "registered": time_text(row.registered_ns),
            }
            for row in client.stream(q.OrcaQuery.ListProcessors, request)
        ]
        show(
            found,
            ["name", "project", "set", "instances", "algorithms"],
            empty="no processor has registered yet",
        )

    with connect(core) as client:
        watching(draw, watch=watch)


@notes.command("add")
def add_annotation(
    description: str,
    *,
    since: Since,
    until: Until,
    algorithm: Annotated[list[str] | None, typer.Option("--algorithm", help="Name_1.0.0.")] = None,
    kind: Annotated[list[str] | None, typer.Option("--type", help="Window type: Name_1.0.0.")] = None,
    meta: Meta = None,
    core: Core = "",
    json: Json = False,
) -> None:
    """Note something on a span of time."""
    from orca.processor import wire_query as q

    request = q.AnnotationRow(
        time_from_ns=moment_ns(since),
        time_to_ns=moment_ns(until),
        description=description,
        metadata=metadata_of(meta),
        algorithms=[ref_of(entry) for entry in algorithm or ()],
        window_types=[ref_of(entry) for entry in kind or ()],
    )
    with connect(core) as client:
        _show_annotations([client.ask(q.OrcaQuery.PutAnnotation, request)])


@notes.command("list")
def list_annotations(
    *, since: Since = "", until: Until = "", limit: Limit = 100, core: Core = "", json: Json = False
) -> None:
    """Notes that touch a span of time."""
    from orca.processor import wire_query as q

    span = q.Range(from_ns=moment_ns(since), to_ns=moment_ns(until))
    with connect(core) as client:
        _show_annotations(
            client.stream(q.OrcaQuery.ListAnnotations, q.ListAnnotationsRequest(range=span, limit=limit))
        )


@notes.command("delete")
def delete_annotation(number: int, *, core: Core = "", json: Json = False) -> None:
    """Remove a note."""
    from orca.processor import wire_query as q

    with connect(core) as client:
        client.ask(q.OrcaQuery.DeleteAnnotation, q.DeleteAnnotationRequest(id=number))
    show([{"deleted": number}], ["deleted"])


def _show_annotations(rows: Iterable[Any]) -> None:
    found = [
        {
            "id": row.id,
            "from": time_text(row.time_from_ns),
            "to": time_text(row.time_to_ns),
            "description": row.description,
            "about": [_ref_text(one) for one in [*row.algorithms, *row.window_types]],
            "metadata": jsonlib.loads(row.metadata),
        }
        for row in rows
    ]
    show(found, ["id", "from", "to", "description", "about"], empty="no annotations")


lists(windows, "What was processed; without a command: the newest windows.", list_windows)
lists(runs, "How it was processed, and what failed; without a command: the newest runs.", list_runs)
lists(notes, "Notes on spans of time; without a command: all of them.", list_annotations)
