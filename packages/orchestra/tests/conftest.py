"""Fixtures of this suite: a real webhook server, SDKs that report to it, and programs run in their own
process."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import textwrap
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from orchestra.sdk import Budgets, OrchestraSDK
from orchestra.sdk.testing import WebhookServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

KEY = "key-of-the-suite-0123456789"
END_S = 60
"""For a program to end, on a machine that is busy with other things."""

# Under nohup or in the background of a shell some signals are ignored, and programs started here would inherit that. A
# handler is not inherited.
for _signum in (signal.SIGINT, signal.SIGHUP):
    if signal.getsignal(_signum) is signal.SIG_IGN:
        signal.signal(_signum, lambda *_: None)


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No variable of the machine or of another test leads anywhere."""
    for name in list(os.environ):
        if name.startswith("ORCHESTRA_") or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("ORCHESTRA_SPOOL_DIR", str(tmp_path / "spool"))


@pytest.fixture(autouse=True)
def restore_logging() -> Iterator[None]:
    """Handlers and level of the root logger stay as they were."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


class PatientServer(WebhookServer):
    """Waits for as long as a machine may take that is busy with other things."""

    def wait_for(self, condition: Callable[[WebhookServer], object], *, timeout_s: float = 60.0) -> None:
        super().wait_for(condition, timeout_s=timeout_s)


@pytest.fixture
def server() -> Iterator[WebhookServer]:
    with PatientServer(api_key=KEY) as running:
        yield running


@pytest.fixture
def run_id() -> str:
    return str(uuid4())


@pytest.fixture
def make_sdk(server: WebhookServer, run_id: str, tmp_path: Path) -> Iterator[Callable[..., OrchestraSDK]]:
    """Makes SDKs that report to ``server`` on ``run_id`` and are closed at the end."""
    made: list[OrchestraSDK] = []

    def make(**options: Any) -> OrchestraSDK:
        options.setdefault("task_run_id", run_id)
        options.setdefault("webhook_url", server.url)
        options.setdefault("spool", tmp_path / "spool")
        # A disk that is busy with other things delays an answer and changes none.
        options.setdefault("budgets", Budgets(accept_s=30.0, direct_s=30.0, terminal_s=60.0, exit_s=0.2))
        sdk = OrchestraSDK(options.pop("api_key", KEY), **options)
        made.append(sdk)
        return sdk

    yield make
    for sdk in made:
        sdk.close()


@pytest.fixture
def sdk(make_sdk: Callable[..., OrchestraSDK]) -> OrchestraSDK:
    return make_sdk()


@pytest.fixture
def environment(server: WebhookServer, run_id: str, tmp_path: Path) -> dict[str, str]:
    """What the platform sets for a task, for a program of its own."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("ORCHESTRA_")}
    return {
        **kept,
        "ORCHESTRA_API_KEY": KEY,
        "ORCHESTRA_WEBHOOK_URL": server.url,
        "ORCHESTRA_TASK_RUN_ID": run_id,
        "ORCHESTRA_SPOOL_DIR": str(tmp_path / "spool"),
    }


@pytest.fixture
def start_program(
    environment: dict[str, str], tmp_path: Path
) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts Python programs from source text; whatever still runs at the end is killed."""
    running: list[subprocess.Popen[str]] = []

    def start(source: str, *arguments: str, **env: str) -> subprocess.Popen[str]:
        path = tmp_path / f"program{len(running)}.py"
        path.write_text(textwrap.dedent(source))
        process = subprocess.Popen(
            [sys.executable, str(path), *arguments],
            env={**environment, **env}, cwd=tmp_path, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        running.append(process)
        return process

    yield start
    for process in running:
        if process.poll() is None:
            process.kill()
        process.communicate(timeout=END_S)


@pytest.fixture
def run_program(start_program: Callable[..., subprocess.Popen[str]]) -> Callable[..., Any]:
    """Runs a Python program to its end: exit status, output and errors."""

    def run(source: str, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
        process = start_program(source, *arguments, **env)
        out, err = process.communicate(timeout=2 * END_S)
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    return run
