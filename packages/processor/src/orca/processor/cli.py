"""The commands ``orca init``, ``sync``, ``emit``, ``run`` and ``algos``; light to import."""

from __future__ import annotations

import datetime as dt
import json
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from orca.common.errors import UsageError
from orca.common.terminal import print_json, wants_json

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from orca.processor.client import OrcaClient
    from orca.processor.model import Window
    from orca.processor.processor import Processor
    from orca.processor.records import Emitted, Run

__all__ = ["algos", "emit", "init", "load_processors", "parse_duration", "parse_time", "run", "spans", "sync"]

WINDOWS_MAX: Final = 1_000_000
"""Windows that one back-fill may make: a year of every half minute; more is a typing mistake in a date."""

_UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0, "w": 604_800.0}

init = typer.Typer(add_completion=False, help="Make a project: a processor, its test, and its settings.")
sync = typer.Typer(add_completion=False, help="Write Python stubs of what the core knows.")
emit = typer.Typer(add_completion=False, help="Hand windows to the core.")
run = typer.Typer(add_completion=False, help="Run a file's algorithms here, without any core.")
algos = typer.Typer(add_completion=False, help="List the algorithms of a file, or of the core.")


def _out(text: str = "") -> None:
    sys.stdout.write(f"{text}\n")


def parse_duration(text: str) -> float:
    """Seconds of ``30s``, ``5m``, ``1h30m``, ``2d`` or a plain number.

    Raises:
        UsageError: The text has another form.

    Example:
        >>> parse_duration("1h30m")
        5400.0
    """
    parts = re.findall(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h|d|w)", text)
    if parts and "".join(number + unit for number, unit in parts) == text:
        return sum(float(number) * _UNITS[unit] for number, unit in parts)
    if re.fullmatch(r"[0-9]+(\.[0-9]+)?", text):
        return float(text)
    raise UsageError(f"'{text}' is no duration", hint="write 30s, 5m, 1h30m or 2d")


def parse_time(text: str) -> float:
    """Unix seconds of an ISO date or time (local without a zone), of unix seconds, or of ``now``.

    Raises:
        UsageError: The text has another form.
    """
    if text == "now":
        return dt.datetime.now(dt.timezone.utc).timestamp()
    if re.fullmatch(r"[0-9]{9,}(\.[0-9]+)?", text):
        return float(text)
    try:
        return dt.datetime.fromisoformat(text.replace("Z", "+00:00")).astimezone().timestamp()
    except ValueError:
        raise UsageError(
            f"'{text}' is no time", hint="write 2026-01-01, 2026-01-01T12:00:00Z or unix seconds"
        ) from None


def spans(
    *, last: str | None, since: str | None, until: str | None, every: str | None
) -> Iterator[tuple[float, float]]:
    """The (start, end) in unix seconds that the options of ``orca emit`` and ``orca run`` name.

    Raises:
        UsageError: They do not go together, or make more than ``WINDOWS_MAX`` windows.
    """
    if last is not None:
        if since is not None or until is not None:
            raise UsageError("--last goes without --from and --to")
        end = parse_time("now")
        length = parse_duration(last)
        start = end - length
    elif since is None:
        raise UsageError("which span of time?", hint="--last 30s, or --from TIME --to TIME")
    else:
        start, end = parse_time(since), parse_time(until or "now")
    if end < start:
        raise UsageError("--to is before --from")
    if every is None:
        yield start, end
        return
    step = parse_duration(every)
    if step <= 0 or (end - start) / step > WINDOWS_MAX:
        raise UsageError(f"--every {every} makes no window, or more than {WINDOWS_MAX:,}")
    for index in range(int((end - start) / step + 1e-9)):
        yield start + index * step, start + (index + 1) * step


def _metadata(pairs: Iterable[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for pair in pairs:
        key, equal, text = pair.partition("=")
        if not equal or not key:
            raise UsageError(f"--meta {pair}: write --meta key=value")
        try:
            found[key] = json.loads(text)
        except ValueError:
            found[key] = text
    return found


def _windows(
    name: str, *, version: str, origin: str, meta: Iterable[str], **which: str | None
) -> Iterator[Window]:
    from orca.processor.model import Window  # noqa: PLC0415

    short, underscore, found = name.rpartition("_")
    if underscore:
        name, version = short, found
    metadata = _metadata(meta)
    for start, end in spans(
        last=which["last"], since=which["since"], until=which["until"], every=which["every"]
    ):
        yield Window(float(start), float(end), name, version, origin, metadata)


# The dispatcher reads it, wherever it stands; a command only has to admit it.
AsJson = Annotated[bool, typer.Option("--json", help="Print for programs instead of people.")]
Core = Annotated[str | None, typer.Option("--core", help="The core's address.")]
Meta = Annotated[list[str] | None, typer.Option("--meta", "-m", help="Metadata, key=value; may be repeated.")]
Last = Annotated[str | None, typer.Option("--last", help="The time up to now, such as 30s.")]
From = Annotated[str | None, typer.Option("--from", help="Begin: an ISO time or unix seconds.")]
To = Annotated[str | None, typer.Option("--to", help="End; now when left out.")]
Each = Annotated[str | None, typer.Option("--every", help="Cut the span into windows of this length.")]
Version = Annotated[str, typer.Option("--window-version", "-v", help="The window type's version.")]
Origin = Annotated[str, typer.Option("--origin", help="Where the windows come from.")]


@emit.command()
def emit_command(  # noqa: PLR0917 - typer reads options from parameters
    window: Annotated[str, typer.Argument(help="The window type's name, or name_version.")],
    last: Last = None,
    since: From = None,
    until: To = None,
    every: Each = None,
    meta: Meta = None,
    window_version: Version = "1.0.0",
    origin: Origin = "orca emit",
    core: Core = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for the results and print them.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Run again although the window is known.")] = False,
    priority: Annotated[int, typer.Option("--priority", help="Higher runs first.")] = 0,
    timeout: Annotated[str, typer.Option("--timeout", help="How long to wait.")] = "60s",
    as_json: AsJson = False,  # noqa: ARG001
) -> int:
    """Hand windows to the core."""
    from orca.processor.client import OrcaClient  # noqa: PLC0415

    windows = _windows(
        window,
        version=window_version,
        origin=origin,
        meta=meta or (),
        last=last,
        since=since,
        until=until,
        every=every,
    )
    with OrcaClient(core) as client:
        if every is None:
            one = next(windows)
            answers = [client.emit(one, force=force, priority=priority)]
        else:
            answers = client.emit_many(windows, force=force, priority=priority)
        runs = [
            client.wait(one, timeout_s=parse_duration(timeout))
            for one in answers
            if wait and one.window_id and one.triggered
        ]
        _print_emitted(answers, runs)
        if not any(one.triggered for one in answers):
            _explain_idle(client, window, window_version)
            return 1 if wait else 0
    return 0 if all(one.ok for one in runs) else 1


def _explain_idle(client: OrcaClient, window: str, version: str) -> None:
    """The window is stored, but nothing waits for its type: most often a name that is spelt otherwise."""
    from difflib import get_close_matches  # noqa: PLC0415

    wanted = window if window.rpartition("_")[1] else f"{window}_{version}"
    known = sorted({one.window_type.full_name for each in client.processors() for one in each.algorithms})
    near = get_close_matches(wanted, known, n=1, cutoff=0.6)
    guess = f"; did you mean {near[0]}?" if near else ""
    sys.stderr.write(f"no algorithm is triggered by {wanted}{guess}\n  hint: orca algos\n")


def _print_emitted(answers: list[Emitted], runs: list[Run]) -> None:
    if wants_json():
        print_json(
            {"emitted": [_emitted_json(one) for one in answers], "runs": [_run_json(one) for one in runs]}
        )
        return
    if len(answers) == 1:
        one = answers[0]
        known = " (known already)" if one.duplicate else ""
        number = f"#{one.window_id} " if one.window_id else ""
        _out(f"{number}{one.status}{known}")
    else:
        count = sum(one.duplicate for one in answers)
        _out(f"{len(answers):,} windows, {count:,} known already")
    for done in runs:
        for line in _run_lines(done):
            _out(line)


def _emitted_json(one: Emitted) -> dict[str, Any]:
    return {"window_id": one.window_id, "status": one.status, "duplicate": one.duplicate}


def _run_json(one: Run) -> dict[str, Any]:
    executions = [
        {
            "algorithm": e.full_name,
            "status": e.status,
            "value": e.value,
            "error": dict(e.error),
            "cause": e.cause,
        }
        for e in one.executions
    ]
    return {"id": one.id, "window_id": one.window_id, "state": one.state, "executions": executions}


def _run_lines(one: Run) -> Iterator[str]:
    width = max((len(e.full_name) for e in one.executions), default=0)
    words = {"succeeded": "ok", "failed": "fail", "skipped": "skip"}
    for e in one.executions:
        spent = f"{e.duration_s * 1e3:5.0f} ms" if e.duration_s is not None else " " * 8
        text = _value(e.value) if e.ok else str(e.error.get("message") or e.cause)
        yield f"   {words.get(e.status, e.status):5} {e.full_name:{width}}  {spent}  {text}"
        yield from _place(dict(e.error))


def _value(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 200 else f"{text[:200]}... ({len(text):,} characters)"


def _place(error: dict[str, Any]) -> Iterator[str]:
    if error.get("file"):
        yield f"         {error['file']}:{int(error.get('line', 0))} in {error.get('function', '?')}"
        yield f"         > {error.get('source', '')}"


def load_processors(file: Path) -> list[Processor]:
    """The processors that a Python file makes; its main part does not run.

    Raises:
        UsageError: There is no such file, it fails, or makes no processor.
    """
    import runpy  # noqa: PLC0415

    from orca.processor.processor import Processor  # noqa: PLC0415

    if not file.is_file():
        raise UsageError(f"there is no file {file}")
    sys.path.insert(0, str(file.resolve().parent))
    try:
        names = runpy.run_path(str(file), run_name="orca_processor_file")
    except Exception as error:
        raise UsageError(f"{file} fails: {type(error).__name__}: {error}") from error
    finally:
        sys.path.pop(0)
    found = list({id(one): one for one in names.values() if isinstance(one, Processor)}.values())
    if not found:
        raise UsageError(f"{file} makes no Processor", hint='proc = Processor("name") at the top of the file')
    return found


@run.command()
def run_command(  # noqa: PLR0917 - typer reads options from parameters
    file: Annotated[Path, typer.Argument(help="A Python file that makes a Processor.")],
    window: Annotated[
        str | None, typer.Option("--window", "-w", help="The window type; else all of the file.")
    ] = None,
    last: Last = None,
    since: From = None,
    until: To = None,
    every: Each = None,
    meta: Meta = None,
    window_version: Version = "1.0.0",
    origin: Origin = "orca run",
    recorded: Annotated[
        Path | None, typer.Option("--recorded", help="Play back windows of this file.")
    ] = None,
    only: Annotated[
        list[str] | None, typer.Option("--only", help="This algorithm and what it needs.")
    ] = None,
    as_json: AsJson = False,  # noqa: ARG001
) -> int:
    """Run a file's algorithms here, without any core."""
    from orca.processor.testing import Local, play  # noqa: PLC0415

    good = True
    rows: list[dict[str, Any]] = []
    for processor in load_processors(file):
        local = Local(processor)
        names = (
            [window]
            if window
            else sorted({d.window_type.full_name for d in processor.registry if d.window_type})
        )
        which = {"last": last or (None if since else "30s"), "since": since, "until": until, "every": every}
        made: Iterable[Window] = (
            play(recorded)
            if recorded is not None
            else (
                one
                for name in names
                for one in _windows(name, version=window_version, origin=origin, meta=meta or (), **which)
            )
        )
        for one in made:
            done = local.run(one, only=only)
            good = good and done.ok
            rows.append(_local_json(done))
            if not wants_json():
                _print_local(rows[-1])
    if wants_json():
        print_json(rows)
    return 0 if good else 1


def _local_json(done: Any) -> dict[str, Any]:
    results = {
        name: {"ok": one.ok, "value": one.value, "error": dict(one.error)}
        for name, one in done.results.items()
    }
    window = done.window
    return {
        "window": window.full_name,
        "from": window.start.isoformat(),
        "to": window.end.isoformat(),
        "metadata": window.metadata,
        "results": results,
    }


def _print_local(row: dict[str, Any]) -> None:
    metadata = " ".join(f"{key}={value}" for key, value in row["metadata"].items())
    _out(f"{row['window']} {row['from']} -> {row['to']} {metadata}".rstrip())
    width = max((len(name) for name in row["results"]), default=0)
    for name, one in row["results"].items():
        word = "ok" if one["ok"] else {"skipped": "skip"}.get(one["error"].get("kind", ""), "fail")
        text = _value(one["value"]) if one["ok"] else str(one["error"].get("message", ""))
        _out(f"   {word:5} {name:{width}}  {text}")
        for line in _place(one["error"]):
            _out(line)


@algos.command()
def algos_command(
    file: Annotated[Path | None, typer.Argument(help="A Python file; the core when left out.")] = None,
    core: Core = None,
    as_json: AsJson = False,  # noqa: ARG001
) -> int:
    """List the algorithms of a file, or of the core."""
    if file is not None:
        specs = [one.spec("") for one in load_processors(file)]
    else:
        from orca.processor.client import OrcaClient  # noqa: PLC0415

        with OrcaClient(core) as client:
            specs = client.processors()
    rows = [
        {
            "algorithm": one.full_name,
            "window": one.window_type.full_name,
            "processor": spec.name,
            "result": one.result_kind.name.lower(),
            "depends_on": [dep.full_name for dep in one.dependencies],
            "description": one.description,
        }
        for spec in specs
        for one in spec.algorithms
    ]
    if wants_json():
        print_json(rows)
        return 0
    for row in rows:
        needs = f" <- {', '.join(row['depends_on'])}" if row["depends_on"] else ""
        _out(f"{row['processor']}: {row['algorithm']}{needs}  window {row['window']}  {row['result']}")
    return 0


@sync.command()
def sync_command(  # noqa: PLR0917 - typer reads options from parameters
    out: Annotated[Path, typer.Option("--out", "-out", help="Where to write.")] = Path("registry"),
    core: Annotated[
        str | None, typer.Option("--core", "--connStr", "-connStr", help="The core's address.")
    ] = None,
    sdk: Annotated[str, typer.Option("--sdk", "-sdk", help="The language of the stubs.")] = "python",
    secure: Annotated[bool, typer.Option("--secure", "-secure", help="Speak TLS.")] = False,
    ca_cert: Annotated[
        Path | None, typer.Option("--caCert", "-caCert", help="Certificates to trust.")
    ] = None,
    config: Annotated[
        Path | None, typer.Option("--config", "-config", help="An orca.json elsewhere.")
    ] = None,
    project: Annotated[
        str | None, typer.Option("--projectName", "-projectName", help="Leave this project out.")
    ] = None,
    as_json: AsJson = False,  # noqa: ARG001
) -> int:
    """Write Python stubs of what the core knows into registry/."""
    import os  # noqa: PLC0415

    from orca.processor.client import OrcaClient  # noqa: PLC0415
    from orca.processor.discovery import find_project  # noqa: PLC0415
    from orca.processor.stubs import write  # noqa: PLC0415

    if sdk != "python":
        raise UsageError(f"there are no stubs for '{sdk}'", hint="--sdk python")
    folder = config.resolve().parent if config is not None else Path.cwd()
    environ = dict(os.environ)
    if ca_cert is not None:
        environ["ORCA_TLS_CA"] = str(ca_cert)
    if secure and core is not None and "://" not in core:
        core = f"grpcs://{core}"
    name = project if project is not None else find_project(folder).project
    with OrcaClient(core, environ=environ, folder=folder) as client:
        processors = client.processors(exclude_project=name)
    changed = write(out, processors)
    count = sum(len(one.algorithms) for one in processors)
    if wants_json():
        print_json({"folder": str(out), "algorithms": count, "changed": [path.name for path in changed]})
    else:
        _out(f"{out}: {count} algorithms of {len(processors)} processors, {len(changed)} files changed")
    return 0


@init.command()
def init_command(
    folder: Annotated[Path | None, typer.Argument(help="The project's folder; here when left out.")] = None,
    name: Annotated[str | None, typer.Option("--name", "-name", help="The project's name.")] = None,
    as_json: AsJson = False,  # noqa: ARG001
) -> int:
    """Make a project: processor.py, test_processor.py, orca.json and .gitignore."""
    from orca.processor.templates import project_files  # noqa: PLC0415

    folder = folder or Path()
    title = name or folder.resolve().name
    files = project_files(title)
    there = sorted(str(folder / one) for one in files if (folder / one).exists())
    if there:
        raise UsageError(
            f"there is already {', '.join(there)}; nothing was written", hint="orca init NEW_FOLDER"
        )
    folder.mkdir(parents=True, exist_ok=True)
    for path, text in files.items():
        (folder / path).write_text(text, encoding="utf-8", newline="\n")
    if wants_json():
        print_json({"folder": str(folder), "project": title, "files": sorted(files)})
    else:
        _out(f"made {', '.join(sorted(files))} in {folder}")
        enter = "" if folder == Path() else f"cd {folder} && "
        _out(f"next: {enter}orca run processor.py --last 30s")
    return 0
