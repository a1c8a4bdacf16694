"""Run one program about a machine with a published release or with this package."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from batch import run_batch
from programs import Outcome, clean_environment, run_program

from published import published_python

# What the first definition and the first event load, once for all programs.
WARM = """
from orca_runtime_python import OrcaMachine
from orca_runtime_python.parser import parse_orca_md
head = "# machine M\\n## context\\n| Field | Type | Default |\\n|---|---|---|\\n| n | int | 0 |\\n"
rows = "| Source | Event | Guard | Target | Action |\\n|---|---|---|---|---|\\n| a | GO | less | b | _ |\\n"
guards = "## guards\\n| Name | Expression |\\n|---|---|\\n| less | `ctx.n < 1` |\\n"
text = head + "## events\\n- GO\\n## state a [initial]\\n## state b\\n" + guards + "## transitions\\n" + rows
OrcaMachine(parse_orca_md(text))
"""

__all__ = ["HEAD", "published", "run_both"]

HEAD = '''
import asyncio, json, sys, time, warnings
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

async def becomes(machine, name, seconds):
    """Wait until a state is there; the published release, in which some never come, gets so many seconds."""
    end_s = time.monotonic() + (60 if hasattr(machine, "wait_for") else seconds)
    while name not in machine.state.leaves() and time.monotonic() < end_s:
        await asyncio.sleep(0.01)

def failure(error):
    return type(error).__name__
'''


def run_both(programs: Mapping[str, str], folder: Path) -> dict[str, tuple[Outcome, Outcome]]:
    """Each program with release 0.1.30 and with this package: how it ended there and here."""
    pythons = {"there": published_python("orca-runtime-python==0.1.30"), "here": Path(sys.executable)}

    def side(name: str) -> dict[str, Any]:
        jobs = {
            key: {"source": HEAD + program, "folder": str(folder / name / str(number)), "env": {}}
            for number, (key, program) in enumerate(programs.items())
        }
        return run_batch(
            pythons[name], ["orca_runtime_python"], jobs, clean_environment(pythons[name]), warm=WARM
        )

    with ThreadPoolExecutor(2) as pool:
        there, here = pool.map(side, pythons)
    return {name: (Outcome(*there[name]), Outcome(*here[name])) for name in programs}


def published(program: str, folder: Path) -> Outcome:
    """One program with release 0.1.30."""
    return run_program(HEAD + program, folder, python=published_python("orca-runtime-python==0.1.30"))
