# ruff: noqa: ARG001, PLC0415 - every command takes --json, which the dispatcher reads; gRPC loads when used
"""``orca schedules | db | token``."""

from __future__ import annotations

import json as jsonlib
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from orca.common.errors import UsageError
from orca.common.terminal import print_json, wants_json
from orca.orchestrator.cli.common import Core, Folder, Json, Watch, connect, lists, new_app, ref_of
from orca.orchestrator.cli.data import metadata_of
from orca.orchestrator.cli.output import duration_ns, echo, moment_ns, show, time_text, watching

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["db", "schedules", "token"]

schedules = new_app("Windows that the core emits by itself.")
db = new_app("The store: numbers, SQL, backup, restore, retention.")
token = new_app("Who may call this core.")

Name = Annotated[str, typer.Argument(help="Its name.")]


@schedules.command("put")
def put_schedule(
    name: Name,
    kind: Annotated[str, typer.Argument(help="Window type: Name_1.0.0.")],
    *,
    cron: Annotated[str, typer.Option("--cron", help="Five fields, such as '0 * * * *'.")] = "",
    every: Annotated[str, typer.Option("--every", help="An interval, such as 30s or 1h.")] = "",
    length: Annotated[str, typer.Option("--length", help="Length of each window; else since the last.")] = "",
    timezone: Annotated[str, typer.Option("--timezone", help="For cron, such as Europe/Berlin.")] = "UTC",
    catch_up: Annotated[
        str, typer.Option("--catch-up", help="all, latest or none of what was missed.")
    ] = "all",
    start: Annotated[str, typer.Option("--start", help="First firing not before this time.")] = "",
    meta: Annotated[list[str] | None, typer.Option("--meta", help="name=value.")] = None,
    paused: Annotated[bool, typer.Option("--paused", help="Keep it without firing.")] = False,
    core: Core = "",
    json: Json = False,
) -> None:
    """Make or replace a schedule."""
    from orca.processor import wire_query as q

    request = q.ScheduleRow(
        name=name,
        window_type=ref_of(kind),
        cron=cron,
        every_ns=duration_ns(every) if every else 0,
        length_ns=duration_ns(length) if length else 0,
        timezone=timezone,
        catch_up=catch_up,
        metadata=metadata_of(meta),
        paused=paused,
        start_ns=moment_ns(start),
    )
    with connect(core) as client:
        _show_schedules([client.ask(q.OrcaQuery.PutSchedule, request)])


@schedules.command("list")
def list_schedules(*, watch: Watch = False, core: Core = "", json: Json = False) -> None:
    """All schedules with their next firing."""
    from orca.processor import wire_query as q

    with connect(core) as client:
        watching(
            lambda: _show_schedules(client.stream(q.OrcaQuery.ListSchedules, q.ListSchedulesRequest())),
            watch=watch,
        )


@schedules.command("delete")
def delete_schedule(name: Name, *, core: Core = "", json: Json = False) -> None:
    """End a schedule."""
    from orca.processor import wire_query as q

    with connect(core) as client:
        client.ask(q.OrcaQuery.DeleteSchedule, q.DeleteScheduleRequest(name=name))
    show([{"deleted": name}], ["deleted"])


def _show_schedules(rows: Iterable[Any]) -> None:
    found = [
        {
            "name": row.name,
            "type": f"{row.window_type.name}_{row.window_type.version}",
            "when": row.cron or f"every {row.every_ns / 1e9:g} s",
            "timezone": row.timezone,
            "catch_up": row.catch_up,
            "paused": row.paused,
            "next": time_text(row.next_ns),
            "last": time_text(row.last_ns),
            "metadata": jsonlib.loads(row.metadata or "{}"),
        }
        for row in rows
    ]
    columns = ["name", "type", "when", "timezone", "catch_up", "paused", "next", "last"]
    show(found, columns, empty="no schedules: orca schedules put --help")


@db.command("status")
def status(*, watch: Watch = False, core: Core = "", json: Json = False) -> None:
    """How much is stored, open and failed."""
    from orca.processor import wire_query as q

    def draw() -> None:
        row = client.ask(q.OrcaQuery.GetStatus, q.GetStatusRequest())
        found = {field.name: getattr(row, field.name) for field in row.DESCRIPTOR.fields}
        found["started"] = time_text(row.started_ns)
        if wants_json():
            print_json(found)
            return
        for name in (
            "version",
            "store",
            "started",
            "windows",
            "results",
            "open_runs",
            "active_runs",
            "failed_runs",
        ):
            echo(f"{name.replace('_', ' '):12} {found[name]}")
        echo(f"{'processors':12} {row.processors_serving} of {row.processors} serving")

    with connect(core) as client:
        watching(draw, watch=watch)


@db.command("sql")
def sql(
    statement: Annotated[str, typer.Argument(help="One reading statement.")],
    *,
    limit: Annotated[int, typer.Option("--limit", "-n", help="At most so many rows.")] = 1000,
    core: Core = "",
    json: Json = False,
) -> None:
    """Ask the store; it cannot be changed this way."""
    from orca.processor import wire_query as q

    with connect(core) as client:
        rows = client.stream(q.OrcaQuery.Sql, q.SqlRequest(statement=statement, limit=limit))
        names = jsonlib.loads(next(rows).values)
        found = [dict(zip(names, jsonlib.loads(row.values), strict=True)) for row in rows]
    show(found, names, empty="no rows")


@db.command("backup")
def backup(
    target: Annotated[Path | None, typer.Argument(help="A new file; else one in the core's folder.")] = None,
    *,
    core: Core = "",
    json: Json = False,
) -> None:
    """Copy the store while it is in use."""
    from orca.processor import wire_query as q

    if target is not None and target.exists():
        raise UsageError(f"{target} exists", hint="choose another name")
    with connect(core) as client:
        row = client.ask(q.OrcaQuery.Backup, q.BackupRequest(), timeout_s=600)
    path = Path(row.path)
    if target is not None:
        shutil.move(path, target)
        path = target
    show([{"path": str(path), "size_bytes": row.size_bytes}], ["path", "size_bytes"])


@db.command("restore")
def restore(
    source: Annotated[Path, typer.Argument(help="A backup.")],
    *,
    folder: Folder = Path(".orca"),
    json: Json = False,
) -> None:
    """Put a backup in place of a stopped core's store; the present one is kept beside it."""
    from orca.orchestrator.restore import restore_store

    if os.environ.get("ORCA_CORE_DATABASE"):
        raise UsageError(
            "the store is in PostgreSQL (ORCA_CORE_DATABASE), which is restored by its own tools",
            hint="orca stop; pg_restore --clean --if-exists --dbname=DATABASE orca.dump",
        )
    kept = restore_store(source, folder)
    show([{"restored": str(folder / "orca.db"), "kept": str(kept or "")}], ["restored", "kept"])


@db.command("retain")
def retain(
    *,
    older_than: Annotated[str, typer.Option("--older-than", help="Delete what is older, such as 90d.")] = "",
    keep: Annotated[int, typer.Option("--keep", help="Keep so many of the newest windows.")] = 0,
    core: Core = "",
    json: Json = False,
) -> None:
    """Delete finished windows by age and by number."""
    from orca.processor import wire_query as q

    if not older_than and not keep:
        raise UsageError("say what to keep", hint="orca db retain --older-than 90d")
    request = q.RetainRequest(older_than_ns=moment_ns(f"-{older_than}") if older_than else 0, keep=keep)
    with connect(core) as client:
        row = client.ask(q.OrcaQuery.Retain, request, timeout_s=600)
    show([{"deleted": row.deleted}], ["deleted"])


@token.command("create")
def create_token(
    name: Name,
    *,
    scope: Annotated[list[str], typer.Option("--scope", help="emit, register, read or admin.")],
    core: Core = "",
    json: Json = False,
) -> None:
    """Make a token; it is shown this once."""
    from orca.processor import wire_query as q

    with connect(core) as client:
        row = client.ask(q.OrcaQuery.CreateToken, q.CreateTokenRequest(name=name, scopes=scope))
    if wants_json():
        print_json({"name": name, "token": row.token})
    else:
        echo(row.token)


@token.command("list")
def list_tokens(*, core: Core = "", json: Json = False) -> None:
    """All tokens, without themselves."""
    from orca.processor import wire_query as q

    with connect(core) as client:
        found = [
            {"name": row.name, "scopes": list(row.scopes), "created": time_text(row.created_ns)}
            for row in client.stream(q.OrcaQuery.ListTokens, q.ListTokensRequest())
        ]
    show(found, ["name", "scopes", "created"], empty="no tokens")


@token.command("delete")
def delete_token(name: Name, *, core: Core = "", json: Json = False) -> None:
    """Refuse a token from now on."""
    from orca.processor import wire_query as q

    with connect(core) as client:
        client.ask(q.OrcaQuery.DeleteToken, q.DeleteTokenRequest(name=name))
    show([{"deleted": name}], ["deleted"])


lists(schedules, "Windows that the core emits by itself; without a command: all schedules.", list_schedules)
lists(db, "The store: SQL, backup, restore, retention; without a command: its numbers.", status)
lists(token, "Who may call this core; without a command: all tokens.", list_tokens)
