"""For tests of machines: time that the test owns, recorded event sequences, coverage of transitions.

    async with Harness(definition) as harness:
        await harness.send("PAY")
        await harness.advance(30)            # thirty seconds pass, timers fire in order
        assert harness.machine.state == "expired"
        harness.recording.save("expired.jsonl")

Nothing here depends on a test framework.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from orca.common.errors import UsageError
from orca.common.testing import FakeClock
from orca.statemachine.runtime.bus import Event, EventBus, EventType
from orca.statemachine.runtime.machine import OrcaMachine

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    from orca.statemachine.engine import Arc, Plan, Work
    from orca.statemachine.model import MachineDef
    from orca.statemachine.runtime.types import TransitionResult

__all__ = ["Harness", "Recording", "RecordingMismatchError", "RecordingStep", "TransitionCoverage"]


class RecordingMismatchError(AssertionError):
    """A machine did something else than in the recording; the message says at which step."""


@dataclass(frozen=True, slots=True)
class RecordingStep:
    """One thing that happened to a machine and where it led.

    Attributes:
        kind: ``start``, ``send`` or ``advance``.
        event: The event of ``send``; empty otherwise.
        payload: Its payload.
        seconds: How much time passed, for ``advance``.
        state: The state afterwards.
        context: The context afterwards.
    """

    kind: str
    event: str = ""
    payload: dict[str, Any] = field(default_factory=dict[str, Any])
    seconds: float = 0.0
    state: str = ""
    context: dict[str, Any] = field(default_factory=dict[str, Any])


class Recording:
    """A sequence of steps, kept as a fixture: one JSON object a line.

    Attributes:
        steps: The steps, in order.
    """

    def __init__(self, steps: list[RecordingStep] | None = None) -> None:
        self.steps = steps or []

    def save(self, path: str | Path) -> None:
        """Write the recording to a file."""
        lines = [json.dumps({name: getattr(step, name) for name in step.__slots__}) for step in self.steps]
        Path(path).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")

    @classmethod
    def load(cls, path: str | Path) -> Recording:
        """Read a recording from a file.

        Raises:
            UsageError: A line is not a step.
        """
        steps: list[RecordingStep] = []
        for number, line in enumerate(Path(path).read_text(encoding="utf-8").splitlines(), 1):
            try:
                steps.append(RecordingStep(**cast("dict[str, Any]", json.loads(line))))
            except (ValueError, TypeError) as error:  # noqa: PERF203 - names the line
                raise UsageError(f"{path}:{number} is not a recorded step: {error}") from error
        return cls(steps)

    async def play(self, harness: Harness) -> None:
        """Repeat the recording on a harness that was not started.

        Raises:
            RecordingMismatchError: State or context differ after a step.
        """
        for number, step in enumerate(self.steps, 1):
            if step.kind == "start":
                await harness.start()
            elif step.kind == "advance":
                await harness.advance(step.seconds)
            else:
                await harness.send(step.event, step.payload)
            found = harness.recording.steps[-1]
            for what in ("state", "context"):
                wanted, got = getattr(step, what), getattr(found, what)
                if wanted != got:
                    raise RecordingMismatchError(
                        f"step {number} ({step.kind} {step.event or step.seconds}): {what} is {got!r}, "
                        f"recorded was {wanted!r}"
                    )


class TransitionCoverage:
    """Which transitions of a definition were taken, over any number of machines.

    Args:
        definition: The definition; machines of others are not counted.

    Attributes:
        taken: How often each transition was taken, by its number.
    """

    def __init__(self, definition: MachineDef) -> None:
        self.definition = definition
        self.taken: dict[int, int] = {}
        self._plan: Plan | None = None

    def note(self, work: Work) -> None:
        """Count what a macrostep took; hand it to `OrcaMachine.watch`."""
        self._plan = work.plan
        for arc in work.arcs:
            self.taken[arc] = self.taken.get(arc, 0) + 1

    def missing(self) -> list[str]:
        """The transitions that were never taken, as ``source + EVENT -> target``."""
        if self._plan is None:
            from orca.statemachine.engine import compile_plan  # noqa: PLC0415 - only when nothing ran

            self._plan = compile_plan(self.definition)
        plan = self._plan
        never = [arc for arc in plan.arcs if arc.index not in self.taken]
        return [_shown(plan, arc) for arc in never if plan.nodes[arc.source].kind.value != "history"]

    def ratio(self) -> float:
        """The part of the transitions that was taken, from 0 to 1; 1 when there are none."""
        missing = len(self.missing())
        total = missing + len(self.taken)
        return 1.0 if total == 0 else (total - missing) / total


def _shown(plan: Plan, arc: Arc) -> str:
    source = plan.nodes[arc.source].path or "*"
    event = arc.event.partition(".")[0].lstrip("@") if arc.event.startswith("@") else arc.event
    guard = f" [{arc.guard_text}]" if arc.guard_text else ""
    target = plan.nodes[arc.target].path if arc.target is not None else arc.raises or "_"
    return f"{source} + {event or '_'}{guard} -> {target}"


class Harness:
    """A machine with a clock that the test moves, a bus of its own, and a recording of what happened.

    Args:
        definition: The definition.
        context: Merged over its defaults.
        machines: Definitions that it may invoke.
        coverage: Counts the transitions; one may serve many harnesses.
        options: What else `OrcaMachine` takes.

    Attributes:
        machine: The machine.
        clock: Its clock; `advance` moves it.
        bus: Its bus.
        published: Everything that was published, in order.
        recording: What was done and where it led.

    Example:
        >>> import asyncio
        >>> from orca.statemachine.model import MachineDef, StateDef, TimeoutDef
        >>> lamp = MachineDef(
        ...     "Lamp",
        ...     states=(
        ...         StateDef("on", "on", is_initial=True, timeout=TimeoutDef(30_000, "off")),
        ...         StateDef("off", "off"),
        ...     ),
        ... )
        >>> async def test():
        ...     async with Harness(lamp) as harness:
        ...         await harness.advance(29)
        ...         print(harness.machine.state)
        ...         await harness.advance(1)
        ...         print(harness.machine.state)
        >>> asyncio.run(test())
        on
        off
    """

    def __init__(
        self,
        definition: MachineDef,
        *,
        context: Mapping[str, Any] | None = None,
        machines: Mapping[str, MachineDef] | None = None,
        coverage: TransitionCoverage | None = None,
        **options: Any,
    ) -> None:
        self.clock: FakeClock = options.pop("clock", None) or FakeClock(auto=False)
        self.bus = options.pop("event_bus", None) or EventBus()
        self.published: list[Event] = []
        self.recording = Recording()
        self.machine = OrcaMachine(definition, self.bus, context, clock=self.clock, **options)
        if machines:
            self.machine.register_machines(machines)
        if coverage is not None:
            self.machine.watch(coverage.note)
        for kind in EventType:
            self.bus.subscribe(kind, self.published.append)

    async def start(self) -> None:
        """Start the machine, or resume it where it has a store with a snapshot."""
        await self.machine.load_or_start()
        self._note(RecordingStep("start"))

    async def send(self, event: str, payload: Mapping[str, Any] | None = None) -> TransitionResult:
        """Send an event and note it."""
        result = await self.machine.send(event, payload)
        self._note(RecordingStep("send", event, dict(payload or {})))
        return result

    async def advance(self, seconds: float) -> None:
        """Let time pass; timers fire in the order of their moments."""
        await self.clock.advance_async(seconds)
        self._note(RecordingStep("advance", seconds=seconds))

    def _note(self, step: RecordingStep) -> None:
        context = cast("dict[str, Any]", json.loads(json.dumps(self.machine.context)))
        self.recording.steps.append(
            RecordingStep(step.kind, step.event, step.payload, step.seconds, str(self.machine.state), context)
        )

    async def __aenter__(self) -> Harness:  # noqa: PYI034 - Self needs Python 3.11
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.machine.stop()
