"""Independent regions as one number: the mixed-radix code of a configuration, where a step adds a constant.

When no transition leaves its region, the digits of a configuration are the places of its leaves and each transition
adds the same number wherever it is taken; an event that several regions take adds the sum of theirs. The digits are
split into two halves whose transitions are tabled, so that a configuration costs one division and two look-ups.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from orca.statemachine.engine import Arc

__all__ = ["CODES_MAX", "Product", "product_of"]

CODES_MAX: Final = 64_000_000
"""Codes that the table of visited ones has room for, one byte each."""
_HALF_MAX: Final = 1 << 20
"""Entries of the table of one half."""

Leaves = tuple[int, ...]
Move = tuple[int, str]
Steps: TypeAlias = "Mapping[int, Sequence[tuple[str, int]]]"
Arcs: TypeAlias = "Mapping[int, Sequence[tuple[str, Arc, bool]]]"


class Product:
    """The digits of a machine of independent regions.

    Args:
        digits: For each region the leaves that can be active in it, the first one first.
        moves: For each leaf the events that it alone takes, with the leaf that each leads to.
        joint: The same for events that several regions take together.
    """

    def __init__(self, digits: Sequence[Sequence[int]], moves: Steps, joint: Steps) -> None:
        self.digits = [tuple(leaves) for leaves in digits]
        self.strides: list[int] = []
        self.size = 1
        for leaves in self.digits:
            self.strides.append(self.size)
            self.size *= len(leaves)
        half, self.modulus = 0, 1
        while half < len(self.digits) - 1 and self.modulus * len(self.digits[half]) <= self.size**0.5 + 1:
            self.modulus *= len(self.digits[half])
            half += 1
        self.low = self._table(moves, range(half))
        self.high = self._table(moves, range(half, len(self.digits)))
        self.joint = sorted({event for leaves in self.digits for leaf in leaves for event, _ in joint[leaf]})
        self.low_joint = self._joint_table(joint, range(half))
        self.high_joint = self._joint_table(joint, range(half, len(self.digits)))

    def _joint_table(self, joint: Steps, places: range) -> list[tuple[int | None, ...]]:
        """For each code of some digits what each joint event adds; None where no digit takes it."""
        table: list[tuple[int | None, ...]] = [(None,) * len(self.joint)]
        for place in places:
            leaves, stride = self.digits[place], self.strides[place]
            own: list[list[int | None]] = []
            for at, leaf in enumerate(leaves):
                targets = dict(joint[leaf])
                adds = [
                    (leaves.index(targets[e]) - at) * stride if e in targets else None for e in self.joint
                ]
                own.append(adds)
            table = [
                tuple(
                    b if a is None else a if b is None else a + b for a, b in zip(before, mine, strict=True)
                )
                for mine in own
                for before in table
            ]
        return table

    def _together(self, above: int, below: int) -> list[Move]:
        """The moves of joint events."""
        found: list[Move] = []
        for event, one, other in zip(self.joint, self.low_joint[below], self.high_joint[above], strict=True):
            if one is not None or other is not None:
                found.append(((one or 0) + (other or 0), event))
        return found

    def _table(self, moves: Steps, places: range) -> list[tuple[Move, ...]]:
        """For each code of some digits the moves that they have."""
        table: list[tuple[Move, ...]] = [()]
        for place in places:
            leaves, stride = self.digits[place], self.strides[place]
            own = [
                tuple(((leaves.index(target) - at) * stride, event) for event, target in moves[leaf])
                for at, leaf in enumerate(leaves)
            ]
            table = [before + mine for mine in own for before in table]
        return table

    def leaves(self, code: int) -> Leaves:
        """The active leaves of a code."""
        found: list[int] = []
        for leaves in self.digits:
            code, at = divmod(code, len(leaves))
            found.append(leaves[at])
        return tuple(found)

    def explore(self, budget: int) -> tuple[list[int], list[int], list[str], list[int], bool]:
        """Codes by distance from 0, for each its parent and event, those without moves, and whether that is all."""
        visited = bytearray(self.size)
        visited[0] = 1
        order, parents, found_by, stuck = [0], [-1], [""], list[int]()
        low, high, modulus, joint = self.low, self.high, self.modulus, self.joint
        for at, code in enumerate(order):  # grows while it is walked
            above, below = divmod(code, modulus)
            moves = low[below] + high[above]
            if joint:
                moves = (*moves, *self._together(above, below))
            if not moves:
                stuck.append(at)
            for delta, event in moves:
                target = code + delta
                if not visited[target]:
                    visited[target] = 1
                    order.append(target)
                    parents.append(at)
                    found_by.append(event)
            if len(order) > budget:
                return order, parents, found_by, stuck, False
        return order, parents, found_by, stuck, True


def product_of(
    start: Leaves, moves: Arcs, joint: Arcs, entry: Callable[[Arc, Leaves], Leaves]
) -> Product | None:
    """The digits of a machine, or None when a transition leaves its region.

    Args:
        start: The leaves at the start.
        moves: For each leaf the transitions taken alone, and whether they leave no other leaf.
        joint: The same for transitions that several leaves take together.
        entry: What a transition enters, given a configuration in which it can be taken.
    """
    digits: list[list[int]] = []
    alone_steps: dict[int, list[tuple[str, int]]] = {}
    joint_steps: dict[int, list[tuple[str, int]]] = {}
    size = 1
    for place, first in enumerate(start):
        reached = [first]
        for leaf in reached:  # grows while it is walked
            here = (*start[:place], leaf, *start[place + 1 :])
            for arcs, steps in ((moves, alone_steps), (joint, joint_steps)):
                found = _targets(arcs[leaf], leaf, here, entry)
                if found is None:
                    return None
                steps[leaf] = found
                reached += [target for target in dict.fromkeys(t for _, t in found) if target not in reached]
        size *= len(reached)
        if size > CODES_MAX or len(reached) > _HALF_MAX:
            return None
        digits.append(reached)
    return Product(digits, alone_steps, joint_steps)


def _targets(
    arcs: Sequence[tuple[str, Arc, bool]], leaf: int, here: Leaves, entry: Callable[[Arc, Leaves], Leaves]
) -> list[tuple[str, int]] | None:
    """Where the transitions of a leaf lead, or None when one leaves the region or enters several leaves."""
    found: list[tuple[str, int]] = []
    for event, arc, alone in arcs:
        entered: Leaves = (leaf,)
        if arc.target is not None:
            entered = entry(arc, here) if alone else ()
        if len(entered) != 1:
            return None
        found.append((event, entered[0]))
    return found
