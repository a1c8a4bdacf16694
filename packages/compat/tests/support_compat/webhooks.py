"""Run one program against a local webhook, with a published release or with this package, and tell what came in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from programs import Outcome, run_program

from orchestra.sdk.testing import Fault, WebhookServer
from published import published_python

__all__ = ["RUN", "here", "published", "said"]

RUN = "11111111-2222-4333-8444-555555555555"
HEAD = """
import asyncio, os, sys, uuid
from orchestra_sdk.enum import TaskRunStatus
from orchestra_sdk.orchestra import OrchestraSDK
orchestra = OrchestraSDK(api_key="your_api_key")

def settle():
    # Events of a program that ends wait two seconds, and then for the next one: a busy machine may need longer.
    if hasattr(orchestra, "flush"):
        orchestra.flush(30)
"""
TAIL = "\nsettle()\n"


def said(event: dict[str, Any]) -> str:
    """An event in one line."""
    if event["event_type"] == "SET_OUTPUT":
        return f"output {event['output_name']}={event['output_value']!r}"
    if event["event_type"] == "LOG":
        return f"log {event['data']!r}"
    return f"{event.get('status', '-')} {event.get('message', '')}".strip()


def _run(
    python: Path | None, program: str, folder: Path, faults: tuple[Fault, ...]
) -> tuple[list[str], Outcome]:
    with WebhookServer() as server:
        server.script(*faults)
        env = {"ORCHESTRA_WEBHOOK_URL": server.url, "ORCHESTRA_TASK_RUN_ID": RUN}
        arguments: dict[str, Any] = {} if python is None else {"python": python}
        done = run_program(HEAD + program + TAIL, folder, env=env, **arguments)
        return [said(event) for event in server.events], done


def here(program: str, folder: Path, *faults: Fault) -> tuple[list[str], Outcome]:
    """What the program says with this package."""
    return _run(None, program, folder / "here", faults)


def published(version: str, program: str, folder: Path, *faults: Fault) -> tuple[list[str], Outcome]:
    """What the program says with a published release."""
    return _run(published_python(f"orchestra-sdk=={version}"), program, folder / version, faults)
