"""Environments with this repository's packages installed as users install them: from wheels, not from the sources."""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

from installer import run_installer

__all__ = ["Environment", "wheels"]

ROOT = Path(__file__).resolve().parents[2]
CACHE = ROOT / ".cache" / "wheels"
COMMAND_TIMEOUT_S = 600


def wheels(*packages: str) -> list[Path]:
    """The wheels of these packages as their sources are now; each is built once for one state of its sources."""
    return [_wheel(ROOT / "packages" / package) for package in packages]


def _wheel(folder: Path) -> Path:
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        # Another process may be compiling here: what lies below __pycache__ comes and goes.
        if {"tests", "__pycache__"}.isdisjoint(path.parts) and path.suffix != ".pyc" and path.is_file():
            digest.update(str(path.relative_to(folder)).encode() + path.read_bytes())
    home = CACHE / f"{folder.name}-{digest.hexdigest()[:16]}"
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / f"{folder.name}.lock").open("w") as lock:
        # Two test processes may want the same wheel.
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not list(home.glob("*.whl")):
            for old in CACHE.glob(f"{folder.name}-*"):
                shutil.rmtree(old)
            _build(folder, home)
    (wheel,) = home.glob("*.whl")
    return wheel


def _build(folder: Path, home: Path) -> None:
    uv = shutil.which("uv")
    if uv:
        run_installer(uv, "build", "--quiet", "--wheel", "--out-dir", str(home), str(folder))
    else:
        run_installer(
            sys.executable,
            "-m",
            "pip",
            "wheel",
            "--quiet",
            "--no-deps",
            "--wheel-dir",
            str(home),
            str(folder),
        )


class Environment:
    """A fresh virtual environment.

    Args:
        folder: Where it is made.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.uv = shutil.which("uv")
        self.python = folder / "bin" / "python"
        if self.uv:
            run_installer(self.uv, "venv", "--quiet", "--python", sys.executable, str(folder))
        else:
            run_installer(sys.executable, "-m", "venv", str(folder))

    def install(self, *requirements: str | Path, options: tuple[str, ...] = ()) -> None:
        """Install by uv where it is there, else by pip."""
        self._pip("install", *options, *map(str, requirements))

    def uninstall(self, name: str) -> None:
        """Take a distribution away."""
        self._pip("uninstall", *(() if self.uv else ("-y",)), name)

    def _pip(self, verb: str, *arguments: str) -> None:
        if self.uv:
            run_installer(self.uv, "pip", verb, "--quiet", "--python", str(self.python), *arguments)
        else:
            run_installer(str(self.python), "-m", "pip", verb, "--quiet", *arguments)

    def run(self, *command: str, cwd: Path) -> subprocess.CompletedProcess[str]:
        """Run a program of the environment, by its name in ``bin``, and return how it ended."""
        return subprocess.run(
            [str(self.folder / "bin" / command[0]), *command[1:]],
            cwd=cwd,
            capture_output=True,
            text=True,
            timeout=COMMAND_TIMEOUT_S,
            check=False,
        )
