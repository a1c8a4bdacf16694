"""A local webhook server and pytest fixtures for code that reports to Orchestra."""

from __future__ import annotations

from orchestra.sdk.testing._faults import Fault
from orchestra.sdk.testing._server import Received, TaskRunView, WebhookServer

__all__ = ["Fault", "Received", "TaskRunView", "WebhookServer"]
