"""What every code means, with a text that yields it and the same text mended.

Each module in `MODULES` holds the entries of one part of the package in ``ENTRIES``.
"""

from __future__ import annotations

from functools import lru_cache
from importlib import import_module
from typing import TYPE_CHECKING, Final, cast

from orca.common.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from orca.statemachine.catalogue.entry import Entry

__all__ = ["MODULES", "entries", "explain"]

MODULES: Final = ("loading", "names", "tables", "behaviour", "properties", "deciding")


@lru_cache(maxsize=1)
def entries() -> Mapping[str, Entry]:
    """All entries by code, in the order of their modules."""
    found: dict[str, Entry] = {}
    for module in MODULES:
        for entry in cast("Sequence[Entry]", import_module(f"{__name__}.{module}").ENTRIES):
            found[entry.code] = entry
    return found


def explain(code: str) -> Entry:
    """The entry of a code, in any case.

    Raises:
        UsageError: There is no such code; the message names the nearest one.
    """
    found = entries().get(code.upper())
    if found is not None:
        return found
    from orca.statemachine._scope import nearest  # noqa: PLC0415 - only for the message

    known = nearest(code.upper(), entries())
    hint = f"did you mean {known}?" if known else "orca machine explain --list"
    raise UsageError(f"there is no code `{code}`", hint=hint)
