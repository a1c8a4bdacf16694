"""Source distributions of published packages, fetched once and kept below ``.cache/sdists``.

Tests read the README examples and the test suites of published packages from here at the time of the test: nothing of
their text is part of this repository.
"""

from __future__ import annotations

import fcntl
import re
import tarfile
from pathlib import Path

from fetching import fetch
from published import published_python

__all__ = ["readme", "sdist"]

ROOT = Path(__file__).resolve().parents[2]
CACHE = ROOT / ".cache" / "sdists"
DOWNLOAD_TIMEOUT_S = 300


def sdist(name: str, version: str) -> Path:
    """The unpacked source distribution of a release.

    Raises:
        RuntimeError: The download failed; the text ends with what the client printed.
    """
    CACHE.mkdir(parents=True, exist_ok=True)
    home = CACHE / f"{name}-{version}"
    with (CACHE / f"{name}-{version}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (home / "ready").exists():
            _fetch(name, version, home)
    (folder,) = (path for path in home.iterdir() if path.is_dir())
    return folder


def readme(name: str, version: str) -> str:
    """The README of a release, from its source distribution."""
    return (sdist(name, version) / "README.md").read_text("utf-8")


def _fetch(name: str, version: str, home: Path) -> None:
    # An environment that uv made has no pip, and uv itself does not download: pip gets an environment of its own.
    python = published_python("pip==25.0.1")
    home.mkdir(parents=True, exist_ok=True)
    command = [str(python), "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", ":all:"]
    fetch([*command, f"{name}=={version}", "--dest", str(home)], timeout_s=DOWNLOAD_TIMEOUT_S)
    stem = re.sub(r"[-.]+", "_", name)
    with tarfile.open(home / f"{stem}-{version}.tar.gz") as archive:
        archive.extractall(home, filter="data")
    (home / "ready").write_text(version)
