"""One call to one processor: which nodes it still owes, their timeouts, and what its results mean."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from orca.orchestrator.model import ResultKind
from orca.orchestrator.store.codec import canonical
from orca.orchestrator.wireform import error_of, stored_value
from orca.processor import wire

if TYPE_CHECKING:
    from collections.abc import Callable

    from orca.orchestrator.active import ActiveRun
    from orca.orchestrator.engine import Engine

__all__ = ["Call", "result_of"]

logger = logging.getLogger(__name__)

# A failure's text is kept up to this length; the error beside it holds the stack.
CAUSE_CHARS_MAX = 2000
ERROR_CHARS_MAX = 100_000


class Call:
    """A call that runs.

    Attributes:
        active: Its run.
        nodes: What was sent.
        address: Where to.
        sent_ns: When.
        exec_id: Names it to the worker.
        open: Nodes without a result.
        task: Reads the stream, or runs the algorithms when they are inside this process.
        stream: The gRPC call.
        thread: The thread that runs its algorithms inside this process, 0 when none does.
        inside: It is run inside this process, in a lane.
        stop: Ends what a task's end does not.
        cancelled: Somebody has ended it.
    """

    __slots__ = (
        "_started",
        "_timer",
        "active",
        "address",
        "cancelled",
        "exec_id",
        "inside",
        "nodes",
        "open",
        "sent_ns",
        "stop",
        "stream",
        "task",
        "thread",
    )

    def __init__(
        self, active: ActiveRun, nodes: tuple[int, ...], address: str, sent_ns: int, *, exec_id: str = ""
    ) -> None:
        self.active = active
        self.nodes = nodes
        self.address = address
        self.sent_ns = sent_ns
        self.exec_id = exec_id
        self.open: set[int] = set(nodes)
        self.task: asyncio.Task[None] | None = None
        self.stream: Any = None
        self.thread = 0
        self.inside = self.cancelled = False
        self.stop: Callable[[], object] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._started: dict[int, float] = {}

    def watch(self, timed_out: Callable[[Call, int], None]) -> None:
        """Call ``timed_out(call, node)`` for each node that runs longer than it may.

        A node starts when nothing that it needs is still open in this call.
        """
        loop = asyncio.get_running_loop()
        now = loop.time()
        nodes = self.active.info.plan.nodes
        earliest = None
        for node in list(self.open):
            if any(parent in self.open for parent in nodes[node].upstream):
                continue
            due = self._started.setdefault(node, now) + nodes[node].definition.options.timeout_s
            if due <= now:
                timed_out(self, node)
            elif earliest is None or due < earliest:
                earliest = due
        if earliest is not None and self.open:
            self._timer = loop.call_at(earliest, self.watch, timed_out)

    def unwatch(self) -> None:
        """Stop watching."""
        if self._timer is not None:
            self._timer.cancel()

    def cancel(self) -> None:
        """End it; what it still brings belongs to no attempt."""
        self.cancelled = True
        if self.task is not None and self.task is not asyncio.current_task():
            self.task.cancel()
        if self.stop is not None:
            self.stop()

    def started(self, node: int) -> None:
        """Note the start of what waited for ``node`` in this call."""
        now = asyncio.get_running_loop().time()
        for child in self.active.info.plan.nodes[node].downstream:
            if child in self.open:
                self._started.setdefault(child, now)

    def close_below(self, node: int) -> None:
        """Expect nothing more of a node and of what depends on it: whatever comes belongs to no attempt."""
        stack = [node]
        while stack:
            current = stack.pop()
            self.open.discard(current)
            stack.extend(c for c in self.active.info.plan.nodes[current].downstream if c in self.open)


def result_of(engine: Engine, call: Call, message: wire.ExecutionResult) -> None:
    """Take one streamed result; one that nobody waits for is logged and left."""
    answer = message.algorithm_result
    node = call.active.info.by_name.get((answer.algorithm.name, answer.algorithm.version))
    if node is None or node not in call.open:
        logger.warning(
            "%s sent a result for %s_%s, which the call does not wait for",
            call.address,
            answer.algorithm.name[:100],
            answer.algorithm.version[:100],
        )
        return
    result = answer.result
    if result.status == wire.RESULT_STATUS_SUCEEDED or _is_published_none(call, node, result):
        _succeeded(engine, call, node, result)
    else:
        _failed(engine, call, node, result)


def _is_published_none(call: Call, node: int, result: wire.Result) -> bool:
    """The published SDK reports every NoneResult as a handled failure without anything in it."""
    return (
        call.active.info.plan.nodes[node].definition.result_kind is ResultKind.NONE
        and result.status == wire.RESULT_STATUS_HANDLED_FAILED
        and result.WhichOneof("result_data") is None
        and not result.HasField("error")
    )


def _succeeded(engine: Engine, call: Call, node: int, result: wire.Result) -> None:
    try:
        value = stored_value(result)
    except ValueError as error:
        call.close_below(node)
        text = f"the result cannot be stored: {error}"
        engine.failed(call.active, node, text, error='{"kind":"result"}', attempt=call, retry=False)
        return
    call.open.discard(node)
    if call.open:
        call.started(node)
    result.status = wire.RESULT_STATUS_SUCEEDED
    engine.succeeded(call.active, node, value, result, call)


def _failed(engine: Engine, call: Call, node: int, result: wire.Result) -> None:
    details = error_of(result)
    kind, text = str(details.get("type", "")), str(details.get("message", ""))
    cause = f"{kind}: {text}" if kind and text else text or kind or "the processor reported a failure"
    try:
        error = canonical(details)
    except ValueError:
        error = canonical({"message": text})
    if len(error) > ERROR_CHARS_MAX:
        error = canonical(
            {"message": text[:CAUSE_CHARS_MAX], "stack_trace": str(details.get("stack_trace", ""))[-8000:]}
        )
    call.close_below(node)
    engine.failed(call.active, node, cause[:CAUSE_CHARS_MAX], error=error, attempt=call)
