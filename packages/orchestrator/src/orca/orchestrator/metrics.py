"""Prometheus metrics of a core, on a port of their own: counted in plain dictionaries, made into text when asked.

Loaded only when ``CoreSettings.metrics_port`` asks for it; needs ``prometheus-client``.
"""

from __future__ import annotations

import asyncio
import logging
import time
from bisect import bisect_left
from collections import Counter
from importlib import import_module
from typing import TYPE_CHECKING, Any

from orca.common.errors import ConfigError, OrcaError
from orca.orchestrator.execution import Status
from orca.orchestrator.store.records import RUN_STATES

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from orca.orchestrator.active import ActiveRun
    from orca.orchestrator.server import CoreServer
    from orca.orchestrator.store.records import Accepted, Completion, FailedAttempt, NewWindow, NodeRecord

__all__ = ["LOOPBACK", "Metrics"]

logger = logging.getLogger(__name__)

LOOPBACK = "127.0.0.1"
"""As the pages, metrics are never served beyond this machine: a scraper elsewhere comes through a proxy."""

# From a no-op on a quiet machine to an hour.
BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0, 300.0, 3600.0)
REQUEST_BYTES_MAX = 16 * 1024
REQUEST_S = 5.0
KNOWN_MAX = 10_000
"""Label values come from outside; what is beyond this number is counted together, under "other"."""


class _Times:
    """A histogram in plain numbers."""

    __slots__ = ("counts", "total_s")

    def __init__(self) -> None:
        self.counts = [0] * (len(BUCKETS_S) + 1)
        self.total_s = 0.0

    def add(self, seconds: float) -> None:
        self.counts[bisect_left(BUCKETS_S, seconds)] += 1
        self.total_s += seconds

    def buckets(self) -> list[tuple[str, float]]:
        found: list[tuple[str, float]] = []
        below = 0
        for bound, count in zip((*map(str, BUCKETS_S), "+Inf"), self.counts, strict=True):
            below += count
            found.append((bound, below))
        return found


class Metrics:
    """Counts what one core does, and serves ``/metrics``.

    Args:
        port: Where to listen on loopback; 0 takes a free one.

    Raises:
        ConfigError: ``prometheus-client`` is not installed.
    """

    def __init__(self, port: int) -> None:
        try:
            self._families: Any = import_module("prometheus_client.core")
            self._format: Any = import_module("prometheus_client.exposition")
        except ImportError:
            raise ConfigError(
                "metrics_port is set, and prometheus-client is not installed",
                hint='pip install "orca-orchestrator[prometheus]"',
            ) from None
        self._wanted = port
        self._core: CoreServer | None = None
        self._listening: asyncio.Server | None = None
        self.port = 0
        self._windows: Counter[tuple[str, str]] = Counter()
        self._runs: Counter[str] = Counter()
        self._executions: Counter[tuple[str, str]] = Counter()
        self._attempts: Counter[str] = Counter()
        self._run_times: dict[str, _Times] = {}
        self._algorithm_times: dict[str, _Times] = {}

    # counting; called by the engine

    def accepted(self, window: NewWindow, accepted: Accepted | None, error: BaseException | None) -> None:
        """A window was stored, was known, or could not be stored."""
        assert self._core is not None
        kind = str(self._core.core.store.window_type(window.type_id))
        if len(self._windows) >= KNOWN_MAX and (kind, "accepted") not in self._windows:
            kind = "other"
        outcome = "refused" if error is not None or accepted is None else "accepted"
        self._windows[kind, "duplicate" if accepted is not None and accepted.duplicate else outcome] += 1

    def recorded(
        self,
        active: ActiveRun,
        nodes: Sequence[NodeRecord],
        attempts: Sequence[FailedAttempt],
        completion: Completion | None,
    ) -> None:
        """Ends of algorithms, given-up attempts, and maybe the run's end are on disk."""
        assert self._core is not None
        name = self._core.core.store.algorithm
        for entry in nodes:
            algorithm = str(name(entry.algorithm_id))
            self._executions[algorithm, Status(entry.status).name.lower()] += 1
            if entry.sent_ns:
                times = self._algorithm_times.setdefault(algorithm, _Times())
                times.add((entry.finished_ns - entry.sent_ns) / 1e9)
        for attempt in attempts:
            self._attempts[str(name(attempt.algorithm_id))] += 1
        if completion is not None:
            self._runs[RUN_STATES[completion.state]] += 1
            times = self._run_times.setdefault(str(active.kind), _Times())
            times.add((completion.finished_ns - active.run.created_ns) / 1e9)

    # telling

    def collect(self) -> Iterator[Any]:
        """What prometheus-client asks a collector for; what the store knows is added by `text`."""
        families = self._families

        def counted(name: str, about: str, labels: list[str], found: dict[Any, int]) -> Any:
            family = families.CounterMetricFamily(name, about, labels=labels)
            for key, value in found.items():
                family.add_metric([key] if isinstance(key, str) else list(key), value)
            return family

        def timed(name: str, about: str, label: str, found: dict[str, _Times]) -> Any:
            family = families.HistogramMetricFamily(name, about, labels=[label])
            for key, times in found.items():
                family.add_metric([key], times.buckets(), times.total_s)
            return family

        yield counted("orca_windows", "Emitted windows", ["window_type", "outcome"], self._windows)
        yield counted("orca_runs", "Ended runs", ["state"], self._runs)
        yield counted("orca_executions", "Ended algorithms", ["algorithm", "status"], self._executions)
        yield counted("orca_attempts_failed", "Given-up attempts", ["algorithm"], self._attempts)
        yield timed("orca_run_seconds", "From acceptance to the end", "window_type", self._run_times)
        yield timed(
            "orca_algorithm_seconds", "From sending to the result", "algorithm", self._algorithm_times
        )
        yield from self._present()

    def _present(self) -> Iterator[Any]:
        assert self._core is not None
        core = self._core.core
        gauge = self._families.GaugeMetricFamily
        yield gauge("orca_active_runs", "Runs in memory", value=len(core.engine.index))
        yield gauge("orca_calls", "Calls that run", value=core.links.calls)
        family = gauge("orca_nodes", "Algorithms of active runs", labels=["status"])
        for status, count in core.engine.index.counts().items():
            family.add_metric([status], count)
        yield family
        instances = gauge("orca_instances", "Addresses of processors", labels=["processor", "state"])
        waiting = gauge("orca_calls_waiting", "Calls that wait for an instance", labels=["processor"])
        for link in core.links:
            for state, count in Counter(one.state for one in link.instances.values()).items():
                instances.add_metric([str(link.key), state], count)
            waiting.add_metric([str(link.key)], link.waiting)
        yield instances
        yield waiting

    async def text(self) -> bytes:
        """Everything in Prometheus' text format."""
        assert self._core is not None
        store = self._core.core.store
        families = self._families
        backlog = families.GaugeMetricFamily("orca_backlog", "Open runs", value=await store.backlog.depth())
        sql = "SELECT coalesce(min(created_ns), 0) AS oldest FROM runs WHERE state = 0"
        oldest = (await store.fetch(sql))[0]["oldest"]
        age = families.GaugeMetricFamily(
            "orca_oldest_open_seconds",
            "Age of the oldest open run",
            value=max(0.0, time.time() - oldest / 1e9) if oldest else 0.0,
        )
        registry = families.CollectorRegistry()
        registry.register(_Ready([*self.collect(), backlog, age]))
        text: bytes = self._format.generate_latest(registry)
        return text

    # serving

    async def start(self, server: CoreServer) -> None:
        """Listen.

        Raises:
            ConfigError: The port is taken.
        """
        self._core = server
        try:
            self._listening = await asyncio.start_server(
                self._answer, LOOPBACK, self._wanted, limit=REQUEST_BYTES_MAX
            )
        except OSError as error:
            raise ConfigError(
                f"metrics_port {self._wanted} cannot be listened on: {error}", hint="choose another, or 0"
            ) from None
        self.port = self._listening.sockets[0].getsockname()[1]
        server.core.engine.observer = self
        logger.info("metrics at http://%s:%d/metrics", LOOPBACK, self.port)

    async def stop(self) -> None:
        """Close at once."""
        if self._listening is not None:
            self._listening.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), REQUEST_S)
            status, kind, body = await self._respond(head.decode("latin-1"))
            lines = (
                f"HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {len(body)}\r\n"
                "cache-control: no-store\r\nx-content-type-options: nosniff\r\nconnection: close\r\n\r\n"
            )
            writer.write(lines.encode() + body)
            await asyncio.wait_for(writer.drain(), REQUEST_S)
        except (
            OSError,
            asyncio.TimeoutError,
            asyncio.IncompleteReadError,
            asyncio.LimitOverrunError,
        ) as error:
            logger.debug("a request for metrics was given up: %s", error)
        finally:
            writer.close()

    async def _respond(self, head: str) -> tuple[str, str, bytes]:
        request, *fields = head.split("\r\n")
        headers = {
            name.strip().lower(): value.strip() for name, _, value in (x.partition(":") for x in fields)
        }
        hosts = {f"{name}:{self.port}" for name in (LOOPBACK, "localhost")}
        plain = "text/plain; charset=utf-8"
        if headers.get("host", "").lower() not in hosts:
            return "421 Misdirected Request", plain, b"This name is not served here.\n"
        assert self._core is not None
        tokens = self._core.tokens
        try:
            tokens.check(headers.get("authorization", "") if tokens.required else "", "read")
        except OrcaError as error:
            return "401 Unauthorized", plain, f"{error.message}\n".encode()
        method, _, path = request.partition(" ")
        if path.split(" ")[0].partition("?")[0] != "/metrics":
            return "404 Not Found", plain, b"Metrics are at /metrics.\n"
        if method not in ("GET", "HEAD"):
            return "405 Method Not Allowed", plain, b"Only GET.\n"
        body = await self.text()
        return "200 OK", str(self._format.CONTENT_TYPE_LATEST), b"" if method == "HEAD" else body


class _Ready:
    """A collector of what was collected already."""

    def __init__(self, families: list[Any]) -> None:
        self._found = families

    def collect(self) -> list[Any]:
        """All of it."""
        return self._found
