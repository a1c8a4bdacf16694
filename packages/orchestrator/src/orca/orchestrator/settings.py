"""Everything that can be set on a core, with its bound or reason; `from_environ` reads ``ORCA_CORE_*``."""

from __future__ import annotations

import ipaddress
import os
import re
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING

from orca.common.errors import ConfigError
from orca.orchestrator.execution import RetryRule

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "DEFAULT_PORT",
    "DEFAULT_WEB_PORT",
    "CoreSettings",
    "DatabaseUrl",
    "from_environ",
    "is_loopback",
]

DEFAULT_PORT = 33670
"""Where `orca start` listens unless the port is taken or another is asked for."""


DEFAULT_WEB_PORT = 33671
"""Where the pages of `orca start` are, unless the port is taken or another is asked for."""


class DatabaseUrl:
    """Where a shared store is, password and all; it shows itself without the password.

    Example:
        >>> url = DatabaseUrl("postgresql://orca:secret@db:5432/orca?sslmode=require")
        >>> print(url)
        postgresql://orca:***@db:5432/orca?sslmode=require
        >>> bool(DatabaseUrl("")), url.reveal() == str(url)
        (False, False)
    """

    __slots__ = ("_text",)

    def __init__(self, text: str = "") -> None:
        self._text = text

    def reveal(self) -> str:
        """The whole text, for the driver."""
        return self._text

    def __str__(self) -> str:
        shown = re.sub(r"^(\w+://[^:@/]*):.*@", r"\1:***@", self._text)
        return re.sub(r"(?<=[?&])((?:ssl)?password=)[^&]*", r"\1***", shown)

    def __repr__(self) -> str:
        return f"DatabaseUrl({str(self)!r})"

    def __bool__(self) -> bool:
        return bool(self._text)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, DatabaseUrl) and other._text == self._text

    def __hash__(self) -> int:
        return hash(self._text)


# Shorter than this a busy machine loses its runs to nobody's fault; longer than this nobody waits.
LEASE_S_MIN, LEASE_S_MAX = 1.0, 3600.0


@dataclass(frozen=True, slots=True)
class CoreSettings:
    """How one core runs.

    Attributes:
        folder: Holds the store, ``core.json``, the lock and the log.
        database: ``postgresql://user:password@host/name`` of a store that several replicas share; "" is SQLite
            in the folder.
        database_connections_max: Connections for reading, besides four that write, listen and hold locks.
        lease_s: How long a replica that died keeps its runs; then others take them over.
        host: The address to listen on; beyond loopback only with TLS and tokens.
        port: gRPC port; 0 takes a free one.
        web_port: Port of the pages; 0 takes a free one, -1 serves none.
        synchronous: ``FULL`` or ``NORMAL`` (may lose the last commits in a power cut).
        tls_cert: PEM file of the server's certificate chain.
        tls_key: PEM file of its key.
        tls_client_ca: PEM file; clients must then show a certificate signed by it.
        processor_ca: PEM file; processors are then dialled with TLS and must show a certificate signed by it.
        auth: Whether every call needs a token. Always on beyond loopback.
        allowed_networks: Where processors may be dialled, as CIDR; loopback always is.
        timeout_s: The longest one attempt of an algorithm may run, unless its processor says otherwise.
        attempts_max: How often a failing body is tried in all, unless its processor says otherwise.
        active_runs_max: Runs held in memory; the rest of the backlog stays on disk.
        calls_per_instance_max: Concurrent calls to one instance of our worker.
        calls_per_published_max: Concurrent calls to a published worker: its ten threads also answer health
            checks.
        fuse_chains: Whether a chain of algorithms goes to one of our workers in one call; without it each
            algorithm is a call of its own, as with published workers.
        metadata_bytes_max: Size of one window's metadata as JSON.
        metadata_depth_max: Nesting of one window's metadata.
        emit_many_max: Windows in one EmitMany call.
        call_deadline_s: The longest any answering (not watching) call may take.
        health_interval_s: Pause between health checks of an instance.
        instance_forget_s: When an instance that stays lost is forgotten, unless it is the only one.
        stop_grace_s: How long running calls may go on at a stop before they are given up (and run again at
            the next start).
        retry: Delays and bounds of repeated attempts.
        keep_ns: Finished windows older than this are deleted; 0 keeps all.
        machines: SQLite file of state machines for the pages; "" looks for ``machines.db`` in the folder.
        outbox: Folder of undelivered task events for the pages; "" looks for ``outbox`` in the folder.
        metrics_port: Port of Prometheus' ``/metrics`` on loopback; 0 takes a free one, -1 serves none.
        tracing: Name of an OpenTelemetry exporter for spans of windows and calls, such as ``otlp_proto_grpc``;
            "" exports none.
        keep_windows: At most so many finished windows are kept; 0 keeps all.
    """

    folder: Path = field(default_factory=lambda: Path(".orca"))
    database: DatabaseUrl = field(default_factory=DatabaseUrl)
    database_connections_max: int = 5
    lease_s: float = 10.0
    host: str = "127.0.0.1"
    port: int = DEFAULT_PORT
    web_port: int = -1
    synchronous: str = "FULL"
    tls_cert: str = ""
    tls_key: str = ""
    tls_client_ca: str = ""
    processor_ca: str = ""
    auth: bool = False
    allowed_networks: tuple[str, ...] = ()
    timeout_s: float = 3600.0
    attempts_max: int = 1
    active_runs_max: int = 1000
    calls_per_instance_max: int = 100
    calls_per_published_max: int = 8
    fuse_chains: bool = True
    metadata_bytes_max: int = 1024 * 1024
    metadata_depth_max: int = 20
    emit_many_max: int = 10_000
    call_deadline_s: float = 60.0
    health_interval_s: float = 5.0
    instance_forget_s: float = 600.0
    stop_grace_s: float = 5.0
    retry: RetryRule = field(default_factory=RetryRule)
    keep_ns: int = 0
    keep_windows: int = 0
    machines: str = ""
    outbox: str = ""
    metrics_port: int = -1
    tracing: str = ""

    @property
    def store_path(self) -> Path:
        """The SQLite file."""
        return self.folder / "orca.db"

    @property
    def upgrade_mark(self) -> Path:
        """A file that is there while an older store is copied and brought up to date: minutes for a large one."""
        return self.folder / "core.upgrading"

    def checked(self) -> CoreSettings:
        """These settings with ``auth`` on where it must be.

        Raises:
            ConfigError: They cannot work, or are not safe; every fault is named.
        """
        faults: list[str] = []
        if bool(self.tls_cert) != bool(self.tls_key):
            faults.append("tls_cert and tls_key go together, and only one is set")
        if self.synchronous not in ("FULL", "NORMAL"):
            faults.append(f"synchronous is {self.synchronous!r}, not FULL or NORMAL")
        if not 0 <= self.port <= 65_535:
            faults.append(f"port is {self.port}, not 0 to 65535")
        faults.extend(_network_faults(self.allowed_networks))
        if self.database and not self.database.reveal().startswith(("postgresql://", "postgres://")):
            faults.append("database is no address of the form postgresql://user:password@host:5432/name")
        if self.database_connections_max < 1:
            faults.append(f"database_connections_max is {self.database_connections_max}, not 1 or more")
        if not LEASE_S_MIN <= self.lease_s <= LEASE_S_MAX:
            faults.append(f"lease_s is {self.lease_s:g}, not {LEASE_S_MIN:g} to {LEASE_S_MAX:g}")
        outside = not is_loopback(self.host)
        if outside and not self.tls_cert:
            faults.append(f"host {self.host} is beyond loopback, which needs tls_cert and tls_key")
        if faults:
            raise ConfigError(
                "; ".join(faults), hint="listen on 127.0.0.1, or configure TLS: orca start --help"
            )
        return replace(self, auth=True) if outside else self


def _network_faults(networks: tuple[str, ...]) -> list[str]:
    faults: list[str] = []
    for text in networks:
        fault = _network_fault(text)
        if fault:
            faults.append(fault)
    return faults


def _network_fault(text: str) -> str:
    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError as error:
        return f"allowed_networks: {error}"
    return ""


def is_loopback(host: str) -> bool:
    """Whether an address to listen on cannot be reached from outside.

    Example:
        >>> is_loopback("127.0.0.1"), is_loopback("localhost"), is_loopback("0.0.0.0")
        (True, True, False)
    """
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


_PREFIX = "ORCA_CORE_"
_TEXTS = (
    "host",
    "synchronous",
    "tls_cert",
    "tls_key",
    "tls_client_ca",
    "processor_ca",
    "machines",
    "outbox",
    "tracing",
)


def from_environ(
    environ: Mapping[str, str] | None = None, *, base: CoreSettings | None = None
) -> CoreSettings:
    """Settings with what ``ORCA_CORE_NAME`` variables say, such as ``ORCA_CORE_PORT=40000``.

    Raises:
        ConfigError: A value has a wrong form; all of them are named.

    Example:
        >>> from_environ({"ORCA_CORE_PORT": "40000"}).port
        40000
    """
    values = os.environ if environ is None else environ
    settings = base or CoreSettings()
    changes: dict[str, object] = {}
    faults: list[str] = []
    for entry in fields(CoreSettings):
        name = _PREFIX + entry.name.upper()
        if name in values:
            try:
                changes[entry.name] = _parse(entry.name, values[name], getattr(settings, entry.name))
            except ValueError:
                faults.append(f"{name}={values[name]!r} has a wrong form")
    if faults:
        raise ConfigError("; ".join(faults))
    return replace(settings, **changes)  # type: ignore[arg-type]


def _parse(name: str, text: str, present: object) -> object:
    if name in _TEXTS:
        return text
    if name == "folder":
        return Path(text)
    if name == "database":
        return DatabaseUrl(text)
    if name == "allowed_networks":
        return tuple(part.strip() for part in text.split(",") if part.strip())
    if isinstance(present, bool):
        if text.lower() not in ("1", "0", "true", "false", "yes", "no"):
            raise ValueError(text)
        return text.lower() in ("1", "true", "yes")
    if isinstance(present, int):
        return int(text)
    if isinstance(present, float):
        return float(text)
    raise ValueError(name)
