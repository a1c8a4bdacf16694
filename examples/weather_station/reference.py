"""The same figures, computed plainly with pandas, so that the run can be held against them."""

from __future__ import annotations

import numpy as np
import pandas as pd
from stations import STATIONS, hours

__all__ = ["LOOK_BACK_DAYS", "SMOOTHING", "expected"]

LOOK_BACK_DAYS = 14
SMOOTHING = 5  # hours in the moving average


def expected() -> pd.DataFrame:
    """One row per station and day: mean, min, max, hours, anomaly, and the smoothed curve as a list."""
    return pd.concat([_station(name) for name in STATIONS], ignore_index=True)


def _station(name: str) -> pd.DataFrame:
    readings = pd.Series(dict(hours(name)))
    by_day = readings.groupby(readings.index.floor("D"))
    table = by_day.agg(["mean", "min", "max", "count"]).rename(columns={"count": "hours"})
    before = table["mean"].shift(1).rolling(LOOK_BACK_DAYS)
    table["anomaly"] = (table["mean"] - before.mean()) / before.std(ddof=0)
    kernel = np.ones(SMOOTHING) / SMOOTHING
    table["smoothed"] = by_day.agg(lambda day: np.convolve(day.to_numpy(), kernel, mode="valid").tolist())
    table = table.reset_index(names="day")
    table.insert(0, "station", name)
    return table
