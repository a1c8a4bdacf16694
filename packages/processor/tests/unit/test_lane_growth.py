"""Slow algorithms get more threads, and a call that only waits for them costs no timers."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Annotated, Any

from serving import make_request

from orca.processor import Dep, Processor, convert, wire
from orca.processor.engine import Engine

TYPE = "Every30Second"


class Loop(asyncio.SelectorEventLoop):
    """Counts the looks for slow algorithms: those that were planned, and those that are over."""

    planned = over = 0

    def __init__(self) -> None:
        super().__init__()
        self.looked = asyncio.Event()

    def call_later(self, delay: float, callback: Any, *arguments: Any, **options: Any) -> Any:
        if getattr(callback, "__name__", "") != "_grow":
            return super().call_later(delay, callback, *arguments, **options)
        self.planned += 1

        def look() -> None:
            callback(*arguments)
            self.over += 1
            self.looked.set()

        return super().call_later(delay, look, **options)

    async def until_none(self) -> None:
        """Wait for the look that is under way, if one is: afterwards there must be none."""
        if self.planned > self.over:
            self.looked.clear()
            await self.looked.wait()
        assert self.planned == self.over


def run(
    proc: Processor, *names: str, meanwhile: Callable[[Loop], Any] | None = None, requires: str = ""
) -> dict[str, Any]:
    """The results of one call, each by name."""
    loop = Loop()
    engine: Engine = proc.engine()
    found: dict[str, Any] = {}

    async def write(answers: Any) -> None:
        for data in answers:
            answer = wire.ExecutionResult.FromString(data).algorithm_result
            found[answer.algorithm.name] = convert.result_from_wire(answer.result)

    async def main() -> None:
        request = make_request(*[f"{name}_1.0.0" for name in names])
        for execution in request.algorithm_executions:
            if requires and execution.algorithm.name != requires:
                entry = execution.algorithm.dependencies.add()
                entry.name, entry.version = requires, "1.0.0"
        other = asyncio.ensure_future(meanwhile(loop)) if meanwhile is not None else None
        await engine.execute(request, {}, write)
        if other is not None:
            await other

    try:
        loop.run_until_complete(asyncio.wait_for(main(), 120))
    finally:
        engine.close()
        loop.close()
    return found


def quiet(began: threading.Event, release: threading.Event) -> Callable[[Loop], Any]:
    """Once bodies run, there must be no looks; then they may end."""

    async def meanwhile(loop: Loop) -> None:
        assert await asyncio.to_thread(began.wait, 60)
        try:
            await loop.until_none()
        finally:
            release.set()

    return meanwhile


def test_a_call_that_only_waits_plans_no_more_looks() -> None:
    proc = Processor("waits", max_workers=4, environ={})
    began, release = threading.Event(), threading.Event()

    @proc.algorithm("Waits", "1.0.0", TYPE, "1.0.0")
    def waits() -> float:
        began.set()
        release.wait(60)
        return 1.0

    assert run(proc, "Waits", meanwhile=quiet(began, release))["Waits"].ok


def test_a_call_whose_threads_are_all_taken_plans_no_more_looks() -> None:
    proc = Processor("busy", max_workers=1, environ={})
    began, release = threading.Event(), threading.Event()

    for name in ("One", "Two", "Three"):

        @proc.algorithm(name, "1.0.0", TYPE, "1.0.0")
        def waits() -> float:
            began.set()
            release.wait(60)
            return 1.0

    found = run(proc, "One", "Two", "Three", meanwhile=quiet(began, release))
    assert all(found[name].ok for name in ("One", "Two", "Three"))


def test_slow_algorithms_run_on_all_threads() -> None:
    proc = Processor("slow", max_workers=8, environ={})
    together = threading.Barrier(8)

    for number in range(24):

        @proc.algorithm(f"Slow{number}", "1.0.0", TYPE, "1.0.0")
        def slow() -> float:
            together.wait(60)
            return 1.0

    found = run(proc, *[f"Slow{number}" for number in range(24)])
    assert [one.error for one in found.values() if not one.ok] == []


def test_what_a_thread_queues_late_gets_more_threads() -> None:
    proc = Processor("late", max_workers=8, environ={})
    began, release = threading.Event(), threading.Event()
    together = threading.Barrier(8)

    @proc.algorithm("First", "1.0.0", TYPE, "1.0.0")
    def first() -> float:
        began.set()
        release.wait(60)
        return 1.0

    for number in range(8):

        @proc.algorithm(f"Slow{number}", "1.0.0", TYPE, "1.0.0")
        def slow(value: Annotated[float, Dep(first)]) -> float:
            together.wait(60)
            return value

    names = [f"Slow{number}" for number in range(8)]
    found = run(proc, "First", *names, meanwhile=quiet(began, release), requires="First")
    assert [one.error for one in found.values() if not one.ok] == []
    assert len(found) == 9


def test_the_place_of_a_thread_that_hangs_goes_to_the_next() -> None:
    proc = Processor("hangs", max_workers=3, environ={})
    release = threading.Event()
    together = threading.Barrier(3)

    @proc.algorithm("Hangs", "1.0.0", TYPE, "1.0.0", timeout_s=0.3)
    def hangs() -> float:
        release.wait(60)
        return 1.0

    for number in range(3):

        @proc.algorithm(f"Slow{number}", "1.0.0", TYPE, "1.0.0")
        def slow() -> float:
            together.wait(60)
            return 1.0

    try:
        found = run(proc, "Hangs", "Slow0", "Slow1", "Slow2")
    finally:
        release.set()
    assert found["Hangs"].error["kind"] == "timeout"
    assert all(found[f"Slow{number}"].ok for number in range(3))
