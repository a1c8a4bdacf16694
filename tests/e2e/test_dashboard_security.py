"""Who is let in, over real sockets: every route that the router has, with foreign hosts and forged origins."""

from __future__ import annotations

import asyncio
import re
import tempfile
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from dashboard_cores import Core
from orca.orchestrator.dashboard.app import build
from orca.orchestrator.dashboard.stream import Streams
from orca.orchestrator.server import open_core
from orca.orchestrator.settings import CoreSettings


async def _routes() -> list[tuple[str, str]]:
    """Method and path of every route, from the router itself."""
    with tempfile.TemporaryDirectory() as folder:
        server = await open_core(CoreSettings(folder=Path(folder) / "core"))
        found = [
            (method, re.sub(r"{\w+(:\w+)?}", "1", route.path))
            for route in build(server, Streams(server.core, {})).routes
            for method in sorted(route.methods or ())
        ]
        await server.core.store.close()
        return found


ROUTES = asyncio.run(_routes())
POSTS = [path for method, path in ROUTES if method == "POST"]


def ask(core: Core, path: str, method: str = "GET", **headers: str) -> tuple[int, dict[str, str]]:
    """One plain request; redirects and faults are answers."""
    request = urllib.request.Request(core.base + path, method=method, data=b"" if method == "POST" else None)
    for name, value in headers.items():
        request.add_header(name.replace("_", "-"), value)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, {name.lower(): value for name, value in answer.headers.items()}
    except urllib.error.HTTPError as error:
        return error.code, {name.lower(): value for name, value in error.headers.items()}


def test_the_router_was_read() -> None:
    paths = {path for _, path in ROUTES}
    assert {
        "/",
        "/windows",
        "/runs/1",
        "/events",
        "/static/1",
        "/diagrams/1",
        "/export/results.parquet",
    } <= paths
    assert len(POSTS) >= 7
    assert {method for method, _ in ROUTES} == {"GET", "HEAD", "POST"}


@pytest.mark.parametrize(("method", "path"), [*ROUTES, ("GET", "/nowhere"), ("POST", "/"), ("DELETE", "/")])
def test_a_foreign_host_and_an_unknown_browser_are_refused(busy: Core, method: str, path: str) -> None:
    for host in (
        "evil.example",
        f"evil.example:{busy.port}",
        "127.0.0.1",
        f"127.0.0.1.evil.example:{busy.port}",
    ):
        status, headers = ask(busy, path, method, Host=host)
        assert status == 421, host
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "access-control-allow-origin" not in headers
    if not path.startswith("/static"):
        assert ask(busy, path, method)[0] == 401
        assert ask(busy, path, method, Cookie="orca=guessed")[0] == 401


@pytest.mark.parametrize("path", POSTS)
def test_the_csrf_matrix(visit: Any, empty: Core, path: str) -> None:
    view = visit(empty)
    cookie = "; ".join(f"{one['name']}={one['value']}" for one in view.context.cookies())
    assert all(one["httpOnly"] and one["sameSite"] == "Lax" for one in view.context.cookies())
    origins = (
        "",
        "null",
        "http://evil.example",
        f"http://127.0.0.1:{empty.port + 1}",
        "https" + empty.base[4:],
    )
    for origin in (*origins, empty.base):
        for header in ("", "1"):
            for site in ("", "same-origin", "same-site", "cross-site"):
                extra = {"Origin": origin, "X-Orca": header, "Sec-Fetch-Site": site}
                status, headers = ask(
                    empty,
                    path,
                    "POST",
                    Cookie=cookie,
                    **{key: value for key, value in extra.items() if value},
                )
                allowed = origin == empty.base and header == "1" and site in ("", "same-origin")
                assert (status in (404, 422)) is allowed, (origin, header, site, status)
                assert allowed or status == 403, (origin, header, site, status)
                assert "access-control-allow-origin" not in headers


def test_no_route_changes_anything_by_get(visit: Any, empty: Core) -> None:
    view = visit(empty)
    for path in POSTS:
        answer = view.context.request.get(empty.base + path)
        assert answer.status == 405, path


def test_the_link_works_once(chromium: Any, busy: Core) -> None:
    link = busy.link()
    first, second = chromium.new_context(), chromium.new_context()
    assert first.new_page().goto(link).status == 200
    assert second.new_page().goto(link).status == 401
    assert busy.link() != link
    first.close()
    second.close()


def test_a_page_elsewhere_can_neither_post_nor_read_here(chromium: Any, busy: Core) -> None:
    """The browser itself, known to the core, on a page of another origin."""
    context = chromium.new_context()
    context.new_page().goto(busy.link())
    page = context.new_page()
    page.goto("data:text/html,<title>elsewhere</title>")
    for options in ({"method": "POST", "headers": {"X-Orca": "1"}}, {"method": "POST"}, {"method": "GET"}):
        text = page.evaluate(
            "([address, options]) => fetch(address, {...options, credentials: 'include'})"
            ".then((answer) => String(answer.status), (error) => 'refused')",
            [busy.base + "/actions/runs/1/replay", options],
        )
        assert text == "refused", options
    context.close()
