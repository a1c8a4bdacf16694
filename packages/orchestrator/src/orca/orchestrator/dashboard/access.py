"""Who may see the pages: hosts, links that work once, signed cookies, and requests that are really ours."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

__all__ = ["SESSION_S", "Access", "load_secret"]

SECRET_BYTES = 32
SECRET_FILE = "dashboard.key"  # noqa: S105 - a file's name
SESSION_S = 30 * 86_400
"""How long a browser stays known, in seconds; the key outlives restarts, so an open page reconnects by itself."""

SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
OUR_HEADER = "x-orca"


def load_secret(folder: Path) -> bytes:
    """The key that signs this core's cookies, made at the first start, readable by the user alone."""
    path = folder / SECRET_FILE
    try:
        key = path.read_bytes()
    except FileNotFoundError:
        key = b""
    if len(key) >= SECRET_BYTES:
        return key
    key = secrets.token_bytes(SECRET_BYTES)
    draft = folder / f"{SECRET_FILE}.{os.getpid()}"
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(key)
    draft.replace(path)
    return key


class Access:
    """The rules of one core's pages.

    Args:
        secret: Signs cookies.
        port: Where the pages listen.
        used: Is called after a link was used and replaced.
        now: Seconds since 1970.

    Example:
        >>> access = Access(b"k" * 32, port=33671)
        >>> access.host_allowed("localhost:33671"), access.host_allowed("evil.example")
        (True, False)
        >>> cookie = access.enter(access.token)
        >>> access.knows(cookie)
        True
        >>> access.enter("guessed")
        ''
    """

    def __init__(
        self,
        secret: bytes,
        *,
        port: int,
        used: Callable[[], None] = lambda: None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._secret = secret
        self._used = used
        self._now = now
        self.port = port
        self.token = secrets.token_urlsafe(SECRET_BYTES)
        self.hosts = frozenset(f"{name}:{port}" for name in ("127.0.0.1", "localhost", "[::1]"))
        # Browsers keep cookies by host, not by port: two cores side by side need two names.
        self.cookie = f"orca_{hashlib.sha256(b'name' + secret).hexdigest()[:8]}"

    def link(self) -> str:
        """The address to print; it lets one browser in, once."""
        return f"http://127.0.0.1:{self.port}/?token={self.token}"

    def host_allowed(self, host: str) -> bool:
        """Whether a Host header names this machine; anything else is somebody's rebound name."""
        return host.lower() in self.hosts

    def enter(self, token: str) -> str:
        """The cookie for whoever shows the one-time token, or "" for a wrong or used one."""
        if not hmac.compare_digest(token.encode(), self.token.encode()):
            return ""
        self.token = secrets.token_urlsafe(SECRET_BYTES)
        self._used()
        content = f"{int(self._now()) + SESSION_S}.{secrets.token_urlsafe(16)}"
        return f"{content}.{self._sign(content)}"

    def knows(self, cookie: str) -> bool:
        """Whether a cookie is ours and not too old."""
        content, _, signature = cookie.rpartition(".")
        if not content or not hmac.compare_digest(signature.encode(), self._sign(content).encode()):
            return False
        return int(content.partition(".")[0]) > self._now()

    def may_change(self, headers: Mapping[str, str]) -> bool:
        """Whether an unsafe request comes from our own pages.

        A form elsewhere cannot set our header; a script elsewhere has another origin. Both are asked for.
        """
        origin = headers.get("origin", "")
        host = headers.get("host", "")
        same = origin == f"http://{host}" and headers.get("sec-fetch-site", "same-origin") == "same-origin"
        return same and headers.get(OUR_HEADER, "") == "1"

    def _sign(self, content: str) -> str:
        return hmac.new(self._secret, content.encode(), hashlib.sha256).hexdigest()
