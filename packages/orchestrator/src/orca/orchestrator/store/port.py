"""What the engine asks of a store, whichever database is behind it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from orca.orchestrator.store.records import (
    Completion,
    FailedAttempt,
    HistoryRow,
    NewRun,
    NewWindow,
    NodeRecord,
    PendingRun,
    ProcessorRow,
)

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from orca.orchestrator.model import (
        AlgorithmRef,
        LookBack,
        Registration,
        WindowSpan,
        WindowTypeDef,
        WindowTypeRef,
    )
    from orca.orchestrator.planner import Input, Plan

__all__ = ["Backlog", "Done", "Peers", "RunBatch", "Store"]

Done = Callable[[Any, "BaseException | None"], None]
RunBatch = Sequence[PendingRun]


class Backlog(Protocol):
    """Open runs: accepted, and not finished."""

    async def take(self, limit: int, active: Collection[int]) -> RunBatch:
        """At most ``limit`` open runs that are not in ``active``, highest priority and oldest first."""
        ...

    async def give_back(self, run_id: int) -> None:
        """Let somebody else have a run that this process will not finish."""
        ...

    async def depth(self) -> int:
        """How many runs are open."""
        ...


class Peers(Protocol):
    """What a shared store tells a core: what other replicas did, and what they took from it."""

    def told(self, kind: str, detail: dict[str, Any]) -> None:
        """Another replica did something.

        Args:
            kind: One of `EventBus`, or ``wake``: more work waits, or ``registry``, ``schedules``, ``tokens``: these
                rows have changed.
            detail: JSON-like facts.
        """
        ...

    def missed(self) -> None:
        """News may have been lost: read everything anew."""
        ...

    def taken(self, run_id: int) -> None:
        """This replica no longer holds a run."""
        ...


class Store(Protocol):
    """Everything durable. Methods that take ``done`` call it on the loop after the data is on disk."""

    @property
    def backlog(self) -> Backlog:
        """The open runs of this store."""
        ...

    @property
    def shared(self) -> bool:
        """Whether other replicas may work on the same store."""
        ...

    def follow(self, peers: Peers) -> None:
        """From now on tell ``peers`` what other replicas do; a store of one core has nothing to tell."""
        ...

    def alone(self, task: str) -> AbstractAsyncContextManager[bool]:
        """Hold a task for the length of the block; False when another replica holds it."""
        ...

    def registering(self) -> AbstractAsyncContextManager[None]:
        """Only one replica at a time checks and stores a registration."""
        ...

    async def close(self) -> None:
        """Write what waits, then close."""
        ...

    async def load_processors(self) -> Sequence[ProcessorRow]:
        """Every processor that ever registered, with its instances."""
        ...

    async def register(self, registration: Registration, *, features: str, now_ns: int) -> ProcessorRow:
        """Store a registration as the processor's present set and its address as an instance."""
        ...

    async def remove_instance(self, processor_id: int, address: str) -> None:
        """Forget an address."""
        ...

    async def window_type_id(self, definition: WindowTypeDef) -> int:
        """Row of a window type, made when it is new."""
        ...

    def window_type(self, type_id: int) -> WindowTypeRef:
        """Name and version of a row."""
        ...

    async def algorithm_id(self, ref: AlgorithmRef) -> int:
        """Row of an algorithm, made when it is new."""
        ...

    def algorithm(self, algorithm_id: int) -> AlgorithmRef:
        """Name and version of a row."""
        ...

    async def plan_id(self, plan: Plan, type_id: int) -> int:
        """Row of a plan, made when it is new."""
        ...

    async def load_plan(self, plan_id: int) -> Plan:
        """A plan by its row."""
        ...

    def accept(self, window: NewWindow, done: Done, *, claim: bool = True) -> None:
        """Store a window with its run; ``done`` gets `Accepted`. With ``claim`` this core begins the run at once."""
        ...

    async def begin_runs(self, runs: Sequence[NewRun]) -> list[int]:
        """Store further runs of stored windows in one transaction; gives their rows."""
        ...

    async def cancel(self, run_id: int, now_ns: int) -> None:
        """End an open run that this core does not work on; whoever does can record nothing more."""
        ...

    async def blocker(self, run: PendingRun, inputs: Sequence[Input]) -> int:
        """The newest open run of another replica whose result may belong to one of the look-backs, or 0."""
        ...

    async def newest_result(self) -> int:
        """A row below which no result will appear any more: all up to it are stored."""
        ...

    def record(
        self,
        run: PendingRun,
        nodes: Sequence[NodeRecord],
        attempts: Sequence[FailedAttempt],
        completion: Completion | None,
        done: Done,
    ) -> None:
        """Store what ended in a run, fenced by the run's token."""
        ...

    async def history(self, algorithm_id: int, lookback: LookBack, span: WindowSpan) -> Sequence[HistoryRow]:
        """The rows of a look-back, ascending."""
        ...

    async def fetch(self, sql: str, parameters: Sequence[Any] = ()) -> list[Mapping[str, Any]]:
        """Run one reading statement of our own, with ``?`` for parameters."""
        ...

    async def read_sql(
        self, statement: str, *, limit: int, timeout_s: float
    ) -> tuple[list[str], list[list[Any]]]:
        """Run one statement of a user's, which can only read; gives the columns and the rows."""
        ...

    async def backup_named(self, name: str) -> Path:
        """Copy the store into a new file below its own folder."""
        ...

    async def write(self, kind: str, statements: Sequence[tuple[str, Sequence[Any]]]) -> list[int]:
        """Run a few writing statements in one transaction; gives each one's new row or count."""
        ...
