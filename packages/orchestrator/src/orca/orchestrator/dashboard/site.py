"""What all pages share: the core, the templates, and how a page is put together."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.responses import HTMLResponse

from orca.orchestrator import __version__
from orca.orchestrator.dashboard import shown
from orca.orchestrator.errors import FieldFault, InvalidFieldError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from starlette.requests import Request

    from orca.orchestrator.core import Core
    from orca.orchestrator.server import CoreServer

__all__ = ["STATIC", "Site", "whole"]

FOLDER = Path(__file__).parent
STATIC = FOLDER / "static"

# What stands in the navigation: path, title.
_MENU = (
    ("/", "Home"),
    ("/windows", "Windows"),
    ("/runs", "Runs"),
    ("/dag", "DAG"),
    ("/results", "Results"),
    ("/failures", "Failures"),
    ("/queue", "Queue"),
    ("/processors", "Processors"),
    ("/freshness", "Freshness and cost"),
    ("/machines", "State machines"),
    ("/tasks", "Tasks"),
)


def whole(text: str, field: str) -> int:
    """A whole number of a path or a form; 0 for nothing.

    Raises:
        InvalidFieldError: It is none, or too large for a row's number.
    """
    if not text:
        return 0
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise InvalidFieldError((FieldFault(field, f"is {text[:40]!r}, not a number"),))
    return int(text)


class Site:
    """One core's pages.

    Args:
        server: Whose core.
    """

    def __init__(self, server: CoreServer) -> None:
        self.server = server
        self.core: Core = server.core
        self._assets: dict[str, str] = {}
        self._env = Environment(
            loader=FileSystemLoader(FOLDER / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        # Jinja's own types know only the names that it brings itself.
        names: dict[str, Any] = self._env.globals
        filters: dict[str, Any] = self._env.filters
        names.update(asset=self.asset, orca_version=__version__, menu=_MENU)
        filters.update(
            clock=shown.clock,
            duration=shown.duration,
            pairs=shown.metadata_of,
            values=shown.values_of,
            span=shown.span,
            localtime=shown.local_input,
            ago=self.ago,
            query=urlencode,
        )

    def now_ns(self) -> int:
        """Now, by the core's clock."""
        return int(self.core.clock.now() * 1e9)

    def ago(self, ns: int) -> str:
        """How long something is past."""
        return shown.ago(ns, self.now_ns())

    def asset(self, name: str) -> str:
        """The address of a static file; it changes with its content, so browsers may keep it for ever."""
        if name not in self._assets:
            digest = hashlib.sha256((STATIC / name).read_bytes()).hexdigest()[:12]
            self._assets[name] = f"/static/{name}?v={digest}"
        return self._assets[name]

    async def fetch(self, sql: str, parameters: Sequence[Any] = ()) -> list[Mapping[str, Any]]:
        """Rows of one reading statement."""
        return await self.core.store.fetch(sql, parameters)

    def page(
        self, request: Request, template: str, title: str, *, status: int = 200, **context: Any
    ) -> HTMLResponse:
        """A whole page."""
        path = request.url.path
        address = path + (f"?{request.url.query}" if request.url.query else "")
        html = self._env.get_template(template).render(
            title=title,
            path=path,
            address=address,
            now_ns=self.now_ns(),
            begun_ms=getattr(request.state, "begun_ns", 0) / 1e6,
            **context,
        )
        return HTMLResponse(html, status)

    def fragment(self, template: str, *, status: int = 200, **context: Any) -> HTMLResponse:
        """A piece of a page, for htmx."""
        return HTMLResponse(self._env.get_template(template).render(**context), status)

    async def window_types(self) -> list[tuple[str, str]]:
        """Names and versions of all window types, for the menus of forms."""
        rows = await self.fetch("SELECT name, version FROM window_types ORDER BY name, version LIMIT 500")
        return [(row["name"], row["version"]) for row in rows]
