"""The routes, and how faults look."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Route

from orca.common.errors import OrcaError
from orca.orchestrator.dashboard import actions, data, foreign, insight, pages
from orca.orchestrator.dashboard.site import STATIC, Site
from orca.orchestrator.errors import InvalidFieldError, NotFoundError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.requests import Request

    from orca.orchestrator.dashboard.stream import Streams
    from orca.orchestrator.server import CoreServer

__all__ = ["build"]

logger = logging.getLogger(__name__)

_FOREVER = "public, max-age=31536000, immutable"
# Not by the module mimetypes, which reads the system's whole list into memory.
_SERVED = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}


def build(server: CoreServer, streams: Streams) -> Starlette:
    """The application of one core.

    Args:
        server: Whose core.
        streams: The live news.
    """
    site = Site(server)

    def on(handler: Callable[[Site, Request], Awaitable[Response]]) -> Callable[[Request], Any]:
        async def handle(request: Request) -> Response:
            # Before anything is read: what happens from now on may not be on the page.
            request.state.begun_ns = site.now_ns()
            return await handler(site, request)

        return handle

    async def failed(request: Request, error: Exception) -> Response:
        return _fault(site, request, error)

    routes = [Route("/events", streams.respond), Route("/static/{name:path}", _static)]
    routes += [
        Route(path, on(handler))
        for path, handler in (*pages.ROUTES, *insight.ROUTES, *foreign.ROUTES, *data.ROUTES)
    ]
    routes += [Route(path, on(handler), methods=["POST"]) for path, handler in actions.ROUTES]
    handlers: dict[Any, Any] = {HTTPException: failed, OrcaError: failed, 500: failed}
    return Starlette(routes=routes, exception_handlers=handlers)


def _fault(site: Site, request: Request, error: Exception) -> Response:
    """A fault as a page, or as a piece of one where htmx asked."""
    status, text, hint = 500, "Something went wrong; the core's log says more.", ""
    if isinstance(error, HTTPException):
        status, text = error.status_code, str(error.detail)
    elif isinstance(error, OrcaError):
        status = 404 if isinstance(error, NotFoundError) else 422
        text, hint = str(error.message), error.hint
        if isinstance(error, InvalidFieldError):
            text = "; ".join(f"{fault.field} {fault.description}" for fault in error.faults)
    else:
        logger.error("a page failed: %s %s", request.method, request.url.path, exc_info=error)
    if request.method == "POST":
        return site.fragment("said.html", status=status, failed=True, text=text, hint=hint, links=[])
    return site.page(
        request, "fault.html", "Not found" if status == 404 else "Fault", status=status, text=text, hint=hint
    )


async def _static(request: Request) -> Response:
    """A file of ours: scripts and styles, read anew for the few requests that browsers do not keep."""
    path = (STATIC / request.path_params["name"]).resolve()
    if not path.is_relative_to(STATIC.resolve()) or path.suffix not in _SERVED or not path.is_file():
        raise HTTPException(404)
    # The shared worker is found by its name alone, so it must be looked for anew.
    keep = _FOREVER if "v" in request.query_params else "no-cache"
    return Response(path.read_bytes(), media_type=_SERVED[path.suffix], headers={"cache-control": keep})
