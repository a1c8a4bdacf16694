"""The listening side of a core: gRPC services, health, and whatever pages are mounted on the same loop."""

from __future__ import annotations

import asyncio
import logging
import os
from typing import TYPE_CHECKING, Any, Protocol

import grpc
import grpc.aio

from orca.common.errors import OrcaError
from orca.orchestrator import __version__
from orca.orchestrator.core import Core
from orca.orchestrator.corefile import write_core_file
from orca.orchestrator.errors import RunningError
from orca.orchestrator.health import HealthService
from orca.orchestrator.ports import holder_of, port_taken
from orca.orchestrator.rpc import Guard
from orca.orchestrator.scheduler import Scheduler
from orca.orchestrator.security import TokenTable, new_token, server_credentials, token_digest
from orca.orchestrator.service_core import CoreService
from orca.orchestrator.service_query import QueryService
from orca.orchestrator.service_reads import ReadService
from orca.orchestrator.store.opening import open_store
from orca.processor import wire

if TYPE_CHECKING:
    from pathlib import Path

    from orca.orchestrator.settings import CoreSettings
    from orca.orchestrator.store.port import Store

__all__ = ["CoreServer", "Mounted", "open_core"]

logger = logging.getLogger(__name__)

# One connection may ask for this much at a time; more waits in its own flow control.
CONCURRENT_RPCS_MAX = 10_000
# What the token in core.json is called.
OWN_TOKEN = "core.json"  # noqa: S105 - a name


class Mounted(Protocol):
    """Something that serves beside gRPC on the core's loop, such as the pages."""

    async def start(self, server: CoreServer) -> None:
        """Listen."""
        ...

    async def stop(self) -> None:
        """Close within half a second."""
        ...


class CoreServer:
    """A core that listens.

    Attributes:
        core: What it serves.
        port: Where it listens.
        token: An admin token for this life of the core; it is written into ``core.json`` only.
        tokens: All tokens.
        scheduler: Fires the schedules.
        web_url: Where the pages are, once something is mounted.
    """

    def __init__(self, core: Core, tokens: TokenTable) -> None:
        self.core = core
        self.settings = core.settings
        self.tokens = tokens
        self.token = new_token()
        self.port = 0
        self.web_url = ""
        self.scheduler = Scheduler(core)
        self._health = HealthService()
        self._server: grpc.aio.Server | None = None
        self._mounted: list[Mounted] = []
        self._reading: set[asyncio.Task[None]] = set()
        tokens.add(token_digest(self.token), OWN_TOKEN, ("admin",))

    @property
    def address(self) -> str:
        """``host:port`` for clients."""
        host = self.settings.host
        return f"[{host}]:{self.port}" if ":" in host else f"{host}:{self.port}"

    async def start(self) -> None:
        """Listen, then go on with what the store holds.

        Raises:
            RunningError: The port is taken.
        """
        guard = Guard(self.tokens, deadline_s=self.settings.call_deadline_s)
        table: dict[Any, Any] = {
            **CoreService(self.core).handlers(guard),
            **ReadService(self.core).handlers(guard),
            **QueryService(self).handlers(guard),
        }
        server = grpc.aio.server(
            options=wire.channel_options(server=True), maximum_concurrent_rpcs=CONCURRENT_RPCS_MAX
        )
        server.add_generic_rpc_handlers((self._health.handler(), wire.aio_handler(table)))
        host = f"[{self.settings.host}]" if ":" in self.settings.host else self.settings.host
        target = f"{host}:{self.settings.port}"
        if self.settings.port and port_taken(self.settings.host, self.settings.port):
            who = holder_of(self.settings.port) or "another program"
            raise RunningError(f"{target} is taken by {who}", hint="choose another port: orca start --port 0")
        try:
            if self.settings.tls_cert:
                self.port = server.add_secure_port(target, server_credentials(self.settings))
            else:
                self.port = server.add_insecure_port(target)
        except RuntimeError as error:
            text = f"{target} cannot be listened on: {error}"
            raise RunningError(text, hint="choose another address: orca start --help") from error
        self._server = server
        self.core.replicas.on_schedules = self.scheduler.changed
        self.core.replicas.on_tokens = self._tokens_changed
        # First what the store knows: a window that comes at once finds its plan.
        await self.core.start()
        await server.start()
        self.scheduler.start()
        self._health.serving()

    def _tokens_changed(self) -> None:
        task = asyncio.get_running_loop().create_task(self._read_tokens())
        self._reading.add(task)
        task.add_done_callback(self._reading.discard)

    async def _read_tokens(self) -> None:
        try:
            known = await _known_tokens(self.core.store)
        except OrcaError as error:
            # The connection will be back, and then everything is read anew.
            logger.warning("tokens could not be read: %s", error)
            return
        known[token_digest(self.token)] = (OWN_TOKEN, ("admin",))
        self.tokens.replace(known)

    async def mount(self, mounted: Mounted) -> None:
        """Serve something more on this loop."""
        self._mounted.append(mounted)
        await mounted.start(self)

    async def stop(self) -> None:
        """Refuse new calls, let running ones end, close everything."""
        self._health.stopping()
        self.scheduler.stop()
        for mounted in self._mounted:
            await mounted.stop()
        if self._server is not None:
            await self._server.stop(grace=0.2)
        await self.core.stop()

    def write_core_file(self) -> Path:
        """Write ``core.json`` with address, token and pid, readable by the user alone."""
        content = {
            "address": self.address,
            "tls": bool(self.settings.tls_cert),
            "token": self.token,
            "pid": os.getpid(),
            "web": self.web_url,
            "version": __version__,
            "store": str(self.settings.database) or str(self.settings.store_path.absolute()),
        }
        return write_core_file(self.settings.folder, content)


async def open_core(settings: CoreSettings) -> CoreServer:
    """Open the store and make a server that is ready to start.

    Raises:
        StoreNewerError: A newer program wrote the store.
        ConfigError: The settings cannot work.
    """
    checked = settings.checked()
    store = await open_store(checked)
    tokens = TokenTable(await _known_tokens(store), required=checked.auth)
    return CoreServer(Core(store, checked), tokens)


async def _known_tokens(store: Store) -> dict[str, tuple[str, tuple[str, ...]]]:
    rows = await store.fetch("SELECT name, digest, scopes FROM tokens")
    return {row["digest"]: (row["name"], tuple(row["scopes"].split(","))) for row in rows}
