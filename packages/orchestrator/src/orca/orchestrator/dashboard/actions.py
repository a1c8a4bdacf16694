"""What people do from the pages, through the same code as the query service: emit, retry, replay, note, cancel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from orca.orchestrator import operations, queries
from orca.orchestrator.core import EmitOptions
from orca.orchestrator.dashboard import shown
from orca.orchestrator.dashboard.gate import BODY_BYTES_MAX
from orca.orchestrator.dashboard.pages import windows_where
from orca.orchestrator.dashboard.site import whole
from orca.orchestrator.errors import FieldFault, InvalidFieldError, LimitError, NotFoundError
from orca.orchestrator.model import WindowTypeRef
from orca.orchestrator.queries import Where
from orca.orchestrator.service_query import parse_object

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from orca.orchestrator.dashboard.site import Site

__all__ = ["ROUTES"]

FIELDS_MAX = 50
LINKS_MAX = 5
ORIGIN = "dashboard"


async def _form(request: Request) -> dict[str, str]:
    """The fields of a form; each once."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > BODY_BYTES_MAX:
            raise LimitError(f"the form has more than {BODY_BYTES_MAX} bytes")
    try:
        found = parse_qs(body.decode(), keep_blank_values=True, max_num_fields=FIELDS_MAX)
    except ValueError as error:
        raise InvalidFieldError((FieldFault("form", f"cannot be read: {error}"),)) from None
    return {name: values[-1] for name, values in found.items()}


def _said(site: Site, text: str, *links: tuple[str, str]) -> Response:
    return site.fragment("said.html", failed=False, text=text, hint="", links=links)


def _kind(text: str) -> WindowTypeRef:
    name, _, version = text.strip().rpartition(" ")
    if not name or not version:
        fault = FieldFault("type", "must be a name and a version, such as: Every30Second 1.0.0")
        raise InvalidFieldError((fault,))
    return WindowTypeRef(name.strip(), version)


def _span(form: dict[str, str]) -> tuple[int, int]:
    from_ns, to_ns = shown.time_ns(form.get("from", ""), "from"), shown.time_ns(form.get("to", ""), "to")
    missing = [name for name, value in (("from", from_ns), ("to", to_ns)) if not value]
    if missing:
        raise InvalidFieldError(tuple(FieldFault(name, "is missing") for name in missing))
    return from_ns, to_ns


async def emit(site: Site, request: Request) -> Response:
    """Store a window as `orca emit` does."""
    form = await _form(request)
    options = EmitOptions(force="force" in form)
    accepted = await site.core.emit(
        _kind(form.get("type", "")),
        _span(form),
        origin=form.get("origin", "").strip() or ORIGIN,
        metadata=parse_object(form.get("metadata", ""), "metadata"),
        options=options,
    )
    if accepted.duplicate:
        text = f"Window {accepted.window_id} is known already; nothing was done."
        return _said(site, text, (f"/windows/{accepted.window_id}", "its latest run"))
    if not accepted.run_id:
        return _said(site, f"Window {accepted.window_id} is stored; no algorithm is registered for its type.")
    return _said(
        site,
        f"Window {accepted.window_id} is stored.",
        (f"/runs/{accepted.run_id}", f"run {accepted.run_id}"),
    )


async def _again(site: Site, where: Where, *, failed: bool = False, reuse: bool = False) -> Response:
    made: list[int] = []
    total = 0
    work = operations.Reprocess(where, failed=failed, reuse=reuse)
    async for _, total, run_id, _ in operations.reprocess(site.core, work):  # noqa: B007 - the last one stays
        made.append(run_id)
    if not made:
        return _said(site, "Nothing to do: no finished window is meant.")
    links: list[Any] = [(f"/runs/{run_id}", f"run {run_id}") for run_id in made[:LINKS_MAX]]
    if total > LINKS_MAX:
        links.append(("/queue", "the queue"))
    return _said(site, f"{total} new {'run' if total == 1 else 'runs'}:", *links)


async def retry(site: Site, request: Request) -> Response:
    """Run again what failed in a run, and what depends on it."""
    return await _again(site, await _of_run(site, request), failed=True)


async def replay(site: Site, request: Request) -> Response:
    """Run everything of a run's window again."""
    return await _again(site, await _of_run(site, request))


async def _of_run(site: Site, request: Request) -> Where:
    run_id = whole(request.path_params["run"], "run")
    run, _, _ = await queries.read_run(site.core.store, run_id)
    where = Where()
    where.add("w.id = ?", run["window_id"])
    return where


async def reprocess(site: Site, request: Request) -> Response:
    """Run all windows of a span again."""
    form = await _form(request)
    _span(form)
    where, wanted, _ = windows_where(form)
    if wanted:
        where.add("w.metadata IS NOT NULL")
        ids = [
            row["id"]
            for row in await site.fetch(f"{queries.WINDOWS}{where.text}", where.parameters)
            if queries.matches(row["metadata"], wanted)
        ]
        where = Where()
        where.add(f"w.id IN ({', '.join(str(number) for number in ids) or 'NULL'})")
    return await _again(site, where, failed="failed" in form, reuse="reuse" in form)


async def cancel(site: Site, request: Request) -> Response:
    """End an open run; what is done stays."""
    run_id = whole(request.path_params["run"], "run")
    await operations.cancel_run(site.core, run_id)
    return _said(site, f"Run {run_id} is cancelled; what was done stays.")


async def annotate(site: Site, request: Request) -> Response:
    """Put a note on a span of time."""
    form = await _form(request)
    text = form.get("description", "").strip()
    if not text:
        raise InvalidFieldError((FieldFault("description", "is missing"),))
    algorithm, kind = form.get("algorithm", ""), form.get("type", "")
    number = await operations.put_annotation(
        site.core,
        _span(form),
        text,
        metadata=parse_object(form.get("note_metadata", ""), "metadata"),
        algorithms=[_kind(algorithm)] if algorithm else [],
        window_types=[_kind(kind)] if kind else [],
    )
    site.core.bus.publish("annotation", {"annotation_id": number})
    return _said(site, "The note is stored.")


async def forget(site: Site, request: Request) -> Response:
    """Remove a note."""
    number = whole(request.path_params["note"], "note")
    (count,) = await site.core.store.write("annotate", [("DELETE FROM annotations WHERE id = ?", (number,))])
    if count == 0:
        raise NotFoundError(f"there is no annotation {number}", hint="orca annotations list")
    site.core.bus.publish("annotation", {"annotation_id": number})
    return _said(site, "The note is gone.")


ROUTES = (
    ("/actions/emit", emit),
    ("/actions/reprocess", reprocess),
    ("/actions/annotate", annotate),
    ("/actions/annotations/{note}/delete", forget),
    ("/actions/runs/{run}/retry", retry),
    ("/actions/runs/{run}/replay", replay),
    ("/actions/runs/{run}/cancel", cancel),
)
