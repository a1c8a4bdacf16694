"""Run one program about a machine with a published release or with this package."""

from __future__ import annotations

from pathlib import Path

from programs import Outcome, run_program

from published import published_python

__all__ = ["here", "published"]

HEAD = '''
import asyncio, json, sys, warnings
from orca_runtime_python import *
from orca_runtime_python.parser import parse_orca_md
warnings.simplefilter("ignore")

def table(*rows):
    """The transitions section: ``source EVENT [guard] target action`` in each row."""
    lines = ["## transitions", "| Source | Event | Guard | Target | Action |", "|---|---|---|---|---|"]
    for row in rows:
        source, event, guard, target, action = (row.split() + ["_", "_", "_"])[:5] if "[" in row else (
            lambda p: (p[0], p[1], "_", p[2] if len(p) > 2 else "_", p[3] if len(p) > 3 else "_")
        )(row.split())
        cells = [source, event, guard.strip("[]"), target, action]
        lines.append("| " + " | ".join("" if cell == "_" else cell for cell in cells) + " |")
    return "\\n".join(lines)

async def play(text, *events, context=None, actions=None, **options):
    """Start a machine, send events, return it."""
    machine = OrcaMachine(parse_orca_md(text), options.pop("event_bus", None) or EventBus(), context, **options)
    for name, handler in (actions or {}).items():
        machine.register_action(name, handler)
    await machine.start()
    for event in events:
        await machine.send(event)
    return machine

def failure(error):
    return type(error).__name__
'''


def here(program: str, folder: Path) -> Outcome:
    """Run it with this package."""
    return run_program(HEAD + program, folder / "here")


def published(program: str, folder: Path, version: str = "0.1.30") -> Outcome:
    """Run it with a published release."""
    python = published_python(f"orca-runtime-python=={version}")
    return run_program(HEAD + program, folder / version, python=python)
