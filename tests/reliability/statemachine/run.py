"""What machines promise about crashes, and a search for a counterexample.

    python tests/reliability/statemachine/run.py [--size quick|full] [--seed N] [--only ID...] [--report FILE]

B-1  snapshot, drop and resume after every step: the same as a twin that is never interrupted
B-2  kill -9 while it runs, and the end of the process at any line of the runtime: what was acknowledged is stored, the
     journal is one unbroken trace, and another process goes on
B-3  snapshots cut off anywhere or with a bit changed: noticed, and the one before is used; those of another machine,
     another version or another form are refused
B-4  a hundred concurrent senders, some cancelled, some sending from within actions: one at a time, none lost
B-5  ten thousand timers at one moment, and a clock that is set: each fires once, in order
B-6  texts broken at random and 100 KB of nesting: findings or `ParseError`, and what is well formed stays as it is when
     it is formatted twice
B-7  the verifier against brute force on all machines of up to four states, against the engine on generated ones
B-9  effects of the outbox while the process ends at any line: each delivered, with one id that stays
B-10 several processes that write one run: every acknowledged event counts once, the others get a conflict

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
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "packages" / "statemachine" / "tests" / "support_statemachine"))

from random_machines import ACTIONS, EVENTS, Shape, random_machine  # noqa: E402
from sample_machines import SAMPLES  # noqa: E402

from orca.common.errors import OrcaError  # noqa: E402
from orca.common.testing import FakeClock  # noqa: E402
from orca.statemachine import (  # noqa: E402
    EventBus,
    FilePersistence,
    OrcaMachine,
    ParseError,
    SnapshotError,
    parse_orca,
)
from orca.statemachine.formatting import format_text  # noqa: E402
from orca.statemachine.print_markdown import print_markdown  # noqa: E402
from orca.statemachine.printer import print_brace  # noqa: E402
from orca.statemachine.replay import Replay  # noqa: E402
from orca.statemachine.runtime.persistence import decode, encode  # noqa: E402
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


def _machine(definition, clock: FakeClock, **options) -> OrcaMachine:
    machine = OrcaMachine(definition, EventBus(), clock=clock, **options)
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


def _moments(snapshot: dict) -> dict:
    """A snapshot in which timers say when they are due, so that it does not matter when it was taken."""
    start_ms = snapshot["timestamp"] * 1000
    shown = {**snapshot, "timestamp": 0}
    shown["timers"] = {path: round(start_ms + left, 2) for path, left in snapshot["timers"].items()}
    shown["delayed"] = [
        {**item, "remaining_ms": round(start_ms + item["remaining_ms"], 2)} for item in snapshot["delayed"]
    ]
    shown["children"] = {path: _moments(child) for path, child in snapshot["children"].items()}
    return shown


class _Kept:
    """A store that never lets go of the event loop, so that a virtual clock meets every machine at rest."""

    def __init__(self) -> None:
        self.texts: dict[str, str] = {}

    async def commit(self, run_id: str, snapshot: dict, entry: dict | None = None) -> None:
        self.texts[run_id] = encode(snapshot)

    async def commit_text(self, run_id: str, sequence: int, machine: str, text: str, entry: str) -> None:
        self.texts[run_id] = text

    def load(self, run_id: str) -> dict:
        return decode(self.texts[run_id], run_id)


async def _twins(seed: int, outcome: Outcome) -> None:
    definition = random_machine(seed, Shape(invoke=0.3, timeout=0.4, failing=0.2, custom_sync=False))
    rng = random.Random(seed)
    steps = [
        # A little more than round: a wait never ends at the very moment of a timer, where rounding would decide.
        ("wait", rng.choice([0.01, 0.24, 0.5, 1.0]) + 0.0003)
        if rng.random() < 0.3
        else (rng.choice(EVENTS), rng.randint(0, 3))
        for _ in range(20)
    ]
    clocks = FakeClock(auto=False), FakeClock(auto=False)
    run_id, store = f"r{seed}", _Kept()
    steady = _machine(definition, clocks[0])
    dropped = _machine(definition, clocks[1], persistence=store, run_id=run_id)
    for machine in (steady, dropped):
        try:
            await machine.start()
        except OrcaError:  # noqa: PERF203
            outcome.counts["unstartable"] = outcome.counts.get("unstartable", 0) + 1
            await steady.stop()
            return
    failed_at = -1
    for number, step in enumerate(steps):
        one, two = await _do(steady, clocks[0], step), await _do(dropped, clocks[1], step)
        pictures = _picture(steady), _picture(dropped)
        if one != two or pictures[0] != pictures[1]:
            outcome.problems.append(
                f"seed {seed} step {number} {step}: {one} {pictures[0]} / {two} {pictures[1]}"
            )
            break
        snapshot = json.loads(json.dumps(dropped.snapshot()))
        stored = store.load(run_id)
        if dropped.event_bus.errors:
            failed_at = stored["sequence"]
        if stored["sequence"] == failed_at:
            # An event that nobody sent, a timer's, failed: what is stored has it still, to try it once more.
            stored = snapshot
        if _moments(stored) != _moments(snapshot):
            outcome.problems.append(f"seed {seed} step {number} {step}: stored is {stored}, it is {snapshot}")
            break
        await dropped.stop()
        dropped = _machine(definition, clocks[1], persistence=store, run_id=run_id)
        await dropped.resume(stored if number % 2 else snapshot)
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
            heard = [worker.stdout.readline() for _ in range(rng.randrange(200 if full else 30))]
            worker.kill()  # it runs ahead of what was read, so this meets it anywhere
            lines = "".join([*heard, worker.stdout.read()]).split("\n")
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
    for kind in ("sqlite", "file"):
        _crash(kind, seed, 400 if full else 8, outcome)
    return outcome


def _crash(kind: str, seed: int, crashes: int, outcome: Outcome) -> None:
    script = Path(__file__).with_name("crashes.py")
    done = subprocess.run(
        [sys.executable, str(script), kind, str(seed), str(crashes)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        outcome.problems.append(f"{kind}: {done.stderr[-2000:]}")
        return
    found = json.loads(done.stdout)
    outcome.problems += found["problems"]
    outcome.counts[f"crashes ({kind})"] = found["counts"]["crashes"]
    outcome.counts[f"lines ({kind})"] = found["counts"]["lines"]


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
    asyncio.run(_strangers(seed, 300 if full else 30, outcome))
    return outcome


async def _strangers(seed: int, machines: int, outcome: Outcome) -> None:
    """Snapshots of other machines, versions and forms: refused, and the machine is as it was."""
    rng = random.Random(seed)
    for number in range(machines):
        definition = random_machine(seed + number, Shape(failing=0.0, custom_sync=False))
        one = _machine(definition, FakeClock(auto=False))
        try:
            await one.start()
        except OrcaError:
            continue
        snapshot = one.snapshot()
        await one.stop()
        changed = rng.choice([
            {"machine": "Somebody"},
            {"definition_hash": "0" * 64},
            {"definition_version": "9.9.9", "definition_hash": None},
            {"schema": 99},
            {"configuration": ["nowhere"]},
            {"configuration": []},
            {"timers": {"nowhere": 5}},
            {"history": {"nowhere": []}},
        ])  # fmt: skip
        other = _machine(definition, FakeClock(auto=False), on_mismatch="refuse")
        try:
            await other.resume({**snapshot, **changed})
        except SnapshotError:
            outcome.counts["refused"] = outcome.counts.get("refused", 0) + 1
            await other.resume(snapshot)
            await other.stop()
        else:
            outcome.problems.append(f"seed {seed + number}: {changed} was accepted")


def broken_texts(seed: int, *, full: bool) -> Outcome:
    """B-6."""
    outcome = Outcome("B-6", seed)
    rng = random.Random(seed)
    junk = [
        *"{}[]()|\\`\"'#*-+:,.=<>!&%\n\t_",
        "->",
        "state ",
        "machine ",
        "transitions {",
        "\n# ",
        "\n| ",
        "\n- ",
    ]
    texts = [show(make()) for make in SAMPLES.values() for show in (print_brace, print_markdown)]
    for text in texts:
        _read(text, outcome)
        for _ in range(800 if full else 10):
            place, end = sorted(rng.randrange(len(text)) for _ in range(2))
            broken = text[:place] + rng.choice(junk) * rng.randint(0, 4) + text[min(end, place + 9) :]
            _read(broken, outcome)
    if outcome.counts["texts"] - outcome.counts["refused"] < len(texts):
        outcome.problems.append("hardly a text was well formed")
    size = 100_000
    for nested in (
        "(" * size,
        "state s {" * (size // 9),
        "machine M\n" + "{" * size,
        "# machine M\n" + "> " * (size // 2),
    ):
        _read(nested, outcome)
    return outcome


def _read(text: str, outcome: Outcome) -> None:
    outcome.counts["texts"] = outcome.counts.get("texts", 0) + 1
    try:
        parse_orca(text)
    except ParseError:
        outcome.counts["refused"] = outcome.counts.get("refused", 0) + 1
        return
    except Exception as error:  # noqa: BLE001 - this is what is looked for
        outcome.problems.append(f"{type(error).__name__}: {error} for {text[:200]!r}")
        return
    once = format_text(text)
    if format_text(once) != once:
        outcome.problems.append(f"formatting twice changes {text[:200]!r}")


def effects_while_it_crashes(seed: int, *, full: bool) -> Outcome:
    """B-9."""
    outcome = Outcome("B-9", seed)
    _crash("outbox", seed, 400 if full else 8, outcome)
    return outcome


def many_writers(seed: int, *, full: bool) -> Outcome:
    """B-10; PostgreSQL has a test of its own in the suite."""
    outcome = Outcome("B-10", seed)
    sys.path.insert(0, str(Path(__file__).resolve().parent))
    from writers import contend

    for kind in ("sqlite", "file"):
        with tempfile.TemporaryDirectory() as folder:
            conflicts, found, problems = contend(kind, Path(folder), *((4, 250) if full else (2, 15)))
        outcome.counts[f"events ({kind})"] = found
        outcome.counts[f"conflicts ({kind})"] = conflicts
        outcome.problems += problems
    return outcome


async def _crowd(rng: random.Random, senders: int, outcome: Outcome) -> None:
    machine = OrcaMachine(parse_orca(COUNTER), EventBus())
    running = 0

    async def inc(ctx):
        nonlocal running
        running += 1
        if running > 1:
            outcome.problems.append("two actions of one machine ran at once")
        try:
            if ctx["n"] % 7 == 0:
                machine.send("GO")
            await asyncio.sleep(0)
        finally:
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
            return False
        return True

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


SCENARIOS = (
    resume_after_every_step,
    kill_at_any_moment,
    damage_snapshots,
    many_senders,
    many_timers,
    broken_texts,
    effects_while_it_crashes,
    many_writers,
)


def run(size: str, seed: int, only: list[str]) -> Iterator[Outcome]:
    """The scenarios, one after the other."""
    full = size == "full"
    chosen = (*SCENARIOS, small_machines) if full else SCENARIOS
    for scenario in chosen:
        name = (scenario.__doc__ or "").partition(";")[0].rstrip(".")
        if only and name not in only:
            continue
        start = time.monotonic()
        outcome = scenario(seed, full=full)
        outcome.duration_s = time.monotonic() - start
        yield outcome


HEAD = "| id | seed | what | problems | seconds |\n|---|---|---|---|---|\n"


def row(item: Outcome) -> str:
    """What was done and found, as a row of the page, and the first problems below it."""
    counts = ", ".join(f"{count} {name}" for name, count in item.counts.items())
    return f"| {item.name} | {item.seed} | {counts} | {len(item.problems)} | {item.duration_s:.1f} |\n"


def main() -> int:
    """Run, print, judge."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", choices=["quick", "full"], default="quick")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**31))
    parser.add_argument("--report", type=Path)
    parser.add_argument("--only", nargs="+", metavar="ID", default=[], help="such as B-1 B-9")
    options = parser.parse_args()
    logging.disable(logging.CRITICAL)  # what is damaged on purpose is logged thousands of times
    page, problems = HEAD, ""
    sys.stdout.write(HEAD)
    for item in run(options.size, options.seed, options.only):
        sys.stdout.write(row(item))
        sys.stdout.flush()
        page += row(item)
        problems += "".join(f"\n{item.name}: {problem}\n" for problem in item.problems[:5])
    sys.stdout.write(problems)
    if options.report:
        options.report.parent.mkdir(parents=True, exist_ok=True)
        options.report.write_text(page + problems, encoding="utf-8")
    return 1 if problems else 0


if __name__ == "__main__":
    raise SystemExit(main())
