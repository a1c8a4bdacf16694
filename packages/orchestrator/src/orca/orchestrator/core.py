"""One core: store, registry, engine, links and schedules, put together on one event loop."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from typing import TYPE_CHECKING, Any

from orca.common.clock import SystemClock
from orca.orchestrator.engine import Engine
from orca.orchestrator.errors import FieldFault, InvalidFieldError, OutdatedPlanError
from orca.orchestrator.events import EventBus
from orca.orchestrator.links import Links
from orca.orchestrator.operations import Stored, retain_again
from orca.orchestrator.registry import Registry
from orca.orchestrator.replicas import Replicas
from orca.orchestrator.store.codec import decode_registration, filter_key, window_digest
from orca.orchestrator.store.records import Accepted, NewWindow
from orca.orchestrator.wireform import metadata_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orca.common.clock import Clock
    from orca.orchestrator.model import MetadataFieldDef, ProcessorKey, WindowTypeRef
    from orca.orchestrator.registry import PlanInfo
    from orca.orchestrator.settings import CoreSettings
    from orca.orchestrator.store.port import Store
    from orca.orchestrator.store.records import ProcessorRow

__all__ = ["Core", "EmitOptions"]

logger = logging.getLogger(__name__)

NAME_CHARS_MAX = 200
# The year 2262: later nanoseconds do not fit into the 64 bits that both stores have for them.
TIME_NS_MAX = 2**63 - 1
HOUSEKEEPING_S = 30.0
# A window is planned again when registrations changed on another replica meanwhile; they do not change for ever.
PLANS_MAX = 20


class EmitOptions:
    """What goes along with a window.

    Args:
        priority: Larger goes first, -1000 to 1000.
        force: Run again although the same window is known.
        parent_id: The window whose algorithm emits this one, or 0.
        key: Replaces the idempotency key that is made from the window.
        parent_exec: The call whose algorithm emits this one, or "".
        trace: The emitter's trace context (W3C ``traceparent``), or "".
    """

    __slots__ = ("force", "key", "parent_exec", "parent_id", "priority", "trace")

    def __init__(
        self,
        *,
        priority: int = 0,
        force: bool = False,
        parent_id: int = 0,
        key: str = "",
        parent_exec: str = "",
        trace: str = "",
    ) -> None:
        self.priority = max(-1000, min(priority, 1000))
        self.force = force
        self.parent_id = parent_id
        self.key = key
        self.parent_exec = parent_exec
        self.trace = trace


_PLAIN = EmitOptions()


class Core:
    """The whole orchestrator without its servers.

    Args:
        store: Opened; the core closes it.
        settings: Checked.
        clock: For times of records.
    """

    def __init__(self, store: Store, settings: CoreSettings, *, clock: Clock | None = None) -> None:
        self.store = store
        self.settings = settings
        self.clock = clock or SystemClock()
        self.bus = EventBus(self.clock)
        self.registry = Registry(store, self.clock)
        self.engine = Engine(store, self.registry, settings, self.clock, bus=self.bus)
        self.links = Links(self.engine, settings)
        self.replicas = Replicas(self)
        self.stored = Stored()
        self.started_ns = int(self.clock.now() * 1e9)
        self._tasks: list[asyncio.Task[Any]] = []

    async def start(self) -> None:
        """Take up what the store knows: processors are dialled, open runs go on."""
        self.store.follow(self.replicas)
        await self.registry.load()
        for key, row in self.registry.rows.items():
            self.links.revise(key, row)
        self.engine.wake()
        self._tasks.append(asyncio.get_running_loop().create_task(self._housekeeping()))

    async def emit(
        self,
        kind: WindowTypeRef,
        times_ns: tuple[int, int],
        *,
        origin: str = "",
        metadata: dict[str, Any] | None = None,
        options: EmitOptions = _PLAIN,
    ) -> Accepted:
        """Store a window; when this returns, it is on disk and its algorithms will run.

        Args:
            kind: Window type, registered or not.
            times_ns: Start and end; equal for a point window.
            origin: Who emits it.
            metadata: JSON-like values.
            options: Priority and so on.

        Raises:
            InvalidFieldError: Names or times break a rule.
            StoreFullError: No space is left.
            LimitError: Too many writes wait already.
        """
        _check_window(kind, times_ns, origin)
        values = metadata or {}
        text = metadata_text(values, self.settings)
        if options.key:
            digest = window_digest(origin, "", nonce=f"key:{options.key}")
        else:
            digest = window_digest(origin, text, nonce=secrets.token_hex(8) if options.force else "")
        left = PLANS_MAX
        while True:
            trigger = self.registry.known_trigger(kind) or await self.registry.trigger(kind)
            info = trigger.info
            stored = self._storable(trigger.fields, values) if trigger.hides else text
            window = NewWindow(
                trigger.type_id,
                times_ns[0],
                times_ns[1],
                origin,
                stored,
                filter_key(trigger.fields, values) if trigger.fields else "",
                digest,
                info.plan_id if info is not None else 0,
                options.priority,
                options.parent_id,
                time.time_ns(),
                parent_exec=options.parent_exec,
                trace=options.trace,
                registry=trigger.registry,
                passing=text if trigger.hides else "",
            )
            try:
                accepted = await self._accept(window, info)
            except OutdatedPlanError:
                left -= 1
                if not left:
                    raise
                await self.replicas.refresh()
            else:
                break
        if self.bus.wanted and not accepted.duplicate:
            self.bus.publish("window", {"window_id": accepted.window_id, "type": str(kind)})
        return accepted

    def _storable(self, fields: Sequence[MetadataFieldDef], values: dict[str, Any]) -> str:
        """Metadata without what must not be stored: that goes along with the first run only, in memory."""
        hidden = {entry.name for entry in fields if entry.no_store}
        return metadata_text(
            {key: value for key, value in values.items() if key not in hidden}, self.settings
        )

    async def _accept(self, window: NewWindow, info: PlanInfo | None) -> Accepted:
        future: asyncio.Future[Accepted] = asyncio.get_running_loop().create_future()

        def done(accepted: Accepted, error: BaseException | None) -> None:
            if future.cancelled():
                return
            if error is not None:
                future.set_exception(error)
            else:
                future.set_result(accepted)

        self.engine.accept(window, info, done)
        return await future

    async def _housekeeping(self) -> None:
        while True:
            await self.clock.sleep_async(HOUSEKEEPING_S)
            try:
                async with self.store.alone("housekeeping") as mine:
                    if mine:
                        await self._forget_lost()
                        await self.keep_within_bounds()
            except Exception:
                logger.exception("housekeeping failed; trying again in %g s", HOUSEKEEPING_S)

    async def _forget_lost(self) -> None:
        """Drop addresses that stay lost while the processor has others."""
        now = time.monotonic()
        for link in list(self.links):
            gone = [
                entry
                for entry in link.instances.values()
                if entry.state == "lost" and now - entry.lost_since > self.settings.instance_forget_s
            ]
            for entry in gone[: len(link.instances) - 1]:
                await self.registry.forget_instance(link.key, entry.address)
                del link.instances[entry.address]
                await entry.close()

    async def keep_within_bounds(self) -> None:
        """Delete finished windows beyond the ages and numbers of the settings."""
        keep_ns, keep = self.settings.keep_ns, self.settings.keep_windows
        if keep_ns or keep:
            older_than_ns = self.engine.now_ns() - keep_ns if keep_ns else 0
            await retain_again(self, older_than_ns=older_than_ns, keep=keep)

    async def take_up(self, row: ProcessorRow) -> None:
        """Follow a registration of another replica: new addresses are dialled, forgotten ones let go."""
        key = decode_registration(row.definition).processor
        self.links.revise(key, row)
        link = self.links.get(key)
        known = {entry.address for entry in row.instances}
        for address in [
            entry for entry in (link.instances if link is not None else ()) if entry not in known
        ]:
            assert link is not None
            await link.instances.pop(address).close()
        if self.bus.wanted:
            self.bus.publish("processor", {"processor": str(key), "state": "registered"})

    async def release_address(self, address: str, owner: ProcessorKey) -> None:
        """An address belongs to whoever registered it last."""
        for link in list(self.links):
            if link.key != owner and address in link.instances:
                await self.registry.forget_instance(link.key, address)
                await link.instances.pop(address).close()

    async def stop(self) -> None:
        """Let running calls end for a while, write everything, close the store."""
        for task in self._tasks:
            task.cancel()
        self.replicas.stop()
        await self.links.drain(self.settings.stop_grace_s)
        await self.engine.stop()
        await self.links.close()
        await self.store.close()


def _check_window(kind: WindowTypeRef, times_ns: tuple[int, int], origin: str) -> None:
    time_from_ns, time_to_ns = times_ns
    if (
        0 < time_from_ns <= time_to_ns < TIME_NS_MAX
        and 0 < len(kind.name) <= NAME_CHARS_MAX
        and 0 < len(kind.version) <= NAME_CHARS_MAX
        and len(origin) <= NAME_CHARS_MAX
    ):
        return
    faults: list[FieldFault] = []
    for name, value in (("window_type_name", kind.name), ("window_type_version", kind.version)):
        if not 0 < len(value) <= NAME_CHARS_MAX:
            faults.append(FieldFault(name, f"has {len(value)} characters, must have 1 to {NAME_CHARS_MAX}"))
    if len(origin) > NAME_CHARS_MAX:
        faults.append(FieldFault("origin", f"has {len(origin)} characters, at most {NAME_CHARS_MAX}"))
    if not 0 < time_from_ns < TIME_NS_MAX:
        faults.append(FieldFault("time_from", "must lie after 1970-01-01T00:00:00Z and before the year 2262"))
    if not time_from_ns <= time_to_ns < TIME_NS_MAX:
        faults.append(FieldFault("time_to", "must not lie before time_from, nor after the year 2261"))
    raise InvalidFieldError(tuple(faults))
