"""What machines promise about crashes, and a search for a counterexample.

    python tests/reliability/statemachine/run.py [--size quick|full] [--seed N] [--report FILE]

B-1  snapshot, drop and resume after every step: the same as a twin that is never interrupted
B-2  kill -9 at random moments: what was acknowledged is stored, and the journal is one unbroken trace
B-3  snapshots cut off anywhere or with a bit changed: noticed, and the one before is used
B-4  a hundred concurrent senders, some cancelled, some sending from within actions: one at a time, none lost
B-5  ten thousand timers at one moment, and a clock that is set: each fires once, in order
B-7  the verifier against brute force on all machines of up to four states, against the engine on generated ones

One seed makes the whole run; it is printed and `--seed` repeats it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import random
import subprocess
import sys
import tempfile
import time
import warnings
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "packages" / "statemachine" / "tests" / "support_statemachine"))

from random_machines import ACTIONS, EVENTS, Shape, random_machine  # noqa: E402

from orca.common.errors import OrcaError  # noqa: E402
from orca.common.testing import FakeClock  # noqa: E402
from orca.statemachine import EventBus, FilePersistence, OrcaMachine, SnapshotError, parse_orca  # noqa: E402
from orca.statemachine.replay import Replay  # noqa: E402
from orca.statemachine.runtime.sqlite import SQLiteStore  # noqa: E402

CHILD = parse_orca("""
machine Child
state w [initial] { timeout: 700ms -> ok }
state ok [final]
transitions { w + A -> ok }
""")
COUNTER = """
machine Counter
context { n: int = 0 }
state a [initial]
state b
transitions { a + GO -> b : inc
 b + GO -> a : inc }
actions { inc: (ctx: Context) -> Context }
"""
WORKER = """
import asyncio, sys
from orca.statemachine import EventBus, OrcaMachine, parse_orca
from orca.statemachine.runtime.sqlite import SQLiteStore
async def main():
    store = SQLiteStore(sys.argv[1])
    machine = OrcaMachine(parse_orca(sys.argv[2]), EventBus(), persistence=store, run_id="r")
    machine.register_action("inc", lambda ctx: {"n": ctx["n"] + 1})
    await machine.load_or_start()
    print(machine.context["n"], flush=True)
    while True:
        await machine.send("GO")
        print(machine.context["n"], flush=True)
asyncio.run(main())
"""
DEADLINE_S = 60


@dataclass
class Outcome:
    """What a scenario found."""

    name: str
    seed: int
    counts: dict[str, int] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    duration_s: float = 0.0


def _machine(definition, clock: FakeClock) -> OrcaMachine:
    machine = OrcaMachine(definition, EventBus(), clock=clock)
    machine.register_machines({"Child": CHILD})
    for name, action in ACTIONS.items():
        if name != "effect":
            machine.register_action(name, action)
    machine.register_effect("Thing", lambda effect: {"m": len(effect.payload["action"])})
    return machine


def _picture(machine: OrcaMachine) -> dict:
    snapshot = machine.snapshot()
    for key in ("timestamp", "sequence"):
        snapshot.pop(key)
    snapshot["timers"] = {path: round(left, 3) for path, left in snapshot["timers"].items()}
    for child in snapshot["children"].values():
        child.pop("timestamp")
        child["timers"] = {path: round(left, 3) for path, left in child["timers"].items()}
    return snapshot


async def _do(machine: OrcaMachine, clock: FakeClock, step: tuple) -> object:
    if step[0] == "wait":
        await clock.advance_async(step[1])
        return "waited"
    try:
        result = await machine.send(step[0], {"k": step[1]})
    except OrcaError as error:
        return error.code
    return (result.taken, result.to_state, result.ignored, result.guard_failed)


async def _twins(seed: int, outcome: Outcome) -> None:
    definition = random_machine(seed, Shape(invoke=0.3, timeout=0.4, failing=0.2, custom_sync=False))
    rng = random.Random(seed)
    steps = [
        ("wait", rng.choice([0.01, 0.24, 0.5, 1.0]))
        if rng.random() < 0.3
        else (rng.choice(EVENTS), rng.randint(0, 3))
        for _ in range(20)
    ]
    clocks = FakeClock(auto=False), FakeClock(auto=False)
    steady, dropped = (_machine(definition, clock) for clock in clocks)
    for machine in (steady, dropped):
        try:
            await machine.start()
        except OrcaError:  # noqa: PERF203
            outcome.counts["unstartable"] = outcome.counts.get("unstartable", 0) + 1
            await steady.stop()
            return
    for number, step in enumerate(steps):
        one, two = await _do(steady, clocks[0], step), await _do(dropped, clocks[1], step)
        pictures = _picture(steady), _picture(dropped)
        if one != two or pictures[0] != pictures[1]:
            outcome.problems.append(
                f"seed {seed} step {number} {step}: {one} {pictures[0]} / {two} {pictures[1]}"
            )
            break
        snapshot = json.loads(json.dumps(dropped.snapshot()))
        await dropped.stop()
        dropped = _machine(definition, clocks[1])
        await dropped.resume(snapshot)
        outcome.counts["steps"] = outcome.counts.get("steps", 0) + 1
    await steady.stop()
    await dropped.stop()


def resume_after_every_step(seed: int, *, full: bool) -> Outcome:
    """B-1."""
    outcome = Outcome("B-1", seed)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for number in range(1_000 if full else 15):
            asyncio.run(_twins(seed + number, outcome))
            outcome.counts["machines"] = number + 1
    if outcome.counts.get("steps", 0) < 100:
        outcome.problems.append("hardly a machine did anything")
    return outcome


def kill_at_any_moment(seed: int, *, full: bool) -> Outcome:
    """B-2."""
    outcome = Outcome("B-2", seed)
    rng = random.Random(seed)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "runs.db"
        last = -1
        for _ in range(100 if full else 3):
            worker = subprocess.Popen(
                [sys.executable, "-c", WORKER, str(path), COUNTER], stdout=subprocess.PIPE, text=True
            )
            assert worker.stdout is not None
            first = int(worker.stdout.readline())
            if last >= 0 and first not in {last, last + 1}:
                outcome.problems.append(f"acknowledged {last}, found {first} after the kill")
            time.sleep(rng.uniform(0.05, 0.5))
            worker.kill()
            lines = worker.stdout.read().split("\n")
            worker.stdout.close()
            worker.wait(timeout=DEADLINE_S)
            last = int(lines[-2]) if len(lines) > 1 else first  # a half line was not acknowledged
            outcome.counts["kills"] = outcome.counts.get("kills", 0) + 1
        with SQLiteStore(path) as store:
            moments = Replay(parse_orca(COUNTER), store.journal("r")).moments
        if [moment.context["n"] for moment in moments] != list(range(len(moments))):
            outcome.problems.append("the journal is not one unbroken trace")
        outcome.counts["acknowledged"] = last
        outcome.counts["stored"] = len(moments) - 1
    return outcome


def damage_snapshots(seed: int, *, full: bool) -> Outcome:
    """B-3."""
    outcome = Outcome("B-3", seed)
    rng = random.Random(seed)
    with tempfile.TemporaryDirectory() as folder:
        store = FilePersistence(folder, fsync=False)
        snapshots = [{"schema": 1, "machine": "M", "context": {"n": n, "text": "ä" * n}} for n in (1, 40)]
        for snapshot in snapshots:
            store.save("r", snapshot)
        whole = store.path("r").read_bytes()
        for number in range(20_000 if full else 1_000):
            changed = bytearray(whole)
            if number < len(whole):
                del changed[number:]
            else:
                changed[rng.randrange(len(whole))] ^= 1 << rng.randrange(8)
            store.path("r").write_bytes(bytes(changed))
            try:
                found = store.load("r")
            except SnapshotError as error:
                outcome.problems.append(f"damage {number}: {error}")
                continue
            if found not in snapshots:
                outcome.problems.append(f"damage {number} went unnoticed: {found}")
            outcome.counts["damages"] = number + 1
    return outcome


async def _crowd(rng: random.Random, senders: int, outcome: Outcome) -> None:
    machine = OrcaMachine(parse_orca(COUNTER), EventBus())
    running = 0

    async def inc(ctx):
        nonlocal running
        running += 1
        if running > 1:
            outcome.problems.append("two actions of one machine ran at once")
        if ctx["n"] % 7 == 0:
            machine.send("GO")
        await asyncio.sleep(0)
        running -= 1
        return {"n": ctx["n"] + 1}

    async def sender(cancelled: bool) -> bool:
        task = asyncio.create_task(_send(machine))
        for _ in range(rng.randint(0, 3)):
            await asyncio.sleep(0)
        if cancelled:
            task.cancel()
        try:
            await task
        except asyncio.CancelledError:
            running_reset()
            return False
        return True

    def running_reset() -> None:
        nonlocal running
        running = 0

    machine.register_action("inc", inc)
    await machine.start()
    done = await asyncio.gather(*(sender(rng.random() < 0.2) for _ in range(senders)))
    while machine.statistics()["queued"]:  # noqa: ASYNC110
        await asyncio.sleep(0)
    own = sum(1 for n in range(machine.context["n"]) if n % 7 == 0)
    low, high = sum(done), sum(done) + own
    if not low <= machine.context["n"] <= high + 1:
        outcome.problems.append(
            f"{low} sends succeeded, {own} came from actions, {machine.context['n']} were counted"
        )
    if machine.context["n"] != machine.statistics()["transitions"]:
        outcome.problems.append("context and transitions disagree")
    outcome.counts["sends"] = outcome.counts.get("sends", 0) + senders


async def _send(machine: OrcaMachine) -> object:
    return await machine.send("GO")


def many_senders(seed: int, *, full: bool) -> Outcome:
    """B-4."""
    outcome = Outcome("B-4", seed)
    for number in range(200 if full else 10):
        asyncio.run(_crowd(random.Random(seed + number), 100, outcome))
    return outcome


async def _timers(count: int, outcome: Outcome) -> None:
    clock = FakeClock(auto=False)
    definition = parse_orca("machine T\nstate a [initial] { timeout: 5s -> b }\nstate b { timeout: 5s -> a }")
    bus = EventBus()
    fired: list[int] = []
    machines = []
    for number in range(count):
        machine = OrcaMachine(definition, bus, clock=clock)
        machine.on_transition = lambda _old, _new, number=number: fired.append(number)
        await machine.start()
        machines.append(machine)
    clock.set_now(clock.now() - 86_400)  # the wall clock goes back a day: timers do not care
    await clock.advance_async(4.999)
    if fired:
        outcome.problems.append("a timer fired too early")
    await clock.advance_async(0.001)
    for _ in range(200):
        if len(fired) >= count:
            break
        await asyncio.sleep(0)
    if fired != list(range(count)):
        outcome.problems.append(f"{len(fired)} of {count} timers fired, in order: {fired == sorted(fired)}")
    if any(machine.state != "b" for machine in machines):
        outcome.problems.append("a machine missed its timer")
    for machine in machines:
        await machine.stop()
    outcome.counts["timers"] = count


def many_timers(seed: int, *, full: bool) -> Outcome:
    """B-5."""
    outcome = Outcome("B-5", seed)
    asyncio.run(_timers(10_000 if full else 2_000, outcome))
    return outcome


def small_machines(seed: int, *, full: bool) -> Outcome:
    """B-7; in the suite the verifier's own tests run the quick size."""
    outcome = Outcome("B-7", seed)
    sys.path.insert(0, str(Path(__file__).resolve().parent))
    from verify import run as verify_all

    try:
        found = verify_all("full" if full else "quick", seed)
    except AssertionError as error:
        outcome.problems.append(f"the verifier disagrees: {error}")
    else:
        names = ("machines_against_brute_force", "traces_played", "places_whose_trace_played")
        outcome.counts = {name.replace("_", " "): int(str(found[name])) for name in names}
    return outcome


SCENARIOS = (resume_after_every_step, kill_at_any_moment, damage_snapshots, many_senders, many_timers)


def run(size: str, seed: int) -> list[Outcome]:
    """All scenarios."""
    outcomes = []
    for scenario in (*SCENARIOS, small_machines) if size == "full" else SCENARIOS:
        start = time.monotonic()
        outcome = scenario(seed, full=size == "full")
        outcome.duration_s = time.monotonic() - start
        outcomes.append(outcome)
    return outcomes


def report(outcomes: list[Outcome]) -> str:
    """A page with what was done and found."""
    lines = ["| id | seed | what | problems | seconds |", "|---|---|---|---|---|"]
    for item in outcomes:
        counts = ", ".join(f"{count} {name}" for name, count in item.counts.items())
        lines.append(
            f"| {item.name} | {item.seed} | {counts} | {len(item.problems)} | {item.duration_s:.1f} |"
        )
    lines += [f"\n{item.name}: {problem}" for item in outcomes for problem in item.problems[:5]]
    return "\n".join(lines) + "\n"


def main() -> int:
    """Run, print, judge."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", choices=["quick", "full"], default="quick")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**31))
    parser.add_argument("--report", type=Path)
    options = parser.parse_args()
    logging.disable(logging.CRITICAL)  # what is damaged on purpose is logged thousands of times
    page = report(outcomes := run(options.size, options.seed))
    sys.stdout.write(page)
    if options.report:
        options.report.write_text(page, encoding="utf-8")
    return 1 if any(item.problems for item in outcomes) else 0


if __name__ == "__main__":
    raise SystemExit(main())
