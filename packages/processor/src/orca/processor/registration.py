"""Telling the core what this processor can run: until it answers, and again whenever it has forgotten."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any, Final

from orca.common.clock import SystemClock
from orca.common.retry import Retry, RetryPolicy
from orca.processor import _border, _log, wire
from orca.processor.convert import processor_to_wire
from orca.processor.errors import BaseOrcaException, CoreError, NotOffered

if TYPE_CHECKING:
    from collections.abc import Callable

    from orca.common.clock import Clock
    from orca.processor.discovery import CoreAddress
    from orca.processor.specs import ProcessorSpec

__all__ = ["OPTIONS_KEY", "Registrar", "metadata_for", "register_once"]

OPTIONS_KEY: Final = "orca-algorithm-options"
"""Metadata of RegisterProcessor: a JSON object from full name to timeout_s, attempts_max, concurrency_max, cache."""

RETRY: Final = RetryPolicy(attempts=100_000, initial_s=0.2, factor=1.7, max_s=5.0, jitter=0.3)
"""Until the core answers: a processor that is started before its core is ordinary."""

HEARTBEAT_S: Final = 30.0
"""How often the core is asked whether it still knows this processor; a lost connection is noticed at once."""

CALL_TIMEOUT_S: Final = 10.0
TEXT_CHARS_MAX: Final = 300


def metadata_for(spec: ProcessorSpec) -> tuple[tuple[str, str], ...]:
    """What is announced beside the message: features, and how algorithms should be run."""
    options: dict[str, dict[str, Any]] = {}
    for algorithm in spec.algorithms:
        given = {
            name: getattr(algorithm.options, name)
            for name in ("timeout_s", "attempts_max", "concurrency_max", "cache")
            if getattr(algorithm.options, name)
        }
        if given:
            options[algorithm.full_name] = given
    features = (wire.FEATURES_KEY, ",".join(wire.FEATURES))
    return (features, (OPTIONS_KEY, json.dumps(options))) if options else (features,)


def _announce(spec: ProcessorSpec) -> None:
    _log.get_logger().info("Preparing to register processor '%s' with Orca Core", spec.name)


def _answered(reply: wire.Status) -> None:
    # As the published SDK prints it, in one line and with its spelling.
    parts = ["received: true"] if reply.received else []
    parts += [f"message: {json.dumps(reply.message)}"] if reply.message else []
    _log.get_logger().info("Algorithm registration response recieved: %s", " ".join(parts))


def _decide(error: Exception) -> Any:
    return _border.decide(error)


def _waiting(core: CoreAddress) -> Callable[[Retry], None]:
    """Say once that the core is away, then only now and then."""

    def tell(retry: Retry) -> None:
        if retry.attempt == 1 or retry.attempt % 20 == 0:
            text = "Waiting for Orca Core at %s: %s"
            _log.get_logger().warning(
                text, core.url, str(getattr(retry.error, "message", retry.error))[:TEXT_CHARS_MAX]
            )

    return tell


def _refused(reply: wire.Status, spec: ProcessorSpec) -> None:
    if not reply.received:
        text = f"the core refused processor '{spec.name}': {reply.message or 'no reason given'}"
        raise CoreError(text, status="REFUSED", details=reply.message)


def register_once(
    spec: ProcessorSpec, core: CoreAddress, *, retry: RetryPolicy = RETRY, clock: Clock | None = None
) -> str:
    """Register and return; waits until the core answers.

    Args:
        spec: What to announce.
        core: Where.
        retry: How patiently.
        clock: For the pauses.

    Returns:
        What the core said.

    Raises:
        CoreError: The core refused.
        CoreUnreachable: It did not answer as often as ``retry`` says.
    """
    import grpc  # noqa: PLC0415

    _announce(spec)
    metadata = _border.invocation_metadata(core, *metadata_for(spec))
    with _border.open_channel(core, asynchronous=False) as channel:
        register = wire.call(channel, wire.OrcaCore.RegisterProcessor)

        def attempt() -> Any:
            try:
                return register(processor_to_wire(spec), timeout=CALL_TIMEOUT_S, metadata=metadata)
            except grpc.RpcError as error:
                raise _border.map_rpc_error(error, core, "RegisterProcessor") from error

        reply = retry.call(attempt, decide=_decide, clock=clock, on_retry=_waiting(core))
    _answered(reply)
    _refused(reply, spec)
    return str(reply.message)


class Registrar:
    """Keeps a processor registered while it runs.

    Args:
        spec: What to announce.
        core: Where.
        retry: How patiently.
        heartbeat_s: See :data:`HEARTBEAT_S`.
        clock: For pauses.
    """

    def __init__(
        self,
        spec: ProcessorSpec,
        core: CoreAddress,
        *,
        retry: RetryPolicy = RETRY,
        heartbeat_s: float = HEARTBEAT_S,
        clock: Clock | None = None,
    ) -> None:
        self.spec = spec
        self.core = core
        self.registered = asyncio.Event()
        self._retry = retry
        self._heartbeat_s = heartbeat_s
        self._clock: Clock = clock or SystemClock()
        self._expose = True

    async def run(self, *, known: bool = False) -> None:
        """Register, then watch; ends only by cancellation or when the core refuses.

        Args:
            known: The processor is registered already.

        Raises:
            CoreError: The core refused the registration.
        """
        async with _border.open_channel(self.core, asynchronous=True) as channel:
            while True:
                if not known:
                    await self._register(channel)
                self.registered.set()
                await self._until_lost(channel)
                self.registered.clear()
                known = False
                _log.get_logger().warning(
                    "Orca Core at %s lost this processor: registering again", self.core.url
                )

    async def _register(self, channel: Any) -> None:
        import grpc  # noqa: PLC0415

        _announce(self.spec)
        register = wire.call(channel, wire.OrcaCore.RegisterProcessor)
        metadata = _border.invocation_metadata(self.core, *metadata_for(self.spec))
        message = processor_to_wire(self.spec)

        async def attempt() -> Any:
            try:
                return await register(message, timeout=CALL_TIMEOUT_S, metadata=metadata)
            except grpc.RpcError as error:
                raise _border.map_rpc_error(error, self.core, "RegisterProcessor") from error

        reply = await self._retry.call_async(
            attempt, decide=_decide, clock=self._clock, on_retry=_waiting(self.core)
        )
        _answered(reply)
        _refused(reply, self.spec)

    async def _until_lost(self, channel: Any) -> None:
        """Return when the connection is gone, or the core no longer knows this processor."""
        import grpc  # noqa: PLC0415

        ready = grpc.ChannelConnectivity.READY
        while True:
            state = channel.get_state(try_to_connect=True)
            while state in {grpc.ChannelConnectivity.IDLE, grpc.ChannelConnectivity.CONNECTING}:
                await channel.wait_for_state_change(state)
                state = channel.get_state(try_to_connect=True)
            if state is not ready:
                return
            changed = asyncio.ensure_future(channel.wait_for_state_change(state))
            beat = asyncio.ensure_future(self._clock.sleep_async(self._heartbeat_s))
            try:
                await asyncio.wait({changed, beat}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                lost = changed.done()
                changed.cancel()
                beat.cancel()
            if lost or not await self._known(channel):
                return

    async def _known(self, channel: Any) -> bool:
        """Whether the core still lists this processor; cores before 0.11 cannot tell, and count as yes."""
        import grpc  # noqa: PLC0415

        if not self._expose:
            return True
        call = wire.call(channel, wire.OrcaCore.Expose)
        metadata = _border.invocation_metadata(self.core)
        try:
            state = await call(wire.ExposeSettings(), timeout=CALL_TIMEOUT_S, metadata=metadata)
        except grpc.RpcError as error:
            mapped: BaseOrcaException = _border.map_rpc_error(error, self.core, "Expose")
            if isinstance(mapped, NotOffered):
                self._expose = False
            # A refusal to answer this question says nothing about the registration.
            return isinstance(mapped, CoreError)
        mine = (self.spec.project, self.spec.name)
        return any((one.project_name, one.name) == mine for one in state.processors)
