"""Hypothesis without a clock: on a busy machine one example may take any time."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

busy = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
