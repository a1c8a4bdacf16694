"""All definitions of one processor, checked together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orca.processor.definition import Definition, analyse
from orca.processor.errors import (
    BaseOrcaException,
    Fault,
    InvalidAlgorithmArgument,
    InvalidDefinitions,
    InvalidDependency,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from orca.processor.specs import AlgorithmSpec

__all__ = ["ALGORITHMS_MAX", "Registry"]

ALGORITHMS_MAX = 10_000
"""More algorithms than that on one processor are a mistake in generated code; a core plans that many in a second."""


class Registry:
    """The algorithms of one processor by full name.

    Args:
        processor: The processor's name, for messages.
    """

    def __init__(self, processor: str) -> None:
        self.processor = processor
        self._given: list[Definition] = []
        self._known: dict[str, Definition] = {}
        self._checked = 0

    def __len__(self) -> int:
        return len(self._given)

    def __iter__(self) -> Iterator[Definition]:
        return iter(self._given)

    def get(self, full_name: str) -> Definition | None:
        """A definition, or None."""
        return self._known.get(full_name)

    def add(self, definition: Definition) -> None:
        """Take a definition; nothing is checked yet, so that all mistakes can be told together."""
        self._given.append(definition)
        self._known.setdefault(definition.full_name, definition)

    def check(self) -> None:
        """Complete all definitions.

        Raises:
            InvalidDefinitions: There are mistakes; all of them are told, each with file and line.
        """
        if self._checked == len(self._given):
            return
        faults: list[Fault] = []
        for definition in self._given:
            errors = analyse(definition, self._known)
            first = self._known[definition.full_name]
            if first is not definition:
                place = f" at {first.source.file}:{first.source.line}" if first.source.file else ""
                text = f"Algorithm {definition.full_name} already exists{place}"
                errors.append(InvalidAlgorithmArgument(text, hint="give it another name or version"))
            faults += [definition.source.fault(error) for error in errors]
        if len(self._given) > ALGORITHMS_MAX:
            text = f"{len(self._given)} algorithms are more than {ALGORITHMS_MAX}"
            faults.append(Fault(InvalidAlgorithmArgument(text)))
        faults += self._cycles() if not faults else []
        if faults:
            raise InvalidDefinitions(self.processor, tuple(faults))
        self._checked = len(self._given)

    def _cycles(self) -> list[Fault]:
        """A same-window dependency that leads back to its own algorithm, with its path."""
        done: set[str] = set()
        for start in self._known:
            path: list[str] = []
            stack: list[tuple[str, Iterator[str]]] = []
            name: str | None = start
            while name is not None or stack:
                if name is not None and name in path:
                    text = " -> ".join([*path[path.index(name) :], name])
                    error: BaseOrcaException = InvalidDependency(
                        f"algorithms depend on each other in a circle: {text}"
                    )
                    return [self._known[name].source.fault(error)]
                if name is not None and name not in done:
                    path.append(name)
                    stack.append((name, self._same_window(name)))
                elif not stack:
                    break
                name = next(stack[-1][1], None)
                if name is None:
                    done.add(path.pop())
                    stack.pop()
        return []

    def _same_window(self, full_name: str) -> Iterator[str]:
        definition = self._known[full_name]
        names = [one.full_name for one in definition.dependencies if one.lookback is None]
        return iter([name for name in names if name in self._known])

    def specs(self) -> tuple[AlgorithmSpec, ...]:
        """What is announced, in the order of the definitions.

        Raises:
            InvalidDefinitions: There are mistakes.
        """
        self.check()
        return tuple(definition.spec for definition in self._given)
