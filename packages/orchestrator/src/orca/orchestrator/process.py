"""The core as a process: in the foreground, or in the background with a lock, a log and a clean stop."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import gc
import logging
import logging.handlers
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from orca.common.errors import DeadlineError, OrcaError
from orca.orchestrator.errors import RunningError
from orca.orchestrator.settings import CoreSettings, DatabaseUrl, from_environ

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from orca.orchestrator.server import CoreServer

__all__ = ["FolderLock", "read_core", "run_foreground", "serve", "start_background", "stop_background"]

logger = logging.getLogger(__name__)

LOG_BYTES = 5_000_000
LOG_FILES = 3
# For a machine that is busy, or whose disk takes seconds for a sync; a core that ends is noticed at once.
START_TIMEOUT_S = 90.0
STOP_TIMEOUT_S = 30.0
LOOK_S = 0.02
LOCK_TRIES = 5
# The loop and the committing thread hand the interpreter to each other: 5 ms, the default, is a commit's time.
SWITCH_INTERVAL_S = 0.0005
# A run makes some hundred short-lived objects and almost no cycles: look for those less often than by default.
GC_YOUNG_MAX = 20_000


# Processes that this one started: whoever stays to stop them also collects what they leave.
_started: list[subprocess.Popen[bytes]] = []


class FolderLock:
    """At most one core per folder; the lock goes with the process, however it ends.

    Args:
        folder: The core's folder; it is made.

    Raises:
        RunningError: Another core holds it.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._file = (folder / "core.lock").open("a")
        for _ in range(LOCK_TRIES):
            if self._locked():
                break
            # Whoever only looks, with `held`, has it for a moment.
            time.sleep(LOOK_S)
        else:
            self._file.close()
            known = read_core(folder) or {}
            where = f" at {known['address']} (pid {known['pid']})" if known else ""
            raise RunningError(f"a core runs in {folder}{where}", hint="orca status, or: orca stop")

    def _locked(self) -> bool:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        return True

    def release(self) -> None:
        """Let another core have the folder."""
        self._file.close()

    @staticmethod
    def held(folder: Path) -> bool:
        """Whether a core runs in a folder."""
        try:
            with (folder / "core.lock").open("r") as file:
                # Shared: two that look at once do not take each other for a core.
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except FileNotFoundError:
            return False
        except OSError:
            return True
        return False


def read_core(folder: Path) -> dict[str, Any] | None:
    """What ``core.json`` says, or None when there is none."""
    from orca.orchestrator.corefile import read_core_file  # noqa: PLC0415 - keeps gRPC out of `orca status`

    return read_core_file(folder)


async def serve(settings: CoreSettings, *, ready: Callable[[CoreServer], None] | None = None) -> None:
    """Run a core until SIGTERM or SIGINT.

    Args:
        settings: As given; they are checked here.
        ready: Is called when it listens.

    Raises:
        OrcaError: It cannot start.
    """
    from orca.orchestrator.server import open_core  # noqa: PLC0415

    lock = FolderLock(settings.folder)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    path: Path | None = None
    try:
        traced = _traced(settings)
        server = await open_core(settings)
        try:
            await server.start()
            await _mount_metrics(server)
            await _mount_pages(server)
            path = server.write_core_file()
            # What is alive now lives as long as the process: the collector need not look at it again.
            gc.freeze()
            if ready is not None:
                ready(server)
            await stop.wait()
        finally:
            await server.stop()
            await asyncio.to_thread(traced)
    finally:
        if path is not None:
            path.unlink(missing_ok=True)
        lock.release()


def _traced(settings: CoreSettings) -> Callable[[], None]:
    """Export spans when the settings ask for it; gives what writes the last of them."""
    if not settings.tracing:
        return lambda: None
    from orca.orchestrator.tracing import configure  # noqa: PLC0415 - only when it is used

    return configure(settings.tracing)


async def _mount_metrics(server: CoreServer) -> None:
    """Serve numbers for Prometheus when the settings ask for it."""
    if server.settings.metrics_port >= 0:
        from orca.orchestrator.metrics import Metrics  # noqa: PLC0415 - only when it is used

        await server.mount(Metrics(server.settings.metrics_port))


async def _mount_pages(server: CoreServer) -> None:
    """The pages are an addition: without them, or without what they need, the core serves as well."""
    if server.settings.web_port < 0:
        return
    from importlib import import_module  # noqa: PLC0415

    try:
        pages: Any = import_module("orca.orchestrator.dashboard")
    except ImportError as error:
        logger.warning("no pages are served: %s", error)
        return
    await server.mount(pages.mounted(server))


def run_foreground(settings: CoreSettings, *, ready: Callable[[CoreServer], None] | None = None) -> None:
    """`serve` on the fastest loop there is."""
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    gc.set_threshold(GC_YOUNG_MAX, 20, 50)
    if sys.platform == "win32":  # pragma: no cover - uvloop does not exist there
        asyncio.run(serve(settings, ready=ready))
    else:
        import uvloop  # noqa: PLC0415

        uvloop.run(serve(settings, ready=ready))


def main() -> int:
    """``python -m orca.orchestrator``: what `orca start` runs in the background."""
    settings = from_environ()
    settings.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    handler = logging.handlers.RotatingFileHandler(
        settings.folder / "core.log", maxBytes=LOG_BYTES, backupCount=LOG_FILES, encoding="utf-8"
    )
    logging.basicConfig(
        level=logging.INFO, handlers=[handler], format="%(asctime)s %(levelname)s %(name)s %(message)s"
    )
    try:
        run_foreground(settings, ready=lambda server: logger.info("listening on %s", server.address))
    except OrcaError as error:
        logger.error("%s", error)
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    return 0


def start_background(
    settings: CoreSettings, *, upgrading: Callable[[], None] | None = None
) -> dict[str, Any]:
    """Start a core in a process of its own and wait until it listens; gives what ``core.json`` says.

    Args:
        settings: As given; they are checked here.
        upgrading: Is called once when the store is brought up to date first, which is waited for without limit.

    Raises:
        RunningError: One runs in the folder already, or the port is taken.
        ConfigError: The settings cannot work.
        DeadlineError: It did not listen in time.
    """
    checked = settings.checked()
    FolderLock(checked.folder).release()
    environ = {**os.environ, **_environ(replace(checked, folder=checked.folder.absolute()))}
    with (checked.folder / "core.start.log").open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "orca.orchestrator"],
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    _started.append(process)
    return _wait_until_listening(process, checked, upgrading)


def _wait_until_listening(
    process: subprocess.Popen[bytes], settings: CoreSettings, upgrading: Callable[[], None] | None
) -> dict[str, Any]:
    """Wait for a core that was started; the limit counts from the end of an upgrade."""
    folder = settings.folder
    deadline = time.monotonic() + START_TIMEOUT_S
    told = False
    while (now := time.monotonic()) < deadline:
        known = read_core(folder)
        if known is not None and known.get("pid") == process.pid:
            return known
        if process.poll() is not None:
            text = (folder / "core.start.log").read_text("utf-8", "replace").strip()
            raise RunningError(f"the core ended at once: {text[-2000:]}", hint=f"see {folder / 'core.log'}")
        if settings.upgrade_mark.exists():
            deadline = now + START_TIMEOUT_S
            if not told and upgrading is not None:
                upgrading()
            told = True
        time.sleep(LOOK_S)
    process.terminate()
    raise DeadlineError(
        f"the core did not listen within {START_TIMEOUT_S:g} s", hint=f"see {folder}/core.log"
    )


def _environ(settings: CoreSettings) -> dict[str, str]:
    plain = CoreSettings()
    found: dict[str, str] = {"ORCA_CORE_FOLDER": str(settings.folder)}
    for name in CoreSettings.__slots__:
        value = getattr(settings, name)
        if name in ("folder", "retry") or value == getattr(plain, name):
            continue
        if isinstance(value, DatabaseUrl):
            text = value.reveal()
        else:
            text = ",".join(value) if isinstance(value, tuple) else str(value)  # pyright: ignore[reportUnknownArgumentType]
        found[f"ORCA_CORE_{name.upper()}"] = text
    return found


def stop_background(folder: Path) -> bool:
    """End the core of a folder; gives whether one ran.

    Raises:
        DeadlineError: It did not end in time.
    """
    known = read_core(folder)
    if not FolderLock.held(folder):
        (folder / "core.json").unlink(missing_ok=True)
        return False
    if known is None:
        raise RunningError(
            f"a core runs in {folder}, but it does not say where", hint="it may be starting: try again"
        )
    pid = int(known["pid"])
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + STOP_TIMEOUT_S
    while FolderLock.held(folder):
        if time.monotonic() > deadline:
            raise DeadlineError(
                f"the core (pid {pid}) did not end within {STOP_TIMEOUT_S:g} s", hint=f"kill {pid}"
            )
        time.sleep(LOOK_S)
    for process in [entry for entry in _started if entry.pid == pid]:
        process.wait()
        _started.remove(process)
    return True
