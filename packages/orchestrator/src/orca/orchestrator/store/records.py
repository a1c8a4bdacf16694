"""What goes into a store and what comes out: frozen records that every store shares.

Those of which a window makes several are named tuples: they are made in a fifth of a frozen dataclass's time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from orca.orchestrator.model import WindowSpan

__all__ = [
    "OPEN",
    "RUN_CANCELLED",
    "RUN_FAILED",
    "RUN_STATES",
    "RUN_SUCCEEDED",
    "Accepted",
    "Completion",
    "FailedAttempt",
    "HistoryRow",
    "InstanceRow",
    "NewRun",
    "NewWindow",
    "NodeRecord",
    "PendingRun",
    "ProcessorRow",
    "StoredNode",
    "StoredValue",
]

OPEN, RUN_SUCCEEDED, RUN_FAILED, RUN_CANCELLED = 0, 1, 2, 3
RUN_STATES = {OPEN: "open", RUN_SUCCEEDED: "succeeded", RUN_FAILED: "failed", RUN_CANCELLED: "cancelled"}


class NewWindow(NamedTuple):
    """A window to accept.

    Attributes:
        type_id: Row of its window type.
        time_from_ns: Start.
        time_to_ns: End, not before the start.
        origin: Who emitted it.
        metadata: Canonical JSON of an object.
        filter_key: Canonical JSON of the values of its filter fields, or "".
        digest: Idempotency: equal windows have equal digests.
        plan_id: What it triggers, or 0 for nothing.
        priority: Larger goes first.
        parent_id: The window whose algorithm emitted it, or 0.
        created_ns: Now.
        parent_exec: The call whose algorithm emitted it, or "".
        trace: The emitter's trace context, or "".
        registry: The registrations that it was planned with: the sum of all set versions.
        passing: The metadata with the fields that must not be stored, where there are some; never written.
    """

    type_id: int
    time_from_ns: int
    time_to_ns: int
    origin: str
    metadata: str
    filter_key: str
    digest: bytes
    plan_id: int
    priority: int
    parent_id: int
    created_ns: int
    parent_exec: str = ""
    trace: str = ""
    registry: int = 0
    passing: str = ""


@dataclass(frozen=True, slots=True)
class Accepted:
    """A window that is on disk.

    Attributes:
        window_id: Its row.
        run_id: Its first run; 0: it triggers nothing.
        duplicate: It was there before.
        token: What records of the run must carry; 0: the run waits in the backlog for whoever takes it.
    """

    window_id: int
    run_id: int
    duplicate: bool
    token: int = 1


@dataclass(frozen=True, slots=True)
class NewRun:
    """A further run of a stored window.

    Attributes:
        window_id: The window.
        plan_id: Its present plan.
        kind: ``retry`` or ``reprocess``.
        priority: Larger goes first.
        created_ns: Now.
        keep: ``none``; ``results``: every result that is there counts as done; ``succeeded``: what succeeded
            in ``former_id`` does.
        former_id: The run before.
        algorithm_ids: The plan's algorithms: only these can be kept.
    """

    window_id: int
    plan_id: int
    kind: str
    priority: int
    created_ns: int
    keep: str = "none"
    former_id: int = 0
    algorithm_ids: tuple[int, ...] = ()


class StoredValue(NamedTuple):
    """A result as it lies in the store.

    Attributes:
        kind: The wire's result type number (1 struct, 2 value, 3 array, 4 none).
        number: The value, as float64.
        payload: UTF-8 JSON of a struct, or little-endian float64 of an array.
    """

    kind: int
    number: float | None = None
    payload: bytes | None = None


class NodeRecord(NamedTuple):
    """The end of one algorithm in one run."""

    algorithm_id: int
    status: int
    attempts: int = 0
    queued_ns: int = 0
    sent_ns: int = 0
    finished_ns: int = 0
    address: str = ""
    cause: str = ""
    error: str = ""
    value: StoredValue | None = None


@dataclass(frozen=True, slots=True)
class FailedAttempt:
    """An attempt that will be repeated."""

    algorithm_id: int
    attempt: int
    sent_ns: int
    ended_ns: int
    address: str
    cause: str
    error: str = ""


@dataclass(frozen=True, slots=True)
class Completion:
    """The end of a run."""

    state: int
    succeeded: int
    failed: int
    skipped: int
    finished_ns: int


@dataclass(frozen=True, slots=True)
class StoredNode:
    """A node that ended in an earlier life of its run."""

    algorithm_id: int
    status: int
    value: StoredValue | None


class PendingRun(NamedTuple):
    """A run that is open in the store.

    Attributes:
        run_id: Its row.
        plan_id: Its plan.
        priority: Larger goes first.
        token: What a record must carry to be taken.
        span: The window's id, times and filter key.
        type_id: The window's type.
        origin: Who emitted the window.
        metadata: The window's metadata as JSON.
        done: Nodes that are final already.
        created_ns: When it was accepted.
        trace: The emitter's trace context, or "".
    """

    run_id: int
    plan_id: int
    priority: int
    token: int
    span: WindowSpan
    type_id: int
    origin: str
    metadata: str
    created_ns: int
    done: tuple[StoredNode, ...] = ()
    trace: str = ""


@dataclass(frozen=True, slots=True)
class HistoryRow:
    """One row of a look-back: the window and the result."""

    span: WindowSpan
    type_id: int
    origin: str
    metadata: str
    value: StoredValue


@dataclass(frozen=True, slots=True)
class InstanceRow:
    """One address at which a processor listens.

    Attributes:
        features: What the worker announced beyond the wire, as JSON.
    """

    address: str
    set_version: int
    features: str
    seen_ns: int


@dataclass(frozen=True, slots=True)
class ProcessorRow:
    """A processor with what it last registered."""

    id: int
    set_version: int
    definition: str
    registered_ns: int
    instances: tuple[InstanceRow, ...]
