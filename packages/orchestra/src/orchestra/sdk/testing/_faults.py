"""What the local webhook server can be told to do wrong."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Fault"]


@dataclass(frozen=True, slots=True)
class Fault:
    """One way to treat a request badly. Use the constructors.

    Attributes:
        kind: What happens.
        code: The HTTP status that is answered, where one is.
        keep: Whether the event counts as received all the same.
        headers: Headers of the answer.
        body: The body of the answer.
        size_bytes: Size of a body made of nothing in particular.
        pace_s: Seconds between two bytes, or before the answer.

    Example:
        >>> Fault.status(503, retry_after_s=2).headers
        (('Retry-After', '2'),)
    """

    kind: str
    code: int = 200
    keep: bool = False
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    size_bytes: int = 0
    pace_s: float = 0.0

    @classmethod
    def status(cls, code: int, *, retry_after_s: float | str | None = None, body: str = "") -> Fault:
        """Answer with a status, and a Retry-After when given (seconds, or an HTTP date as text)."""
        text = (
            retry_after_s if isinstance(retry_after_s, str) else f"{retry_after_s:g}" if retry_after_s else ""
        )
        return cls("status", code, code < 300, (("Retry-After", text),) if text else (), body.encode())

    @classmethod
    def redirect(cls, location: str, *, code: int = 302) -> Fault:
        """Send the client elsewhere."""
        return cls("status", code, headers=(("Location", location),))

    @classmethod
    def hang(cls) -> Fault:
        """Read the request and never answer."""
        return cls("hang")

    @classmethod
    def drop(cls) -> Fault:
        """Close the connection without an answer; the event is lost."""
        return cls("drop")

    @classmethod
    def drop_after(cls) -> Fault:
        """Take the event, then close the connection without an answer."""
        return cls("drop", keep=True)

    @classmethod
    def delay(cls, delay_s: float) -> Fault:
        """Answer properly, but late."""
        return cls("delay", keep=True, pace_s=delay_s)

    @classmethod
    def slow_loris(cls, *, pace_s: float = 0.05, code: int = 200) -> Fault:
        """Send the answer byte by byte, for ever."""
        return cls("loris", code, pace_s=pace_s)

    @classmethod
    def huge_body(cls, size_bytes: int, *, code: int = 200) -> Fault:
        """Answer with a body of that size."""
        return cls("huge", code, code < 300, size_bytes=size_bytes)
