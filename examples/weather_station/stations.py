"""The real input: a year of hourly temperatures of two stations, as the vega_datasets package carries them.

The values are the 1981-2010 hourly normals of Seattle and San Francisco, written for the year 2010 in degrees
Fahrenheit and local standard time; here they are degrees Celsius, and the clock times count as UTC. One hour
is missing in both, where the clocks changed in March.
"""

from __future__ import annotations

import csv
from bisect import bisect_left
from datetime import datetime, timedelta, timezone
from functools import cache
from importlib.resources import files

__all__ = ["DAY", "STATIONS", "days", "hours"]

STATIONS = {"seattle": "seattle-temps.csv", "san-francisco": "sf-temps.csv"}
DAY = timedelta(days=1)


@cache
def hours(station: str) -> tuple[tuple[datetime, float], ...]:
    """All readings of a station, oldest first: the hour it begins and degrees Celsius.

    Raises:
        KeyError: There is no such station.
    """
    text = files("vega_datasets").joinpath(f"_data/{STATIONS[station]}").read_text("utf-8")
    rows = [
        (
            datetime.fromisoformat(row["date"].replace("/", "-")).replace(tzinfo=timezone.utc),
            (float(row["temp"]) - 32) * 5 / 9,
        )
        for row in csv.DictReader(text.splitlines())
    ]
    return tuple(sorted(rows))


def between(station: str, start: datetime, end: datetime) -> list[float]:
    """The readings of a station from ``start`` up to, not including, ``end``."""
    readings = hours(station)
    first = bisect_left(readings, (start, float("-inf")))
    last = bisect_left(readings, (end, float("-inf")))
    return [celsius for _, celsius in readings[first:last]]


def days() -> list[datetime]:
    """The first instant of each day of the year."""
    first = hours("seattle")[0][0]
    return [first + number * DAY for number in range(365)]
