"""Run programs against local webhooks, with a published release or with this package, and tell what came in."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from batch import run_batch
from programs import Outcome, clean_environment

from orchestra.sdk.testing import Fault, WebhookServer
from published import published_python

__all__ = ["RUN", "run_all", "run_sides", "said"]

RUN = "11111111-2222-4333-8444-555555555555"
HEAD = """
import asyncio, os, sys, uuid
from orchestra_sdk.enum import TaskRunStatus
from orchestra_sdk.orchestra import OrchestraSDK
orchestra = OrchestraSDK(api_key="your_api_key")

def settle():
    # Events of a program that ends wait two seconds, and then for the next one: a busy machine may need longer.
    if hasattr(orchestra, "flush"):
        orchestra.flush(60)
"""
TAIL = "\nsettle()\n"


def said(event: dict[str, Any]) -> str:
    """An event in one line."""
    if event["event_type"] == "SET_OUTPUT":
        return f"output {event['output_name']}={event['output_value']!r}"
    if event["event_type"] == "LOG":
        return f"log {event['data']!r}"
    return f"{event.get('status', '-')} {event.get('message', '')}".strip()


def run_all(
    programs: Mapping[str, tuple[str, tuple[Fault, ...]]], folder: Path, version: str = ""
) -> dict[str, tuple[list[str], Outcome]]:
    """What each program says, with a published release or, without a version, with this package.

    Args:
        programs: By name: the program, and what its webhook does wrong first.
        folder: Below it each program gets a working directory.
        version: The release.
    """
    python = published_python(f"orchestra-sdk=={version}") if version else Path(sys.executable)
    modules = [] if version else ["httpcore", "sqlite3", "orchestra.sdk._courier", "orchestra.sdk._http"]
    jobs: dict[str, dict[str, Any]] = {}
    servers: dict[str, WebhookServer] = {}
    with ExitStack() as stack:
        for number, (name, (program, faults)) in enumerate(programs.items()):
            servers[name] = stack.enter_context(WebhookServer())
            servers[name].script(*faults)
            place = folder / (version or "here") / str(number)
            env = {
                "ORCHESTRA_WEBHOOK_URL": servers[name].url,
                "ORCHESTRA_TASK_RUN_ID": RUN,
                "ORCHESTRA_SPOOL_DIR": str(place / "outbox"),
            }
            jobs[name] = {"source": HEAD + program + TAIL, "folder": str(place), "env": env}
        found = run_batch(
            python, [*modules, "asyncio", "orchestra_sdk.orchestra"], jobs, clean_environment(python)
        )
        return {
            name: ([said(event) for event in servers[name].events], Outcome(*found[name])) for name in jobs
        }


def run_sides(
    sides: Mapping[str, Mapping[str, tuple[str, tuple[Fault, ...]]]], folder: Path
) -> dict[str, dict[str, tuple[list[str], Outcome]]]:
    """`run_all` for several releases at once, by version; the empty one is this package."""
    with ThreadPoolExecutor(len(sides)) as pool:
        results = pool.map(lambda version: run_all(sides[version], folder, version), sides)
        return dict(zip(sides, results, strict=True))
