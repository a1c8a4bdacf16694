"""Pytest fixtures; pytest finds them by itself where orca-orchestra is installed."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from orchestra.sdk import OrchestraSDK
    from orchestra.sdk.testing import WebhookServer

__all__ = ["orchestra_sdk", "orchestra_task_run", "orchestra_webhook"]

API_KEY = "test-key-of-orchestra"


@pytest.fixture
def orchestra_webhook() -> Iterator[WebhookServer]:
    """A running webhook server that accepts the key of `orchestra_sdk`."""
    from orchestra.sdk.testing import WebhookServer  # noqa: PLC0415  every pytest run loads this module

    with WebhookServer(api_key=API_KEY) as server:
        yield server


@pytest.fixture
def orchestra_task_run(
    orchestra_webhook: WebhookServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> str:
    """The id of a task run that the environment names, as if the platform had started the test."""
    run = str(uuid4())
    monkeypatch.setenv("ORCHESTRA_API_KEY", API_KEY)
    monkeypatch.setenv("ORCHESTRA_TASK_RUN_ID", run)
    monkeypatch.setenv("ORCHESTRA_WEBHOOK_URL", orchestra_webhook.url)
    monkeypatch.setenv("ORCHESTRA_SPOOL_DIR", str(tmp_path / "orchestra-spool"))
    return run


@pytest.fixture
def orchestra_sdk(orchestra_task_run: str) -> Iterator[OrchestraSDK]:
    """An SDK that reports to `orchestra_webhook`; its waits are short."""
    from orchestra.sdk import Budgets, OrchestraSDK  # noqa: PLC0415

    sdk = OrchestraSDK(task_run_id=orchestra_task_run, budgets=Budgets(terminal_s=30.0, exit_s=0.5))
    yield sdk
    sdk.close()
