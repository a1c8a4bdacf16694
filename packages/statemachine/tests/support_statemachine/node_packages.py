"""npm packages that outputs are held against, installed once below .cache and never committed."""

from __future__ import annotations

import fcntl
import json
import shutil
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from fetching import fetch

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[4]
PACKAGES = {
    "xstate": "5.33.3",
    "@viz-js/viz": "3.12.0",
    "typescript": "5.9.3",
    # For the JSON schema of SARIF in it, and the validator that it brings.
    "@microsoft/jest-sarif": "1.0.0-beta.0",
}
INSTALL_S_MAX = 300
RUN_S_MAX = 120


def installed() -> Path:
    """A folder whose node_modules holds the packages."""
    folder = ROOT / ".cache" / "statemachine-node"
    folder.mkdir(parents=True, exist_ok=True)
    wanted = json.dumps(PACKAGES, sort_keys=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = folder / "done.json"
        if not done.exists() or done.read_text("utf-8") != wanted:
            names = [f"{name}@{version}" for name, version in PACKAGES.items()]
            command = [
                "npm",
                "install",
                "--no-audit",
                "--no-fund",
                "--silent",
                "--prefix",
                str(folder),
                *names,
            ]
            fetch(command, timeout_s=INSTALL_S_MAX)
            done.write_text(wanted, "utf-8")
    return folder


@contextmanager
def workspace() -> Iterator[Path]:
    """A folder from which modules can import the packages; it is removed afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="run-", dir=installed()))
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def run_module(folder: Path, name: str, text: str) -> str:
    """Run a module with Node and give what it prints."""
    path = folder / name
    path.write_text(text, "utf-8")
    result = subprocess.run(
        ["node", str(path)], capture_output=True, text=True, timeout=RUN_S_MAX, check=False
    )
    assert result.returncode == 0, result.stderr[-3000:]
    return result.stdout


def compile_typescript(folder: Path, name: str) -> None:
    """Compile a strict module to JavaScript beside it; every complaint of the compiler is a failure."""
    compiler = installed() / "node_modules" / "typescript" / "bin" / "tsc"
    options = {"strict": True, "target": "es2022", "module": "es2022", "types": []}
    config = folder / "tsconfig.json"
    config.write_text(json.dumps({"compilerOptions": options, "files": [name]}), "utf-8")
    command = ["node", str(compiler), "--project", str(config)]
    result = subprocess.run(
        command, capture_output=True, text=True, timeout=RUN_S_MAX, check=False, cwd=folder
    )
    assert result.returncode == 0, result.stdout[-3000:]
