"""The worker: three algorithms on one day of one station.

Run by ``run.py`` as a process of its own; it ends when its standard input closes, that is, with its parent.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from typing import Annotated, TypedDict

import numpy as np
from stations import between

from orca.processor import Dep, ExecutionParams, MetadataField, Processor, WindowType

LOOK_BACK_DAYS = 14
SMOOTHING = 5  # hours in the moving average

station_day = WindowType(
    "StationDay",
    "1.0.0",
    "one day of one station",
    # A look-back sees only earlier days of the same station.
    (MetadataField("station", "where the readings come from", filter=True),),
)
proc = Processor("weather")


class Statistics(TypedDict):
    """One day in degrees Celsius."""

    mean: float
    low: float
    high: float
    hours: int


class Anomaly(TypedDict):
    """How unusual a day's mean is, in standard deviations of the days before; None while there are too few."""

    score: float | None


def readings(params: ExecutionParams) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """The day's readings, read once for all three algorithms."""
    window = params.window
    station = str(window.metadata["station"])
    return params.shared("readings", lambda: np.array(between(station, window.start, window.end)))


@proc.algorithm("DailyStatistics", "1.0.0", station_day)
def daily_statistics(params: ExecutionParams) -> Statistics:
    """Mean, lowest and highest temperature, and how many hours were read."""
    day = readings(params)
    return {"mean": float(day.mean()), "low": float(day.min()), "high": float(day.max()), "hours": len(day)}


@proc.algorithm("TemperatureAnomaly", "1.0.0", station_day)
def temperature_anomaly(
    params: ExecutionParams, before: Annotated[list[Statistics], Dep(daily_statistics, n=LOOK_BACK_DAYS)]
) -> Anomaly:
    """The day's mean against the last fourteen days of the same station."""
    if len(before) < LOOK_BACK_DAYS:
        return {"score": None}
    means = np.array([day["mean"] for day in before])
    return {"score": float((readings(params).mean() - means.mean()) / means.std())}


@proc.algorithm("SmoothedCurve", "1.0.0", station_day)
def smoothed_curve(params: ExecutionParams) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """A moving average over five hours."""
    return np.convolve(readings(params), np.ones(SMOOTHING) / SMOOTHING, mode="valid")


def _end_with_parent() -> None:
    sys.stdin.read()
    # A signal, because it also ends a processor that is not serving yet.
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    threading.Thread(target=_end_with_parent, daemon=True).start()
    proc.register()
    print("registered", flush=True)
    proc.start()
