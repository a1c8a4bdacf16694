"""Drawings of stored runs, for programs that find this function under the entry-point group ``orca.diagrams``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orca.statemachine.loading import parse_document
from orca.statemachine.outputs.svg import to_svg

if TYPE_CHECKING:
    from collections.abc import Collection

__all__ = ["draw"]


def draw(source: str, active: Collection[str] = ()) -> str:
    r"""An SVG element of a definition as a store keeps it.

    Args:
        source: One machine in either notation.
        active: Paths of states to highlight.

    Raises:
        ParseError: It is none.
        UsageError: More states than a drawing can hold.

    Example:
        >>> picture = draw("machine Lamp\nstate off [initial]\n", ["off"])
        >>> picture.startswith("<svg"), 'class="state active"' in picture
        (True, True)
    """
    return to_svg(parse_document(source).machines[0], active=active)
