"""Functions at aligned times, beside a processor: every so many seconds, or by a cron expression.

Each firing has a span: from the firing before it to its own time, aligned to the clock and not to the
start of the program, so that two processes and a restart make the same windows. What the function
returns is emitted: a window, several, or nothing.

.. code-block:: python

    @proc.every(seconds=30)
    def half_minute(tick: Tick) -> Window:
        return tick.window("Every30Second", "1.0.0", origin="clock")

A firing that was missed, because the machine slept or the function took longer than its interval, is
made up for when ``catch_up`` allows: the latest so many, the oldest first. Missed firings of a time when
no processor ran are the core's business: its own schedules are durable
(:meth:`~orca.processor.client.OrcaClient.put_schedule`).
"""

from __future__ import annotations

import asyncio
import datetime as dt
import inspect
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

from orca.common.clock import SystemClock
from orca.processor import _log
from orca.processor.errors import InvalidAlgorithmArgument
from orca.processor.model import Window
from orca.processor.times import NS_PER_S, datetime_of, timedelta_ns

if TYPE_CHECKING:
    from orca.common.clock import Clock

__all__ = ["CATCH_UP_MAX", "Cron", "Every", "Schedules", "Task", "Tick", "due"]

F = TypeVar("F", bound=Callable[..., Any])

CATCH_UP_MAX: Final = 100_000
"""Firings made up for at once: a month of every half minute; more is a back-fill, which `orca emit` does."""

NAP_S: Final = 30.0
"""The longest single sleep: when the system's clock is set, the next firing is found again within this time."""


@dataclass(frozen=True, slots=True)
class Tick:
    """One firing.

    Attributes:
        start: The firing before, in UTC.
        end: This firing, in UTC.
        late: Whether it was missed and is made up for.
    """

    start: dt.datetime
    end: dt.datetime
    late: bool = False

    def window(
        self,
        name: str,
        version: str = "1.0.0",
        *,
        origin: str = "schedule",
        metadata: Mapping[str, Any] | None = None,
    ) -> Window:
        """A window of this firing's span."""
        return Window(self.start, self.end, name, version, origin, metadata)


class Rule(Protocol):
    """When to fire."""

    def next_after(self, ns: int) -> int:
        """The first firing after a time, both in nanoseconds since 1970."""
        ...


@dataclass(frozen=True, slots=True)
class Every:
    """At whole multiples of an interval since 1970.

    Attributes:
        period_ns: The interval, positive.
        offset_ns: Shifts all firings.
    """

    period_ns: int
    offset_ns: int = 0

    def next_after(self, ns: int) -> int:
        """The first multiple after ``ns``."""
        return ((ns - self.offset_ns) // self.period_ns + 1) * self.period_ns + self.offset_ns


@dataclass(frozen=True, slots=True)
class Cron:
    """At the times of a cron expression, with the daylight saving rules of Debian's cron.

    Attributes:
        expression: Five fields, or six with seconds first.
        timezone: The zone that the fields are read in; UTC when None.
    """

    expression: str
    timezone: dt.tzinfo | None = None

    def next_after(self, ns: int) -> int:
        """The first time that the expression matches after ``ns``.

        Raises:
            InvalidAlgorithmArgument: The expression is none, or matches never.
        """
        from cronsim import CronSim, CronSimError  # noqa: PLC0415

        start = datetime_of(ns).astimezone(self.timezone or dt.timezone.utc)
        try:
            found = next(CronSim(self.expression, start))
        except (CronSimError, StopIteration) as error:
            text = f"'{self.expression}' is no cron expression that ever fires: {error}"
            raise InvalidAlgorithmArgument(text, hint="five fields: minute hour day month weekday") from None
        return timedelta_ns(found - datetime_of(0))


def due(rule: Rule, after_ns: int, now_ns: int, *, catch_up: int) -> list[tuple[int, int, bool]]:
    """The firings after ``after_ns`` up to ``now_ns``: (start, end, late), the oldest first.

    Args:
        rule: When to fire.
        after_ns: The last firing that was done.
        now_ns: Now.
        catch_up: How many missed ones are made up for, beside the latest.
    """
    found: deque[tuple[int, int]] = deque(maxlen=catch_up + 1)
    if isinstance(rule, Every) and now_ns - after_ns > (catch_up + 2) * rule.period_ns:
        # A machine that slept for a week need not count every firing it missed.
        after_ns = rule.next_after(now_ns - (catch_up + 2) * rule.period_ns)
    start = after_ns
    while (end := rule.next_after(start)) <= now_ns:
        found.append((start, end))
        start = end
    return [(first, last, index < len(found) - 1) for index, (first, last) in enumerate(found)]


@dataclass(slots=True)
class Task:
    """A function and its rule.

    Attributes:
        function: What to call.
        rule: When.
        catch_up: See :func:`due`.
        last_ns: The last firing that was done.
    """

    function: Callable[..., Any]
    rule: Rule
    catch_up: int = 0
    last_ns: int = 0

    @property
    def name(self) -> str:
        """The function's name."""
        return getattr(self.function, "__name__", repr(self.function))


Emit = Callable[[Window], Awaitable[object]]


class Schedules:
    """The scheduled functions of one processor.

    Args:
        clock: Where time comes from.
    """

    def __init__(self, *, clock: Clock | None = None) -> None:
        self.tasks: list[Task] = []
        self._clock: Clock = clock or SystemClock()

    def every(
        self,
        *,
        seconds: float = 0,
        minutes: float = 0,
        hours: float = 0,
        catch_up: int = 0,
        timezone: dt.tzinfo | None = None,
    ) -> Callable[[F], F]:
        """Fire at whole multiples of an interval.

        Args:
            seconds: Of the interval.
            minutes: Of the interval.
            hours: Of the interval.
            catch_up: How many missed firings are made up for.
            timezone: Align days and hours to this zone's present offset instead of UTC.

        Raises:
            InvalidAlgorithmArgument: The interval is not positive, or ``catch_up`` is out of range.
        """
        period_ns = round((seconds + 60 * minutes + 3600 * hours) * NS_PER_S)
        if period_ns < 1:
            raise InvalidAlgorithmArgument("the interval must be positive", hint="@proc.every(seconds=30)")
        offset_ns = 0
        if timezone is not None:
            shift = timezone.utcoffset(datetime_of(round(self._clock.now() * NS_PER_S)).replace(tzinfo=None))
            offset_ns = -timedelta_ns(shift or dt.timedelta(0)) % period_ns
        return self._add(Every(period_ns, offset_ns), catch_up)

    def cron(
        self, expression: str, *, catch_up: int = 0, timezone: dt.tzinfo | None = None
    ) -> Callable[[F], F]:
        """Fire by a cron expression.

        Raises:
            InvalidAlgorithmArgument: The expression is none or never fires, or ``catch_up`` is out of range.
        """
        rule = Cron(expression, timezone)
        rule.next_after(round(self._clock.now() * NS_PER_S))
        return self._add(rule, catch_up)

    def _add(self, rule: Rule, catch_up: int) -> Callable[[F], F]:
        if not 0 <= catch_up <= CATCH_UP_MAX:
            raise InvalidAlgorithmArgument(f"catch_up is {catch_up}; give a number from 0 to {CATCH_UP_MAX}")

        def decorate(function: F) -> F:
            self.tasks.append(Task(function, rule, catch_up))
            return function

        return decorate

    async def run(self, emit: Emit) -> None:
        """Fire until cancelled; the first firing is the next one after now.

        Args:
            emit: Gets every window that a function returns.
        """
        now_ns = round(self._clock.now() * NS_PER_S)
        await asyncio.gather(*(self._keep(task, now_ns, emit) for task in self.tasks))

    async def _keep(self, task: Task, now_ns: int, emit: Emit) -> None:
        # The firing before now is done: it belongs to whoever ran then.
        task.last_ns = _last_before(task.rule, now_ns)
        while True:
            now_ns = round(self._clock.now() * NS_PER_S)
            for start, end, late in due(task.rule, task.last_ns, now_ns, catch_up=task.catch_up):
                await self._fire(task, Tick(datetime_of(start), datetime_of(end), late), emit)
                task.last_ns = end
            wait_s = (task.rule.next_after(task.last_ns) - round(self._clock.now() * NS_PER_S)) / NS_PER_S
            if wait_s > 0:
                await self._clock.sleep_async(min(wait_s, NAP_S))

    async def _fire(self, task: Task, tick: Tick, emit: Emit) -> None:
        try:
            for window in _windows(await _call(task.function, tick)):
                await emit(window)
        except Exception:  # noqa: BLE001 - a schedule outlives a failing function
            _log.get_logger().exception("Schedule %s failed for %s", task.name, tick.end.isoformat())


def _last_before(rule: Rule, now_ns: int) -> int:
    """The latest firing at or before now; rules look only forward, so from further and further back."""
    if isinstance(rule, Every):
        return rule.next_after(now_ns) - rule.period_ns
    back_ns = 60 * NS_PER_S
    while back_ns < now_ns:
        found = rule.next_after(now_ns - back_ns)
        if found <= now_ns:
            while (later := rule.next_after(found)) <= now_ns:
                found = later
            return found
        back_ns *= 8
    return now_ns


async def _call(function: Callable[..., Any], tick: Tick) -> Any:
    arguments = (tick,) if inspect.signature(function).parameters else ()
    if inspect.iscoroutinefunction(function):
        return await function(*arguments)
    return await asyncio.to_thread(function, *arguments)


def _windows(returned: Any) -> Iterable[Window]:
    if returned is None:
        return ()
    return (returned,) if isinstance(returned, Window) else returned
