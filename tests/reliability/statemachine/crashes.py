"""A process ends at any line of the runtime, and another one goes on: B-2 (stored events) and B-9 (effects).

    python crashes.py STORE SEED CRASHES   prints one JSON object   (STORE: sqlite, file or outbox)

A process of its own: it forks for each crash, so no thread may live in it meanwhile. The child counts the lines of
the runtime and of the engine as they run, in all its threads, and ends at one of them as ``kill -9`` would end it.
What it acknowledged before went through a pipe.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import shutil
import sys
import tempfile
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any

import orca.statemachine
from orca.statemachine import EventBus, FilePersistence, OrcaMachine, parse_orca
from orca.statemachine.model import MachineDef
from orca.statemachine.replay import Replay
from orca.statemachine.runtime.sqlite import SQLiteStore

HOME = Path(orca.statemachine.__file__).parent
TRACED = (str(HOME / "runtime"), str(HOME / "engine"))
EVENTS = 4
TEXT = """
machine Counter
context { n: int = 0, mails: int = 0 }
state p [initial] {
  parallel {
    region count { state a [initial] state b }
    region wait { state waiting [initial] { timeout: 24h -> late } state late }
  }
}
transitions { a + GO -> b : inc
 b + GO -> a : inc }
actions { inc: (ctx: Context) -> Context EFFECT }
"""
PARSED = [parse_orca(TEXT.replace("EFFECT", effect)) for effect in ("", "+ Effect<Mail>")]
Say = Callable[[str, object], None]


def definition_of(kind: str) -> MachineDef:
    """A new object each time, so that nothing is cached that a fresh process would not have cached."""
    return replace(PARSED[kind == "outbox"])


def machine_of(kind: str, definition: MachineDef, store: Any, say: Say) -> OrcaMachine:
    """The machine of a run: it counts, and in the outbox mails each count."""
    made = OrcaMachine(definition, EventBus(), persistence=store, run_id="r", outbox=kind == "outbox")
    made.register_action("inc", lambda ctx: {"n": ctx["n"] + 1})

    def mail(effect: Any) -> dict[str, int]:
        context = effect.payload["context"]
        say("effect", [effect.id, context["n"]])
        return {"mails": context["mails"] + 1}

    made.register_effect("Mail", mail)
    return made


async def session(kind: str, definition: MachineDef, folder: Path, events: int, say: Say) -> None:
    """Start or go on, send some events, say what was acknowledged."""
    store: Any = FilePersistence(folder) if kind == "file" else SQLiteStore(folder / "runs.db")
    machine = machine_of(kind, definition, store, say)
    await machine.load_or_start()
    say("at", machine.context["n"])
    for _ in range(events):
        await machine.send("GO")
        say("at", machine.context["n"])
    await machine.stop()
    if kind != "file":
        store.close()


def crash(kind: str, folder: Path, die_at: int) -> list[tuple[str, Any]]:
    """Run a session in a fork that ends at a line; what it said. ``lines`` comes last if it was not met."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        _run_until(kind, folder, die_at, writing)
    os.close(writing)
    with os.fdopen(reading, encoding="utf-8") as pipe:
        said = [tuple(json.loads(line)) for line in pipe]
    os.waitpid(child, 0)
    return said


def _run_until(kind: str, folder: Path, die_at: int, writing: int) -> None:
    lines = 0

    def say(what: str, value: object) -> None:
        os.write(writing, (json.dumps([what, value]) + "\n").encode())

    def local(_frame: FrameType, event: str, _argument: object) -> Any:
        nonlocal lines
        if event == "line":
            lines += 1
            if lines == die_at:
                os._exit(9)
        return local

    def tracer(frame: FrameType, _event: str, _argument: object) -> Any:
        return local if frame.f_code.co_filename.startswith(TRACED) else None

    status = 1
    definition = definition_of(kind)
    try:
        threading.settrace(tracer)
        sys.settrace(tracer)
        asyncio.run(session(kind, definition, folder, EVENTS, say))
        sys.settrace(None)
        say("lines", lines)
        status = 0
    finally:
        os._exit(status)


def check(kind: str, folder: Path, said: list[tuple[str, Any]], before: int) -> list[str]:
    """What is wrong after a crash; goes on with the run, too."""
    problems = []
    acknowledged = max([value for what, value in said if what == "at"], default=before)
    effects: dict[str, int] = {}

    def note(what: str, value: Any) -> None:
        if what == "effect" and effects.setdefault(value[0], value[1]) != value[1]:
            problems.append(f"effect {value[0]} stood for {effects[value[0]]} and for {value[1]}")

    for what, value in said:
        note(what, value)
    store: Any = FilePersistence(folder) if kind == "file" else SQLiteStore(folder / "runs.db")
    snapshot = store.load("r")
    if snapshot is None:
        if acknowledged >= 0:
            problems.append(f"{acknowledged} was acknowledged, nothing is stored")
        if kind != "file":
            store.close()
        return problems
    found = snapshot["context"]["n"]
    if not acknowledged <= found <= acknowledged + 1:
        problems.append(f"{acknowledged} was acknowledged, {found} is stored")
    if ("p.count.a" in snapshot["configuration"]) != (found % 2 == 0):
        problems.append(f"{found} is stored in {snapshot['configuration']}: not on the trace")
    if list(snapshot["timers"]) != ["p.wait.waiting"]:
        problems.append(f"the timers are {snapshot['timers']}")
    asyncio.run(_go_on(kind, store, found, note, problems))
    if kind == "outbox":
        missing = set(range(1, found + 2)).difference(effects.values())
        if before < 0 and missing:
            problems.append(f"the effects of {sorted(missing)} were never delivered")
    if kind != "file":
        moments = Replay(definition_of(kind), store.journal("r")).moments
        counts = [moment.context["n"] for moment in moments]
        if counts != sorted(counts) or set(counts) != set(range(found + 2)):
            problems.append(f"the journal is no unbroken trace: {counts}")
        store.close()
    return problems


async def _go_on(kind: str, store: Any, found: int, note: Say, problems: list[str]) -> None:
    machine = machine_of(kind, definition_of(kind), store, note)
    await machine.load_or_start()
    if machine.snapshot()["outbox"]:
        problems.append("effects wait that nobody delivers")
    result = await machine.send("GO")
    if machine.context["n"] != found + 1 or not result.taken:
        problems.append(f"after {found} came {machine.context['n']}")
    if kind == "outbox" and not 0 <= machine.context["n"] - machine.context["mails"] <= 1:
        problems.append(f"{machine.context['n']} events, {machine.context['mails']} mails counted")
    await machine.stop()


def sweep(kind: str, seed: int, crashes: int) -> dict[str, Any]:
    """Crash at lines spread over the whole session, every other time over one that goes on with a run."""
    rng = random.Random(seed)
    problems: list[str] = []
    counts = {"crashes": 0, "lines": 0}
    for warm in (False, True):
        with tempfile.TemporaryDirectory() as home:
            template = Path(home) / "template"
            template.mkdir()
            if warm:
                asyncio.run(session(kind, definition_of(kind), template, 2, lambda _what, _value: None))
            whole = Path(home) / "whole"
            shutil.copytree(template, whole)
            lines = dict(crash(kind, whole, -1))["lines"]
            counts["lines"] += lines
            each = max(1, crashes // 2)
            for number in range(each):
                die_at = 1 + int((number + rng.random()) * lines / each)
                folder = Path(home) / f"crash{number}"
                shutil.copytree(template, folder)
                before = 2 if warm else -1
                said = crash(kind, folder, die_at)
                found = check(kind, folder, said, before)
                problems += [f"{kind} ended at line {die_at} of {lines}: {problem}" for problem in found]
                counts["crashes"] += "lines" not in dict(said)
                shutil.rmtree(folder)
    return {"counts": counts, "problems": problems}


if __name__ == "__main__":
    json.dump(sweep(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])), sys.stdout)
