"""B-10: several processes write one run; every event that was acknowledged counts once.

python writers.py STORE PATH EVENTS    a writer: prints how many conflicts it met
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import Any

from orca.statemachine import ConcurrentUpdateError, EventBus, FilePersistence, OrcaMachine, parse_orca
from orca.statemachine.runtime.sqlite import SQLiteStore

COUNTER = parse_orca("""
machine Counter
context { n: int = 0 }
state a [initial]
state b
transitions { a + GO -> b : inc
 b + GO -> a : inc }
actions { inc: (ctx: Context) -> Context }
""")
DEADLINE_S = 300


def machine_of(store: Any) -> OrcaMachine:
    """A machine of the one run."""
    made = OrcaMachine(COUNTER, EventBus(), persistence=store, run_id="r")
    made.register_action("inc", lambda ctx: {"n": ctx["n"] + 1})
    return made


def store_of(kind: str, path: Path) -> Any:
    """A store of that kind."""
    return FilePersistence(path) if kind == "file" else SQLiteStore(path / "runs.db")


async def write(store: Any, events: int) -> int:
    """Send events, each until it is taken; the number of conflicts."""
    conflicts = sent = 0
    machine = machine_of(store)
    await machine.load_or_start()
    while sent < events:
        try:
            await machine.send("GO")
        except ConcurrentUpdateError:  # noqa: PERF203 - each event is tried until it is taken
            conflicts += 1
            await machine.stop()
            machine = machine_of(store)
            await machine.load_or_start()
        else:
            sent += 1
    await machine.stop()
    return conflicts


async def prepare(store: Any) -> None:
    """Begin the run, so that no writer has to."""
    machine = machine_of(store)
    await machine.start()
    await machine.stop()


def close(store: Any) -> None:
    """Close it, where it can be closed."""
    if isinstance(store, SQLiteStore):
        store.close()


def contend(kind: str, folder: Path, writers: int, events: int) -> tuple[int, int, list[str]]:
    """Conflicts, the final count and what is wrong."""
    store = store_of(kind, folder)
    asyncio.run(prepare(store))
    command = [sys.executable, __file__, kind, str(folder), str(events)]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(writers)]
    conflicts = sum(int(process.communicate(timeout=DEADLINE_S)[0]) for process in running)
    found = store.load("r")["context"]["n"]
    problems = []
    if found != writers * events:
        problems.append(f"{kind}: {writers * events} events were acknowledged, {found} count")
    if kind != "file":
        entries = store.journal("r")
        if [entry["sequence"] for entry in entries] != list(range(1, found + 2)):
            problems.append(f"{kind}: the journal has {len(entries)} entries for {found} events")
    close(store)
    return conflicts, found, problems


if __name__ == "__main__":
    target = store_of(sys.argv[1], Path(sys.argv[2]))
    print(asyncio.run(write(target, int(sys.argv[3]))))
    close(target)
