"""What users of a machine hold: state values, results, effects, errors."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeAlias, cast

from orca.common.errors import OrcaError, UsageError

__all__ = [
    "ConcurrentUpdateError",
    "Context",
    "Effect",
    "EffectResult",
    "EffectStatus",
    "MachineNotActiveError",
    "MissingHandlerError",
    "ReentrantSendError",
    "RunIdError",
    "StateValue",
    "TransitionResult",
    "ValueNotJsonError",
]

Context: TypeAlias = dict[str, Any]
"""The context of a machine: JSON values by field."""


class MachineNotActiveError(OrcaError, RuntimeError):
    """An event was sent to a machine that was not started, or was stopped."""

    code = "MACHINE_NOT_ACTIVE"


class ReentrantSendError(OrcaError, RuntimeError):
    """An action waited for an event that its own machine can only handle after the action.

    The event itself is queued and will be handled.
    """

    code = "REENTRANT_SEND"


class MissingHandlerError(OrcaError, LookupError):
    """A strict machine has no handler for something it declares.

    Attributes:
        missing: What is missing, as `OrcaMachine.missing_handlers` gives it.
    """

    code = "MISSING_HANDLER"

    def __init__(self, machine: str, missing: tuple[str, ...]) -> None:
        super().__init__(
            f"machine {machine!r} has no handler for: {', '.join(missing)}",
            hint="register_action(name, handler), or start it without strict=True",
        )
        self.missing = missing


class ConcurrentUpdateError(OrcaError, RuntimeError):
    """Somebody else saved the same run meanwhile; nothing of this event is stored.

    Attributes:
        run_id: The run.
        expected: The sequence number that this machine saw last.
        found: The sequence number in the store.
    """

    code = "CONCURRENT_UPDATE"

    def __init__(self, run_id: str, expected: int, found: int) -> None:
        super().__init__(
            f"run {run_id!r} was saved by somebody else: number {found} is stored, this machine saw {expected}",
            hint="load the run again and send the event once more",
        )
        self.run_id = run_id
        self.expected = expected
        self.found = found


class RunIdError(UsageError):
    """A run id that cannot safely name a file or a row."""

    code = "RUN_ID"


class ValueNotJsonError(OrcaError, TypeError):
    """A value that JSON cannot hold exactly; the event had no effect.

    Attributes:
        field: Where it is, as a dotted path into the context; of an event, into its payload.
    """

    code = "VALUE_NOT_JSON"

    def __init__(self, machine: str, where: str, why: str, *, place: str = "") -> None:
        super().__init__(
            f"machine {machine!r}: the value of {place or f'context field {where!r}'} cannot be stored: {why}",
            hint="store text, numbers, booleans, null, lists and string-keyed maps",
        )
        self.field = where


class EffectStatus:
    """The outcomes of an effect."""

    SUCCESS: ClassVar[str] = "success"
    FAILURE: ClassVar[str] = "failure"


@dataclass(slots=True)
class Effect:
    """An operation that a handler carries out for an action declared ``+ Effect<T>``.

    Attributes:
        type: The ``T``.
        payload: ``action``, ``context`` and ``event`` (the payload of the event).
        id: Stable over retries and restarts where the machine is stored, for a handler that must not do a thing
            twice; empty otherwise.
    """

    type: str
    payload: dict[str, Any] = field(default_factory=dict[str, Any])
    id: str = ""


@dataclass(slots=True)
class EffectResult:
    """What an effect handler gives back.

    Attributes:
        status: `EffectStatus.SUCCESS` or `EffectStatus.FAILURE`.
        data: A mapping is merged into the context.
        error: Why it failed.
    """

    status: str
    data: Any = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class TransitionResult:
    """What became of an event.

    Attributes:
        taken: Whether a transition was taken.
        from_state: The state before, dotted leaves joined by ``", "``.
        to_state: The state after, None when nothing was taken.
        to_state_leaf: The name of the first leaf after.
        guard_failed: Whether there were transitions but no guard held.
        error: Why nothing was taken; None for an event that is ignored.
        ignored: Whether an active state drops the event.
    """

    taken: bool
    from_state: str
    to_state: str | None = None
    to_state_leaf: str | None = None
    guard_failed: bool = False
    error: str | None = None
    ignored: bool = False


StateTree: TypeAlias = "str | dict[str, Any]"


class StateValue:
    """Where a machine is: a name, or nested dictionaries of active states and regions.

    Equal to another value, to the plain name, to the dotted text and to the dictionary that it stands for.

    Example:
        >>> value = StateValue({"combat": {"fighting": {}}})
        >>> str(value), value.leaf(), value.is_compound(), value == "combat.fighting"
        ('combat.fighting', 'fighting', True, True)
    """

    __slots__ = ("_text", "_tree")

    def __init__(self, value: str | Mapping[str, Any]) -> None:
        self._tree: StateTree = value if isinstance(value, str) else cast("dict[str, Any]", value)
        self._text: str | None = None

    @property
    def value(self) -> StateTree:
        """The plain name, or a fresh copy of the nested dictionaries: a state value never changes."""
        return copy.deepcopy(self._tree)

    def __str__(self) -> str:
        if self._text is None:
            self._text = ", ".join(self.paths())
        return self._text

    def __repr__(self) -> str:
        return f"StateValue({self._tree!r})"

    def __eq__(self, other: object) -> bool:
        if isinstance(other, StateValue):
            return str(self) == str(other)
        if isinstance(other, str):
            return str(self) == other
        return self._tree == other if isinstance(other, Mapping) else NotImplemented

    def __hash__(self) -> int:
        return hash(str(self))

    def is_compound(self) -> bool:
        """Whether it is nested."""
        return not isinstance(self._tree, str)

    def leaf(self) -> str:
        """The name of the first active leaf."""
        return self.leaves()[0]

    def leaves(self) -> list[str]:
        """The names of all active leaves, one for each region."""
        return [path.rpartition(".")[2] for path in self.paths()]

    def paths(self) -> list[str]:
        """The dotted paths of all active leaves."""
        if isinstance(self._tree, str):
            return [self._tree]
        found: list[str] = []
        pending: list[tuple[str, Any]] = [(name, inner) for name, inner in reversed(list(self._tree.items()))]
        while pending:
            path, inner = pending.pop()
            if isinstance(inner, Mapping) and inner:
                below = cast("Mapping[str, Any]", inner)
                pending.extend((f"{path}.{name}", value) for name, value in reversed(list(below.items())))
            elif isinstance(inner, str):
                found.append(f"{path}.{inner}")
            else:
                found.append(path)
        return found

    def parent_names(self) -> list[str]:
        """The names of the outermost active states when nested."""
        return [] if isinstance(self._tree, str) else list(self._tree)


def mapping_of(value: object) -> Mapping[str, Any] | None:
    """A mapping as it is, anything else as None."""
    return cast("Mapping[str, Any]", value) if isinstance(value, Mapping) else None
