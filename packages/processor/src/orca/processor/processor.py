"""The processor: what users decorate with, register and run."""

from __future__ import annotations

import asyncio
import inspect
import logging
import signal
import socket
import sys
import threading
import weakref
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, TypeVar, overload

from orca.processor import _log
from orca.processor.definition import Definition, source_of
from orca.processor.discovery import CoreAddress, ProcessorAddress, find_core, find_processor, find_project
from orca.processor.errors import BaseOrcaException, InvalidAlgorithmArgument
from orca.processor.executors import ProcessExecutor
from orca.processor.model import Lookback, WindowType
from orca.processor.registry import Registry
from orca.processor.schedule import Schedules, Task
from orca.processor.specs import AlgorithmOptions, ProcessorSpec

if TYPE_CHECKING:
    import datetime as dt
    from concurrent.futures import Executor
    from pathlib import Path

    from orca.common.clock import Clock
    from orca.processor.engine import Engine
    from orca.processor.server import Server, Transport

__all__ = ["Processor"]

F = TypeVar("F", bound=Callable[..., Any])

GRACE_S: Final = 10.0


class Processor:
    """Algorithms under one name, and the server that runs them.

    Nothing is read from the environment and nothing is opened before the processor registers or starts.

    Args:
        name: The processor's name; with the project it is its identity in the core.
        max_workers: Threads for synchronous algorithms.
        project: The project; None takes ``projectName`` of orca.json.
        core: Where the core is; None looks where :mod:`orca.processor.discovery` says.
        token: The bearer token towards the core.
        bind: ``host:port`` to listen on.
        advertise: ``host:port`` that the core is told.
        require_token: A token that every caller must show; empty accepts all.
        executor: Where synchronous algorithms run: any ``concurrent.futures.Executor``, or ``"process"`` for
            worker processes of our own; None for threads.
        timeout_s: The longest that an algorithm without its own timeout may run; 0 for no limit.
        grace_s: How long a drain waits for algorithms at work.
        transport: What serves calls: see :class:`orca.processor.server.Server`.
        environ: The environment; ``os.environ`` when None.
        folder: Where the search for files begins.
        clock: For pauses and schedules.

    Example:
        >>> proc = Processor("ml")
        >>> @proc.algorithm("MyAlgo", "1.0.0", "Every30Second", "1.0.0")
        ... def my_algorithm() -> dict:
        ...     return {"result": 42}
        >>> my_algorithm()
        {'result': 42}
        >>> proc.spec("127.0.0.1:50505").algorithms[0].full_name
        'MyAlgo_1.0.0'
    """

    def __init__(
        self,
        name: str,
        max_workers: int = 10,
        *,
        project: str | None = None,
        core: str | CoreAddress | None = None,
        token: str | None = None,
        bind: str | None = None,
        advertise: str | None = None,
        require_token: str = "",
        executor: Executor | str | None = None,
        timeout_s: float = 0.0,
        grace_s: float = GRACE_S,
        transport: Transport = "auto",
        environ: Mapping[str, str] | None = None,
        folder: Path | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.name = name
        self.runtime = sys.version
        self.max_workers = max_workers
        self.registry = Registry(name)
        self.schedules = Schedules(clock=clock)
        self._project = project
        self._core = core
        self._token = token
        self._bind = bind
        self._advertise = advertise
        self._require_token = require_token
        self._executor = self._executor_of(executor)
        self._timeout_s = timeout_s
        self._grace_s = grace_s
        self._transport: Transport = transport
        self._environ = environ
        self._folder = folder
        self._clock = clock
        self._address: ProcessorAddress | None = None
        self._registered = False
        self._unsaid: list[Definition] = []
        self._stop: Callable[[], None] | None = None

    def __repr__(self) -> str:
        return f"Processor({self.name!r}, {len(self.registry)} algorithms)"

    @overload
    def algorithm(
        self,
        name: str,
        version: str,
        window_type: WindowType,
        description: str | None = None,
        depends_on: Iterable[Any] = (),
        *,
        lookback: Lookback | None = None,
        timeout_s: float = 0.0,
        attempts: int = 0,
        concurrency: int = 0,
        cache: bool = False,
        executor: Executor | str | None = None,
        exact: bool = False,
    ) -> Callable[[F], F]: ...
    @overload
    def algorithm(
        self,
        name: str,
        version: str,
        window_name: str,
        window_version: str,
        depends_on: Iterable[Any] = (),
        *,
        description: str | None = None,
        lookback: Lookback | None = None,
        timeout_s: float = 0.0,
        attempts: int = 0,
        concurrency: int = 0,
        cache: bool = False,
        executor: Executor | str | None = None,
        exact: bool = False,
    ) -> Callable[[F], F]: ...
    def algorithm(self, name: str, version: str, *positional: Any, **options: Any) -> Callable[[F], F]:
        """Make a function an algorithm; the function stays what it is.

        Mistakes are collected and told together when the processor registers, starts, or :meth:`check` is called.

        Args:
            name: PascalCase.
            version: Three numbers, such as ``1.0.0``.
            positional: A :class:`WindowType`, then the description; or a window type's name and version; then what
                the algorithm depends on: functions, stubs, :func:`lookback` or :class:`Dep`.
            options: ``lookback`` on itself; ``timeout_s``; ``attempts`` in all; ``concurrency`` at once; ``cache``
                of results; ``executor`` for this algorithm; ``exact`` for float64 numbers.
        """
        frame: Any = inspect.currentframe()
        frame = frame.f_back  # the place of the decorator, for functions that have none

        def decorate(function: F) -> F:
            definition = self._define(function, name, version, positional, options)
            definition.source = source_of(function, frame)
            # Annotations of functions inside functions may use names that only live there.
            definition.scope = dict(frame.f_locals) if frame.f_locals is not frame.f_globals else {}
            _mark(function, definition)
            self.registry.add(definition)
            if not _say(definition):
                self._unsaid.append(definition)
            return function

        return decorate

    def _define(
        self, function: Any, name: str, version: str, positional: tuple[Any, ...], options: dict[str, Any]
    ) -> Definition:
        faults: list[BaseOrcaException] = []
        window_type, description, depends_on = _read_arguments(positional, dict(options), faults)
        return Definition(
            processor=self.name,
            runtime=self.runtime,
            function=function,
            name=name,
            version=version,
            window_type=window_type,
            description=description,
            depends_on=depends_on,
            self_lookback=options.get("lookback"),
            options=_options(options, faults),
            executor=self._executor_of(options.get("executor")) or self._executor,
            exact=bool(options.get("exact", False)),
            given=faults,
        )

    def _executor_of(self, given: Executor | str | None) -> Executor | None:
        if isinstance(given, str):
            if given == "process":
                return ProcessExecutor(self.max_workers)
            if given == "thread":
                return None
            raise InvalidAlgorithmArgument(
                f"executor '{given}' is unknown", hint="give process, thread or an Executor"
            )
        return given

    def every(
        self,
        *,
        seconds: float = 0,
        minutes: float = 0,
        hours: float = 0,
        catch_up: int = 0,
        timezone: dt.tzinfo | None = None,
    ) -> Callable[[F], F]:
        """Run a function at aligned times beside the processor; see :mod:`orca.processor.schedule`."""
        return self.schedules.every(
            seconds=seconds, minutes=minutes, hours=hours, catch_up=catch_up, timezone=timezone
        )

    def cron(
        self, expression: str, *, catch_up: int = 0, timezone: dt.tzinfo | None = None
    ) -> Callable[[F], F]:
        """Run a function at the times of a cron expression beside the processor."""
        return self.schedules.cron(expression, catch_up=catch_up, timezone=timezone)

    @property
    def tasks(self) -> list[Task]:
        """What is scheduled."""
        return self.schedules.tasks

    def check(self) -> None:
        """Complete all definitions.

        Raises:
            InvalidDefinitions: There are mistakes; all are told, each with file and line.
        """
        self.registry.check()

    def spec(self, address: str) -> ProcessorSpec:
        """What is announced to the core.

        Raises:
            InvalidDefinitions: There are mistakes.
        """
        project = self._project
        if project is None:
            project = find_project(self._folder).project
        return ProcessorSpec(self.name, self.runtime, address, self.registry.specs(), project)

    def find_core(self) -> CoreAddress:
        """The core that this processor belongs to.

        Raises:
            MissingEnvVar: None is known.
        """
        return find_core(self._core, token=self._token, environ=self._environ, folder=self._folder)

    def find_address(self) -> ProcessorAddress:
        """Where this processor listens; the same answer each time."""
        if self._address is None:
            self._address = find_processor(
                bind=self._bind, advertise=self._advertise, environ=self._environ, folder=self._folder
            )
            project = find_project(self._folder)
            if project.unknown:
                text = "%s has keys that mean nothing: %s"
                _log.get_logger().warning(text, project.path, ", ".join(project.unknown))
        return self._address

    def engine(self, *, observe: Callable[[str, str, float], None] | None = None) -> Engine:
        """What runs this processor's algorithms, without a server.

        Raises:
            InvalidDefinitions: There are mistakes.
        """
        from orca.processor.engine import Engine  # noqa: PLC0415

        self.check()
        return Engine(self.registry, max_workers=self.max_workers, timeout_s=self._timeout_s, observe=observe)

    def register(self) -> None:
        """Tell the core what this processor can run; waits until the core answers.

        Raises:
            InvalidDefinitions: There are mistakes in the definitions.
            MissingEnvVar: No core is known.
            CoreError: The core refused.
        """
        from dataclasses import replace  # noqa: PLC0415

        from orca.processor.registration import register_once  # noqa: PLC0415

        self._show_lines()
        self.check()
        address = self.find_address()
        if not address.advertise_port and address.bind.endswith(":0"):
            holder, port = _held_port(address)
            weakref.finalize(self, holder.close)
            address = self._address = replace(address, bind=_bound(address.bind, port))
        register_once(self.spec(address.advertise(_port(address.bind))), self.find_core(), clock=self._clock)
        self._registered = True

    def start(self) -> None:
        """Serve until SIGTERM or Ctrl-C, then drain.

        Raises:
            InvalidDefinitions: There are mistakes in the definitions.
            BadEnvVar: The address cannot be bound.
        """
        self._show_lines()
        _run(self.serve(register=self._registered))

    def run(self) -> None:
        """Register and serve until SIGTERM or Ctrl-C; the core may start later, or be restarted."""
        self._show_lines()
        _run(self.serve())

    def _show_lines(self) -> None:
        if _log.make_visible():
            # These lines were due while the module was read, when nobody could see them.
            for definition in self._unsaid:
                _say(definition)
        self._unsaid.clear()

    # The published names.
    Register = register
    Start = start

    def stop(self) -> None:
        """Drain and end a running :meth:`serve`; from any thread."""
        stop = self._stop
        if stop is not None:
            stop()

    async def serve(self, *, register: bool = True, ready: Callable[[Server], None] | None = None) -> None:
        """Serve until cancelled, stopped or signalled, then drain.

        Args:
            register: Register with the core and stay registered.
            ready: Called with the server once it listens.

        Raises:
            InvalidDefinitions: There are mistakes in the definitions.
            CoreError: The core refused the registration.
        """
        from orca.processor.metrics import observer  # noqa: PLC0415
        from orca.processor.registration import Registrar  # noqa: PLC0415
        from orca.processor.server import Server  # noqa: PLC0415

        engine = self.engine(observe=observer(self.name))
        address = self.find_address()
        log = _log.get_logger()
        log.info("Starting Orca Processor '%s' with Python %s", self.name, self.runtime.replace("\n", ""))
        log.info("Initialising gRPC server with %d workers", self.max_workers)
        server = Server(engine, address, token=self._require_token, transport=self._transport)
        port = await server.start()
        log.info("Server listening on address %s", _bound(address.bind, port))
        log.info("Server started successfully")
        loop = asyncio.get_running_loop()
        ended = asyncio.Event()

        def stop() -> None:
            loop.call_soon_threadsafe(ended.set)

        self._stop = stop
        background: list[asyncio.Task[None]] = []
        try:
            if register:
                registrar = Registrar(self.spec(address.advertise(port)), self.find_core(), clock=self._clock)
                background.append(asyncio.create_task(registrar.run(known=self._registered)))
            if self.schedules.tasks:
                background.append(asyncio.create_task(self._keep_schedules()))
            with _signals(ended):
                log.info("Server is ready for requests")
                if ready is not None:
                    ready(server)
                await _first(ended, background)
                log.info("Draining: no new calls, up to %g s for what runs", self._grace_s)
                await server.drain(self._grace_s)
        finally:
            self._stop = None
            for task in background:
                task.cancel()
            await asyncio.gather(*background, return_exceptions=True)
            await server.stop()
            log.info("Server shutdown complete")

    async def _keep_schedules(self) -> None:
        from orca.processor.client import AsyncOrcaClient  # noqa: PLC0415

        async with AsyncOrcaClient(self.find_core(), clock=self._clock) as client:
            await self.schedules.run(client.emit)


def _read_arguments(
    positional: tuple[Any, ...], options: dict[str, Any], faults: list[BaseOrcaException]
) -> tuple[WindowType | None, str | None, tuple[Any, ...]]:
    """Window type, description and dependencies, in the words of either generation."""
    rest = list(positional)
    window: Any = rest.pop(0) if rest else options.pop("window_type", options.pop("window_name", None))
    second: Any = rest.pop(0) if rest else None
    depends_on: Any = rest.pop(0) if rest else options.pop("depends_on", ())
    description: str | None = options.pop("description", None)
    window_version: Any = options.pop("window_version", None)
    if rest or options.keys() - _OPTIONS:
        extra = [*(repr(one) for one in rest), *sorted(options.keys() - _OPTIONS)]
        faults.append(InvalidAlgorithmArgument(f"arguments that mean nothing: {', '.join(extra)}"))
    if isinstance(window, WindowType):
        return window, description if description is not None else second, tuple(depends_on)
    version = window_version if window_version is not None else second
    try:
        return WindowType(str(window), str(version)), description, tuple(depends_on)
    except BaseOrcaException as error:
        faults.append(error)
        return None, description, tuple(depends_on)


_OPTIONS: Final = frozenset(
    {"lookback", "timeout_s", "attempts", "concurrency", "cache", "executor", "exact"}
)


def _options(options: dict[str, Any], faults: list[BaseOrcaException]) -> AlgorithmOptions:
    found = AlgorithmOptions(
        timeout_s=options.get("timeout_s", 0.0),
        attempts_max=options.get("attempts", 0),
        concurrency_max=options.get("concurrency", 0),
        cache=bool(options.get("cache", False)),
    )
    for name, value in (
        ("timeout_s", found.timeout_s),
        ("attempts", found.attempts_max),
        ("concurrency", found.concurrency_max),
    ):
        if isinstance(value, bool) or not isinstance(value, (int, float)) or value < 0:  # pyright: ignore[reportUnnecessaryIsInstance]
            faults.append(InvalidAlgorithmArgument(f"{name} is {value!r}; give a number from 0"))
            return AlgorithmOptions()
    lookback = options.get("lookback")
    if lookback is not None and not isinstance(lookback, Lookback):
        hint = "lookback=look_back(n=3)"
        faults.append(InvalidAlgorithmArgument(f"lookback is {lookback!r}, and no look-back", hint=hint))
    return found


def _say(definition: Definition) -> bool:
    """Log the published line; False when nobody listens for it yet."""
    window = definition.window_type.full_name if definition.window_type else "?"
    log = _log.get_logger()
    log.info("Registering algorithm: %s (window: %s)", definition.full_name, window)
    return log.isEnabledFor(logging.INFO)


def _mark(function: Any, definition: Definition) -> None:
    """Let other code find the definition by the function, as the published SDK does by ``_name`` and ``_version``."""
    with suppress(AttributeError, TypeError):
        function._name = definition.name  # noqa: SLF001 - the published names
        function._version = definition.version  # noqa: SLF001
        function.__orca_definition__ = definition


def _port(address: str) -> int:
    return int(address.rpartition(":")[2])


def _bound(bind: str, port: int) -> str:
    return f"{bind.rpartition(':')[0]}:{port}"


def _held_port(address: ProcessorAddress) -> tuple[socket.socket, int]:
    """A free port, and what keeps it: registering comes before serving here, so it must be known before it is bound.

    A socket that is bound and never listens lets a server be bound beside it, and nobody else is given its port. Only
    Linux lets two sockets be bound to one port before either listens.
    """
    host = address.bind.rpartition(":")[0].strip("[]")
    holder = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    if sys.platform == "linux":
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        holder.bind((host, 0))
        port: int = holder.getsockname()[1]
    except OSError:
        holder.close()
        raise
    if sys.platform != "linux":
        holder.close()
    return holder, port


class _signals:  # noqa: N801 - used as a function
    """SIGTERM and SIGINT set an event, where this is the main thread."""

    def __init__(self, ended: asyncio.Event) -> None:
        self._ended = ended
        self._added: list[int] = []

    def __enter__(self) -> None:
        if threading.current_thread() is not threading.main_thread():
            return
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            with suppress(NotImplementedError):
                loop.add_signal_handler(number, self._signalled, number)
                self._added.append(number)

    def _signalled(self, number: int) -> None:
        _log.get_logger().info("Received shutdown signal, stopping server...")
        if self._ended.is_set():
            # The second signal does not wait for the drain.
            asyncio.get_running_loop().remove_signal_handler(number)
            signal.raise_signal(number)
        self._ended.set()

    def __exit__(self, *_: object) -> None:
        for number in self._added:
            asyncio.get_running_loop().remove_signal_handler(number)


async def _first(ended: asyncio.Event, background: list[asyncio.Task[None]]) -> None:
    """Wait for the end; a background task that fails ends the processor with its error."""
    waiter = asyncio.create_task(ended.wait())
    try:
        done, _ = await asyncio.wait({waiter, *background}, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        waiter.cancel()


def _run(main: Any) -> None:
    """Run a coroutine on the fastest loop there is."""
    try:
        uvloop: Any = import_module("uvloop")
    except ImportError:
        asyncio.run(main)
        return
    uvloop.run(main)
