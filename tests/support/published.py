"""Environments that hold a published package, so that it can stand as a real counterpart in a test.

Each requirement set gets its own virtual environment below ``.cache/published``, made once and kept: the
folder's name is a hash of the requirements and the interpreter, and a marker file is written last, so that a
half-made environment is never used.
"""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

__all__ = ["published_python"]

ROOT = Path(__file__).resolve().parents[2]
CACHE = ROOT / ".cache" / "published"
INSTALL_TIMEOUT_S = 600
INSTALLS_MAX = 3


def published_python(*requirements: str, python: str = sys.executable) -> Path:
    """Return the interpreter of an environment that holds exactly ``requirements`` and what they need.

    Args:
        requirements: Requirement strings with exact versions, such as ``"orca-python==0.13.0"``.
        python: The interpreter that the environment is made with.

    Raises:
        RuntimeError: The installer failed; the text ends with what it printed.
    """
    key = hashlib.sha256("\n".join([sys.version, python, *sorted(requirements)]).encode()).hexdigest()[:16]
    home = CACHE / key
    interpreter = home / "bin" / "python"
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / f"{key}.lock").open("w") as lock:
        # Two test processes may ask for the same environment at once.
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (home / "ready").exists():
            _make_in_the_end(home, python, requirements)
            (home / "ready").write_text("\n".join(requirements))
    return interpreter


def _make_in_the_end(home: Path, python: str, requirements: tuple[str, ...]) -> None:
    """Begin anew where an index has answered late or not at all, which says nothing about the package."""
    for _ in range(INSTALLS_MAX - 1):
        with suppress(RuntimeError, subprocess.TimeoutExpired):
            return _make(home, python, requirements)
    return _make(home, python, requirements)


def _make(home: Path, python: str, requirements: tuple[str, ...]) -> None:
    shutil.rmtree(home, ignore_errors=True)
    uv = shutil.which("uv")
    interpreter = str(home / "bin" / "python")
    if uv:
        _run(uv, "venv", "--quiet", "--python", python, str(home))
        _run(uv, "pip", "install", "--quiet", "--python", interpreter, *requirements)
    else:
        _run(python, "-m", "venv", str(home))
        _run(interpreter, "-m", "pip", "install", "--quiet", *requirements)


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_TIMEOUT_S, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")
