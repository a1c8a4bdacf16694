"""When a schedule fires and which window each firing emits: pure functions over nanoseconds."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from orca.orchestrator.errors import FieldFault, InvalidFieldError

__all__ = ["CATCH_UP", "FIRINGS_MAX", "Schedule", "check_schedule", "due", "next_after", "window_of"]

CATCH_UP = ("all", "latest", "none")
# Firings handled in one turn; the rest follow in the next, so that a year of missed minutes floods nothing.
FIRINGS_MAX = 1000
EVERY_NS_MIN = 1_000_000_000
NS = 1_000_000_000
# With catch-up "none" a firing is missed when the core comes later than this.
LATE_NS = 60 * NS


@dataclass(frozen=True, slots=True)
class Schedule:
    """Windows that the core emits by itself.

    Attributes:
        name: Its own name.
        window_type: Name of the window type.
        window_version: Version of the window type.
        cron: Five or six fields; or empty.
        every_ns: Interval, aligned to 1970; or 0.
        length_ns: Length of each window; 0 means from the firing before to this one.
        timezone: IANA name, for cron.
        origin: Origin of the windows.
        metadata: Their metadata, as canonical JSON.
        catch_up: What to do about firings that were missed: ``all``, only the ``latest``, or ``none``.
        priority: Of the windows.
    """

    name: str
    window_type: str
    window_version: str
    cron: str = ""
    every_ns: int = 0
    length_ns: int = 0
    timezone: str = "UTC"
    origin: str = ""
    metadata: str = "{}"
    catch_up: str = "all"
    priority: int = 0


def check_schedule(schedule: Schedule) -> None:
    """Refuse a schedule that can never work.

    Raises:
        InvalidFieldError: With every wrong field.
    """
    faults: list[FieldFault] = []
    if not schedule.name or len(schedule.name) > 100:
        faults.append(FieldFault("name", "must have 1 to 100 characters"))
    if not schedule.window_type or not schedule.window_version:
        faults.append(FieldFault("window_type", "needs a name and a version"))
    if bool(schedule.cron) == bool(schedule.every_ns):
        faults.append(FieldFault("cron", "give either cron or every_ns"))
    if schedule.every_ns and schedule.every_ns < EVERY_NS_MIN:
        faults.append(FieldFault("every_ns", "must be at least a second"))
    if schedule.length_ns < 0:
        faults.append(FieldFault("length_ns", "must not be negative"))
    if schedule.catch_up not in CATCH_UP:
        faults.append(FieldFault("catch_up", f"is {schedule.catch_up!r}, not one of {', '.join(CATCH_UP)}"))
    try:
        ZoneInfo(schedule.timezone)
    except (KeyError, ValueError, OSError):
        faults.append(FieldFault("timezone", f"{schedule.timezone!r} is not known"))
    else:
        if schedule.cron:
            try:
                CronSim(schedule.cron, dt.datetime(2026, 1, 1, tzinfo=dt.timezone.utc))
            except CronSimError as error:
                faults.append(FieldFault("cron", f"{schedule.cron!r}: {error}"))
    if faults:
        raise InvalidFieldError(tuple(faults))


def next_after(schedule: Schedule, after_ns: int) -> int:
    """The first firing later than ``after_ns``.

    Example:
        >>> next_after(Schedule("s", "Hourly", "1.0.0", every_ns=3600 * 10**9), 3600 * 10**9)
        7200000000000
    """
    if schedule.every_ns:
        return (after_ns // schedule.every_ns + 1) * schedule.every_ns
    zone = ZoneInfo(schedule.timezone)
    start = dt.datetime.fromtimestamp(after_ns // NS, tz=zone)
    return int(next(CronSim(schedule.cron, start)).timestamp()) * NS


def due(schedule: Schedule, next_ns: int, now_ns: int) -> tuple[list[int], int]:
    """The firings to carry out now, oldest first, and the next one after them.

    At most `FIRINGS_MAX` are given at a time.
    """
    firings: list[int] = []
    at_ns = next_ns
    while at_ns <= now_ns and len(firings) < FIRINGS_MAX:
        firings.append(at_ns)
        at_ns = next_after(schedule, at_ns)
    if schedule.catch_up == "all" or not firings:
        return firings, at_ns
    if at_ns <= now_ns:
        # Missed more than one turn holds: only the newest firings can matter.
        return [], _last_before(schedule, now_ns)
    if schedule.catch_up == "none" and now_ns - firings[-1] > LATE_NS:
        return [], at_ns
    return firings[-1:], at_ns


def _last_before(schedule: Schedule, now_ns: int) -> int:
    """A firing near the end of a long absence, found by steps that double."""
    step = schedule.every_ns or 60 * NS
    while True:
        at_ns = next_after(schedule, now_ns - step)
        if at_ns <= now_ns:
            return at_ns
        step *= 2


def window_of(schedule: Schedule, fired_ns: int) -> tuple[int, int]:
    """The window that ends at a firing."""
    if schedule.length_ns:
        return fired_ns - schedule.length_ns, fired_ns
    if schedule.every_ns:
        return fired_ns - schedule.every_ns, fired_ns
    zone = ZoneInfo(schedule.timezone)
    before = CronSim(schedule.cron, dt.datetime.fromtimestamp(fired_ns // NS, tz=zone), reverse=True)
    return int(next(before).timestamp()) * NS, fired_ns
