"""What every request passes before any route sees it, and the headers that every answer gets."""

from __future__ import annotations

from http.cookies import CookieError, SimpleCookie
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlencode

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import RedirectResponse, Response

from orca.orchestrator.dashboard.access import SAFE_METHODS, SESSION_S

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from orca.orchestrator.dashboard.access import Access

__all__ = ["BODY_BYTES_MAX", "Gate"]

BODY_BYTES_MAX = 256 * 1024
"""The largest form: a description of 10,000 characters, percent-encoded, with room for metadata."""

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "worker-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "content-security-policy": _POLICY,
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}
_KNOCK = (
    "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>"
    "<title>Orca</title><main><h1>This browser is not known yet</h1><p>Open the link that <code>orca status</code>"
    " prints. It works once.</p></main></html>"
)


class Gate:
    """Refuses foreign hosts, unknown browsers and forged requests.

    Args:
        app: What lies behind.
        access: The rules.
    """

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app = app
        self._access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            return
        headers = Headers(scope=scope)

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                ours = MutableHeaders(scope=message)
                for name, value in {**_HEADERS, "cache-control": "no-store"}.items():
                    ours.setdefault(name, value)
            await send(message)

        refusal = self._refusal(scope, headers)
        await (refusal or self._app)(scope, receive, with_headers)

    def _refusal(self, scope: Scope, headers: Headers) -> Response | None:
        """The answer to what goes no further."""
        access = self._access
        hosts = headers.getlist("host")
        if len(hosts) != 1 or not access.host_allowed(hosts[0]):
            return Response("This name is not served here.\n", 421, media_type="text/plain")
        query = scope["query_string"].decode("latin-1")
        entered = self._entered(scope, query)
        if entered is not None:
            return entered
        if scope["path"].startswith("/static/"):
            return None
        if not access.knows(_cookie(headers, access.cookie)):
            return Response(_KNOCK, 401, media_type="text/html")
        if scope["method"] not in SAFE_METHODS and not access.may_change(headers):
            return Response("This request does not come from these pages.\n", 403, media_type="text/plain")
        length = headers.get("content-length", "0")
        if not length.isdigit() or int(length) > BODY_BYTES_MAX:
            return Response(f"At most {BODY_BYTES_MAX} bytes.\n", 413, media_type="text/plain")
        return None

    def _entered(self, scope: Scope, query: str) -> Response | None:
        """Turn a one-time token into a cookie, and take it out of the address."""
        values = parse_qs(query, keep_blank_values=True)
        token = values.pop("token", [""])[0]
        if not token or scope["method"] != "GET":
            return None
        cookie = self._access.enter(token)
        if not cookie:
            return None
        rest = urlencode(values, doseq=True)
        # One leading slash: "//host" would lead elsewhere.
        path = "/" + scope["path"].lstrip("/\\")
        answer = RedirectResponse(path + (f"?{rest}" if rest else ""), 303)
        answer.set_cookie(self._access.cookie, cookie, max_age=SESSION_S, httponly=True, samesite="lax")
        return answer


def _cookie(headers: Headers, name: str) -> str:
    try:
        found = SimpleCookie(headers.get("cookie", ""))
    except CookieError:
        return ""
    return found[name].value if name in found else ""
