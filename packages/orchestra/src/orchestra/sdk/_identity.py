"""Which task run this code works for: found anew for each run, never kept where another run could see it.

The order: arguments, then what a Lambda event or request header said in this context, then attributes set on
the instance, then the environment of this moment.
"""

from __future__ import annotations

import itertools
import logging
import os
from contextvars import ContextVar
from typing import TYPE_CHECKING, NamedTuple

from orchestra.sdk._protocol import parse_task_run_id, webhook_url
from orchestra.sdk.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID

__all__ = ["Identity", "IdentitySource", "from_environment", "from_headers", "from_lambda_event"]

logger = logging.getLogger(__name__)

HEADER = "orchestra_task_run_id"


class Identity(NamedTuple):
    """A task run and the address that hears of it.

    Attributes:
        run: The task run, or None when the platform did not start this code.
        url: The webhook address.
        log_file: Where a Lambda's log file is, if this identity came from an event.
    """

    run: UUID | None
    url: str
    log_file: str | None = None


def from_environment(environ: Mapping[str, str] | None = None) -> Identity:
    """The identity that the environment gives; a variable that is no uuid counts as none."""
    env = os.environ if environ is None else environ
    text = env.get("ORCHESTRA_TASK_RUN_ID", "")
    run = parse_task_run_id(text)
    if text and run is None:
        logger.error("ORCHESTRA_TASK_RUN_ID is not a uuid; nothing is reported")
    try:
        url = webhook_url(env.get("ORCHESTRA_WEBHOOK_URL"))
    except UsageError as error:
        logger.error("ORCHESTRA_WEBHOOK_URL: %s; nothing is reported", error.message)
        return Identity(None, webhook_url(None))
    return Identity(run, url)


def from_lambda_event(event: Mapping[str, object]) -> Identity:
    """The identity in an AWS Lambda event; without an address the default one is used.

    The log file gets a name of its own, in the one folder that Lambda lets a function write.
    """
    import secrets  # noqa: PLC0415  only on Lambda
    import tempfile  # noqa: PLC0415
    from pathlib import Path  # noqa: PLC0415

    raw = event.get("orchestra_webhook_url")
    run = parse_task_run_id(event.get("orchestra_task_run_id"))
    try:
        url = webhook_url(raw if isinstance(raw, str) else None)
    except UsageError as error:
        logger.error("orchestra_webhook_url of the event: %s; nothing is reported", error.message)
        return Identity(None, webhook_url(None))
    if run is None:
        logger.warning("the event has no orchestra_task_run_id; nothing is reported")
    name = f"{run or 'orchestra'}_{secrets.token_hex(4)}.log"
    return Identity(run, url, str(Path(tempfile.gettempdir()) / name))


def from_headers(headers: Mapping[str, str], url: str) -> Identity:
    """The identity in request headers. Only the id is taken: a caller must not choose where the key is sent.

    Args:
        headers: The request's headers; case does not matter, nor whether a proxy turned ``_`` into ``-``.
        url: The webhook address of this service.
    """
    for name, value in headers.items():
        if name.lower().replace("-", "_") == HEADER:
            return Identity(parse_task_run_id(value), url)
    return Identity(None, url)


_numbers = itertools.count()
_in_context: ContextVar[Mapping[int, Identity]] = ContextVar("orchestra_identity", default={})  # noqa: B039  never mutated


class IdentitySource:
    """Where one SDK instance looks for its identity."""

    __slots__ = ("_number", "run", "url")

    def __init__(self, run: UUID | None = None, url: str | None = None) -> None:
        self._number = next(_numbers)
        self.run = run
        self.url = url

    def set_in_context(self, identity: Identity | None) -> None:
        """Use ``identity`` from here on in this context (request, task, thread); None forgets it."""
        known = {k: v for k, v in _in_context.get().items() if k != self._number}
        if identity is not None:
            known[self._number] = identity
        _in_context.set(known)

    def in_context(self) -> Identity | None:
        """What an event or a header said in this context."""
        return _in_context.get().get(self._number)

    def now(self) -> Identity:
        """The identity that holds at this moment."""
        found = self.in_context()
        if found is None:
            found = from_environment()
            if self.run is not None:
                found = Identity(self.run, found.url)
        url = self.url or found.url
        return Identity(found.run, url, found.log_file)
