"""Text that every store can keep: what UTF-8 has a form for.

A Python string may hold half of a surrogate pair, which is no character; `os.fsdecode` makes such strings of file
names that are no UTF-8. No store can keep one, so all of them refuse it in the same words.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, cast

from orca.statemachine.runtime.types import ValueNotJsonError

if TYPE_CHECKING:
    from orca.statemachine.engine import Signal

__all__ = ["WHY", "check_signal", "is_writable", "not_writable", "unwritable"]

WHY: Final = (
    "it holds half of a surrogate pair, which UTF-8 has no form for (os.fsdecode makes such text of file names "
    "that are no UTF-8)"
)


def is_writable(text: str) -> bool:
    """Whether UTF-8 can hold a text."""
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def unwritable(values: Mapping[str, object]) -> str | None:
    """Where the first text is that UTF-8 cannot hold, as a dotted path; None where there is none."""
    pending: list[tuple[str, object]] = [("", values)]
    seen: set[int] = set()  # a payload is the caller's own: it may hold itself
    while pending:
        path, value = pending.pop()
        if isinstance(value, str):
            if not is_writable(value):
                return path
            continue
        if not isinstance(value, Mapping | list | tuple) or id(cast("object", value)) in seen:
            continue
        seen.add(id(cast("object", value)))
        if isinstance(value, Mapping):
            inner = cast("Mapping[object, object]", value)
            below = [(f"{path}.{key}" if path else str(key), item) for key, item in inner.items()]
            for place, _item in below:
                if not is_writable(place):
                    return place
        else:
            below = [(f"{path}[{i}]", item) for i, item in enumerate(cast("list[object]", value))]
        pending.extend(reversed(below))
    return None


def check_signal(machine: str, signal: Signal) -> None:
    """Refuse an event that no store can keep.

    Raises:
        ValueNotJsonError: Names the field of the payload.
    """
    if signal.name.isascii() and all(_is_plain(key) and _is_plain(v) for key, v in signal.payload.items()):
        return  # what most events bring
    where = unwritable(signal.payload)
    if where is not None:
        place = f"field {where!r} in the payload of event {signal.name!r}"
        raise ValueNotJsonError(machine, where, WHY, place=place)
    if not is_writable(signal.name):
        raise ValueNotJsonError(machine, signal.name, WHY, place=f"event name {signal.name!r}")


def _is_plain(value: object) -> bool:
    kind = type(value)
    if kind is str:
        return cast("str", value).isascii()
    return kind is int or kind is float or kind is bool or value is None


def not_writable(machine: str, values: Mapping[str, object]) -> ValueNotJsonError:
    """The error for a snapshot or journal entry whose JSON is not UTF-8; it names the place."""
    where = unwritable(values) or ""
    field = where.removeprefix("context.")
    place = "" if where != field else f"{where!r}"
    return ValueNotJsonError(machine, field, WHY, place=place)
