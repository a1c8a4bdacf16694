"""Take secrets out of text before it leaves the process.

Two nets: the exact values known to be secret (the API key, variables whose names say so, fields of linked
connections), and forms that carry a secret whatever its value (``://user:password@``, ``Bearer ...``,
``password=...``).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import cast

__all__ = ["MASK", "Redactor", "secrets_in_environment"]

MASK = "***"

_SECRET_NAME = re.compile(
    r"(?i)(api_?key|access_?key|private_?key|_key\b|^key$|token|secret|passw|passphrase|pwd|credential|dsn"
    r"|connection_?string|_auth\b|^auth$|authorization|cookie|signature)"
)
_VALUE_CHARS_MIN = 6
"""A shorter value (``true``, ``prod``, ``5432``) would mask ordinary words."""
_NAMED_SECRET_CHARS_MIN = 4
_SECRETS_MAX = 2_000
"""More than any environment has; it bounds the size of the compiled pattern."""

_FORMS: tuple[tuple[re.Pattern[str], str], ...] = (
    (
        re.compile(r"(?i)\b([a-z][a-z0-9+.\-]{0,30}://)[^\s/@:'\"<>]{0,200}:[^\s/'\"<>]{1,400}@"),
        rf"\1{MASK}@",
    ),
    (re.compile(r"(?i)\b([a-z][a-z0-9+.\-]{0,30}://)[^\s/@:'\"<>]{8,400}@"), rf"\1{MASK}@"),
    (re.compile(r"(?i)\b(bearer|basic)\s+[a-z0-9._~+/\-]{8,2000}=*"), rf"\1 {MASK}"),
    (
        re.compile(
            r"(?i)\b((?:[a-z0-9]+[_-])*(?:password|passwd|pwd|secret|token|api_?key|access_?key|private_?key)"
            r"[\"']?\s*[=:]\s*[\"']?)(?!\*\*\*)[^\s\"'&;,)}\]]{3,2000}"
        ),
        rf"\1{MASK}",
    ),
)


class Redactor:
    """Masks a fixed set of values and the forms that carry secrets.

    Example:
        >>> Redactor(["hunter2!"]).text("login with hunter2! at postgres://me:pw@db/x")
        'login with *** at postgres://***@db/x'
    """

    __slots__ = ("_pattern",)

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        # The longest first, so that a secret that contains another is masked whole.
        values = sorted({s for s in secrets if s and s.strip()}, key=lambda s: (-len(s), s))[:_SECRETS_MAX]
        self._pattern = re.compile("|".join(re.escape(v) for v in values)) if values else None

    def text(self, text: str) -> str:
        """Return ``text`` with every secret masked."""
        if self._pattern is not None:
            text = self._pattern.sub(MASK, text)
        for pattern, replacement in _FORMS:
            text = pattern.sub(replacement, text)
        return text


def secrets_in_environment(
    environ: Mapping[str, str], linked: Iterable[Mapping[str, object]] = ()
) -> set[str]:
    """The values worth masking: of variables with a telling name, and of linked connections.

    Args:
        environ: The environment.
        linked: The fields of each linked connection.
    """
    found: set[str] = set()
    for name, value in environ.items():
        if _SECRET_NAME.search(name):
            found.update(_variants(value, _NAMED_SECRET_CHARS_MIN))
    for fields in linked:
        for name, field in fields.items():
            chars_min = _NAMED_SECRET_CHARS_MIN if _SECRET_NAME.search(name) else _VALUE_CHARS_MIN
            for text in _leaves(field, 0):
                found.update(_variants(text, chars_min))
    return found


def _variants(value: str, chars_min: int) -> set[str]:
    """The value as it is, and its lines: a private key is printed line by line."""
    value = value.strip()
    if len(value) < chars_min or value.lower() in {"true", "false", "none", "null", "default", "public"}:
        return set()
    lines = {line.strip() for line in value.splitlines() if len(line.strip()) >= 16}
    return {value, *lines}


def _leaves(value: object, depth: int) -> list[str]:
    if isinstance(value, str):
        return [value]
    if depth > 8:
        return []
    if isinstance(value, Mapping):
        items = list(cast("Mapping[object, object]", value).values())
    elif isinstance(value, list):
        items = cast("list[object]", value)
    else:
        return []
    return [leaf for item in items for leaf in _leaves(item, depth + 1)]
