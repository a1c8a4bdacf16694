"""Taking secrets out of text: what a log line, an error message or a listing must never show.

A pure function over text. It knows secrets by their surroundings (``password=``, ``Bearer``, the user part of
a URL) and by value, for those that it was told.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["MASK", "SECRET_LENGTH_MIN", "Redactor", "is_secret_name", "redact", "redact_urls"]

#: What stands where a secret stood.
MASK = "***"

#: Shorter values are not looked for: masking every "a" would hide the text and not the secret.
SECRET_LENGTH_MIN = 4

_NAMES = (
    r"(?:pass(?:word|wd|phrase)|pwd|secret|token|api[_-]?key|access[_-]?key|private[_-]?key|client[_-]?secret"
    r"|authorization|cookie|credentials?)"
)
_SECRET_NAME = re.compile(_NAMES, re.IGNORECASE)

# Each pattern begins at a fixed character or word and repeats one class only, so time is linear in the text.
_USERINFO = re.compile(r"(?<=://)[^\s/@'\"<>]+@")
_SCHEME = re.compile(r"\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]{4,}", re.IGNORECASE)
_ASSIGNED = re.compile(
    r"("
    + _NAMES
    + r"[\"']?\s{0,4}[=:]\s{0,4})(?!(?:bearer|basic)\s)(\"[^\"]*\"|'[^']*'|[^\s,;&\"'(){}\[\]]+)",
    re.IGNORECASE,
)


def is_secret_name(name: str) -> bool:
    """Say whether a value of this name is to be masked.

    Example:
        >>> is_secret_name("core_token"), is_secret_name("tokens_per_s"), is_secret_name("port")
        (True, True, False)
    """
    return _SECRET_NAME.search(name) is not None


class Redactor:
    """Masks what looks like a secret, and the secrets that it is given.

    Args:
        secrets: Values to mask wherever they stand; those shorter than `SECRET_LENGTH_MIN` are left out.

    Example:
        >>> Redactor(["hunter2"])("GET grpc://me:pw@core:1 password=x hunter2 Authorization: Bearer abcdef")
        'GET grpc://***@core:1 password=*** *** Authorization: Bearer ***'
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        # The longest first, so that a secret that contains another one goes as a whole.
        texts = {form for text in secrets if len(text) >= SECRET_LENGTH_MIN for form in _forms(text)}
        known = sorted(texts, key=len, reverse=True)
        self._known = re.compile("|".join(map(re.escape, known))) if known else None

    def __call__(self, text: str) -> str:
        """Return ``text`` with its secrets masked."""
        if self._known is not None:
            text = self._known.sub(MASK, text)
        text = _SCHEME.sub(rf"\1 {MASK}", redact_urls(text))
        return _ASSIGNED.sub(rf"\1{MASK}", text)


def redact_urls(text: str) -> str:
    """Mask the user part of URLs and nothing else: for messages that speak of passwords without telling one.

    Example:
        >>> redact_urls("no answer from grpc://me:pw@core:1; ORCA_TOKEN: not set")
        'no answer from grpc://***@core:1; ORCA_TOKEN: not set'
    """
    return _USERINFO.sub(f"{MASK}@", text) if "://" in text else text


def _forms(secret: str) -> set[str]:
    """Return how a secret looks as it is, and inside Python's and JSON's quotes, bytes and URLs."""
    import json  # noqa: PLC0415  only those who have secrets to mask
    from urllib.parse import quote  # noqa: PLC0415

    # With both quotes before it, the secret's own single quotes are escaped; alone they may not be.
    both = "'\""
    escaped = [repr(both + secret)[4:-1], ascii(both + secret)[4:-1], repr((both + secret).encode())[5:-1]]
    return {
        secret,
        *escaped,
        *(form.replace("\\'", "'") for form in escaped),
        json.dumps(secret)[1:-1],
        json.dumps(secret, ensure_ascii=False)[1:-1],
        quote(secret),
        quote(secret, safe=""),
    }


#: Masks what looks like a secret; knows no values.
redact = Redactor()
