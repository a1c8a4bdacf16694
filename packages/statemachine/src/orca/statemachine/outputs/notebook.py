"""What a notebook shows for a machine: the drawing, and Mermaid or plain text where drawings are not shown."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orca.statemachine.outputs.mermaid import to_mermaid
from orca.statemachine.outputs.svg import to_svg

if TYPE_CHECKING:
    from collections.abc import Collection

    from orca.statemachine.model import MachineDef

__all__ = ["mime_bundle"]


def mime_bundle(machine: MachineDef, *, active: Collection[str] = ()) -> dict[str, str]:
    """The representations of a machine by MIME type, for ``_repr_mimebundle_``.

    Args:
        machine: The definition.
        active: Paths of active states to highlight.
    """
    return {
        "image/svg+xml": to_svg(machine, active=active),
        "text/vnd.mermaid": to_mermaid(machine),
        "text/plain": f"<machine {machine.name}: {sum(1 for _ in machine.walk())} states>",
    }
