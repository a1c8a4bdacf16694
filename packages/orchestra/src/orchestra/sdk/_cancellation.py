"""Ask the platform now and then whether a run was cancelled; a bad answer never disturbs the run."""

from __future__ import annotations

import logging
import os
import random
import threading

from orca.common.errors import OrcaError
from orchestra.sdk._fork import import_gate
from orchestra.sdk.errors import PlatformAccessError

__all__ = ["CancelWatch"]

logger = logging.getLogger(__name__)

POLL_S = 30.0
"""A key has about 50 requests a minute for everything; a hundred tasks of one key are still too many at 30 s
without jitter."""
CANCELLED_STATES = frozenset({"CANCELLING", "CANCELLED"})


class CancelWatch:
    """A thread that sets ``requested`` when the platform wants the run to stop.

    Args:
        api_key: The key.
        run: The task run.
        requested: Set once the platform says CANCELLING or CANCELLED.
        base_url: The API; ORCHESTRA_API_URL of the environment, else the public one.
        poll_s: Seconds between two questions, before up to half as much jitter.
    """

    def __init__(
        self,
        api_key: str,
        run: str,
        requested: threading.Event,
        *,
        base_url: str | None = None,
        poll_s: float = POLL_S,
    ) -> None:
        self._api_key = api_key
        self._run = run
        self._requested = requested
        self._base_url = base_url or os.environ.get("ORCHESTRA_API_URL")
        self._poll_s = poll_s
        self._rng = random.Random()  # noqa: S311  jitter
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="orchestra-cancellation", daemon=True)

    def start(self) -> None:
        """Begin to ask."""
        self._thread.start()

    def stop(self) -> None:
        """Stop asking; a question that is under way is not waited for."""
        self._stop.set()

    def _watch(self) -> None:
        with import_gate:
            from orchestra.sdk.platform import PlatformClient  # noqa: PLC0415  httpx, in this thread

        options = {"base_url": self._base_url} if self._base_url else {}
        with PlatformClient(self._api_key, timeout_s=10.0, **options) as client:
            while not self._stop.wait(self._poll_s * (1.0 + 0.5 * self._rng.random())):
                try:
                    found = client.get_task_runs(self._run)
                except PlatformAccessError as error:
                    logger.warning("cancellation cannot be asked for: %s", error.message)
                    return
                except OrcaError as error:
                    logger.debug("the question about cancellation failed: %s", error.message)
                    continue
                if any(run.id == self._run and run.status.upper() in CANCELLED_STATES for run in found):
                    logger.info("the platform asked task run %s to stop", self._run)
                    self._requested.set()
                    return
