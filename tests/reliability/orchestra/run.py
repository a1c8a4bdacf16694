"""Proves the delivery promises of orchestra.sdk under faults, and writes what was counted.

usage: run.py [--size quick|full] [--seed N] [--only C-2] [--report FILE]

C1 an update that returned True is on disk or acknowledged. C2 it is delivered at least once, in order per task run.
C3 the receiver neither delays nor fails the task. C4 every ending has a terminal status.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from orca.common.testing import FakeClock
from orchestra.sdk import Budgets, OrchestraSDK, TaskRunStatus
from orchestra.sdk._courier import Courier, Route
from orchestra.sdk._protocol import Event, status_event
from orchestra.sdk._sender import Sender
from orchestra.sdk._spool import Spool, key_fingerprint
from orchestra.sdk.testing import Fault, WebhookServer

KEY = "key-of-the-reliability-runs"
CHILD = Path(__file__).with_name("child.py")
ENV = {**os.environ, "ORCHESTRA_API_KEY": KEY, "PYTHONWARNINGS": "ignore"}
Facts = dict[str, Any]


class BrokenPromiseError(AssertionError):
    """A promise was broken; the text says which."""


def check(condition: object, promise: str) -> None:
    if not condition:
        raise BrokenPromiseError(promise)


def drain(folder: Path, server: WebhookServer, *, limit_s: float = 120.0) -> float:
    """Deliver all that the outbox holds, as the next start would; seconds that took."""
    spool = Spool(folder)
    sender = Sender(_Steady(), rng=random.Random(1))
    sender.add(spool)
    sender.learn(key_fingerprint(KEY), KEY)
    started = time.monotonic()
    while spool.counts()[0]:
        check(time.monotonic() - started < limit_s, "C2: the outbox did not empty in time")
        # Own events have no replay spacing; this drain stands for the process that made them.
        for run in {head.run for head in spool.heads([key_fingerprint(KEY)])}:
            sender.watch_all(spool, run)
        time.sleep(min(sender.step(), 0.05) if spool.counts()[0] else 0.0)
    took = time.monotonic() - started
    spool.close()
    sender.abandon()
    return took


class _Steady:
    """The real clock, without the pauses of replay (the bound under test is order, not pace)."""

    def now(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()

    def sleep(self, delay_s: float) -> None:
        time.sleep(min(delay_s, 0.001))

    async def sleep_async(self, delay_s: float) -> None:
        raise NotImplementedError


def in_order(messages: list[str], name: str = "") -> tuple[list[int], int]:
    """The numbers of one sender in the order of first arrival, and how many came again."""
    numbers = [int(m.partition(":")[2]) for m in messages if m.startswith(f"{name}:")]
    seen: list[int] = []
    known: set[int] = set()
    for number in numbers:
        if number not in known:
            known.add(number)
            seen.append(number)
    check(seen == sorted(seen), f"C2: order of {name or 'a run'}: {seen[:20]}")
    return seen, len(numbers) - len(seen)


def c1_receiver_down(size: str, rng: random.Random, folder: Path) -> Facts:
    """The receiver is down for ten virtual minutes; then everything comes, in order, fast."""
    count = 2_000 if size == "full" else 200
    server = WebhookServer(api_key=KEY).start()
    server.stop()
    courier = Courier(folder, budgets=Budgets(accept_s=60.0))
    route = Route(server.url, KEY)
    runs = [uuid4() for _ in range(5)]
    waits: list[float] = []

    def report(run: UUID) -> None:
        for n in range(count):
            event = status_event(run, TaskRunStatus.RUNNING, f"x:{n}")
            started = time.perf_counter()
            check(courier.accepted(courier.append(event, route)), "C1: not accepted")
            waits.append(time.perf_counter() - started)
            time.sleep(rng.random() * 0.002)

    threads = [threading.Thread(target=report, args=(run,)) for run in runs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    courier.close()
    clock = FakeClock()
    spool = Spool(folder)
    sender = Sender(clock, rng=random.Random(rng.random()))
    sender.add(spool)
    sender.learn(key_fingerprint(KEY), KEY)
    steps = 0
    while clock.monotonic() < 600.0:
        clock.advance(sender.step())
        steps += 1
    check(steps < 2_000, "C3: a receiver that is down is asked too often")
    check(spool.counts()[0] == 5 * count, "C2: events left the outbox without a receiver")
    spool.close()
    sender.abandon()
    server.start()
    took = drain(folder, server)
    for run in runs:
        numbers, _ = in_order(server.run(run).messages, "x")
        check(numbers == list(range(count)), "C2: not all delivered")
    server.stop()
    waits.sort()
    bare = sorted(_bare_sync_s(folder) for _ in range(200))
    return {
        "updates": 5 * count,
        "attempts_while_down": steps,
        "accept_p50_ms": round(waits[len(waits) // 2] * 1e3, 2),
        "accept_p99_ms": round(waits[int(len(waits) * 0.99)] * 1e3, 2),
        "bare_fsync_p50_ms": round(bare[len(bare) // 2] * 1e3, 2),
        "bare_fsync_p99_ms": round(bare[int(len(bare) * 0.99)] * 1e3, 2),
        "drain_per_s": round(5 * count / took),
    }


def _bare_sync_s(folder: Path) -> float:
    """What the disk takes for one small synced write just now: the floor under every accepted update."""
    started = time.perf_counter()
    with (folder / "bare").open("ab") as file:
        file.write(b"x" * 300)
        file.flush()
        os.fsync(file.fileno())
    return time.perf_counter() - started


def c2_kills(size: str, rng: random.Random, folder: Path) -> Facts:
    """kill -9 at random moments; every accepted update arrives, in order."""
    kills = 200 if size == "full" else 6
    accepted: dict[str, list[int]] = {}
    with WebhookServer(api_key=KEY) as server:
        env = {**ENV, "ORCHESTRA_WEBHOOK_URL": server.url}
        runs = [str(uuid4()) for _ in range(3)]
        for kill in range(kills):
            run = runs[kill % len(runs)]
            if rng.random() < 0.3:
                server.script(*[Fault.status(503)] * rng.randint(1, 3))
            first = (accepted.get(run) or [-1])[-1] + 1_000
            command = [sys.executable, str(CHILD), str(folder), run, str(first), "0", "k"]
            child = subprocess.Popen(command, env=env, stdout=subprocess.PIPE)
            assert child.stdout is not None
            head = child.stdout.readline()
            # At the beginning, where everything loads, and in the middle of steady reporting.
            time.sleep(rng.uniform(0.0, 0.15) if kill % 2 else rng.uniform(0.3, 1.0))
            child.kill()
            tail = child.stdout.read()
            child.stdout.close()
            check(child.wait() == -signal.SIGKILL, "the child ended before it was killed")
            lines = (head + tail).decode().splitlines()
            accepted.setdefault(run, []).extend(int(x.split()[0]) for x in lines if x.endswith(" 1"))
        server.behave()  # the promise is about what was accepted, not about a receiver that never recovers
        drain(folder, server)
        repeated = 0
        for run, numbers in accepted.items():
            arrived, again = in_order(server.run(run).messages, "k")
            repeated += again
            missing = set(numbers) - set(arrived)
            check(not missing, f"C1: {len(missing)} accepted updates are lost: {sorted(missing)[:5]}")
        total = sum(map(len, accepted.values()))
        return {"kills": kills, "accepted": total, "lost": 0, "delivered_again": repeated}


FAULTS: dict[str, Callable[[], Fault]] = {
    "503": lambda: Fault.status(503),
    "500": lambda: Fault.status(500),
    "429 with Retry-After": lambda: Fault.status(429, retry_after_s=1),
    "408": lambda: Fault.status(408),
    "dropped": Fault.drop,
    "dropped after it was taken": Fault.drop_after,
    "huge answer": lambda: Fault.huge_body(10 * 1024**3),
    "huge refusal": lambda: Fault.huge_body(10 * 1024**3, code=500),
    "hang": Fault.hang,
    "slow loris": lambda: Fault.slow_loris(pace_s=0.01, code=503),
}


def slack_s(size: str) -> float:
    """What a task may be held up by; in the quick size other programs are at work on the machine."""
    return 1.0 if size == "full" else 10.0


def c3_faults(size: str, rng: random.Random, folder: Path) -> Facts:
    """Every fault of the receiver on every event: the job starts at once and all arrives in order."""
    names = list(FAULTS) if size == "full" else [n for n in FAULTS if n not in {"hang", "slow loris"}]
    slowest_start = 0.0
    for name in names:
        for position in range(3 if size == "full" else 1):
            with WebhookServer(api_key=KEY) as server:
                good = [Fault.delay(0)] * position
                server.script(*good, FAULTS[name]())
                run = str(uuid4())
                sdk = OrchestraSDK(KEY, webhook_url=server.url, task_run_id=run, spool=folder)
                asked = time.monotonic()
                started: list[float] = []

                @sdk.run
                def job(sdk: OrchestraSDK = sdk, started: list[float] = started) -> None:
                    started.append(time.monotonic())
                    sdk.set_output("rows", 1)

                job()
                slowest_start = max(slowest_start, started[0] - asked)
                view = server.run(run)
                check(view.status == "SUCCEEDED", f"C2: {name}: final status {view.status!r}")
                check(view.statuses[0] == "RUNNING" and view.outputs == {"rows": 1}, f"C2: {name}: order")
                sdk.close()
    check(slowest_start < slack_s(size), f"C3: a job waited {slowest_start:.2f} s")
    refused = [300, 301, 302, 307, 400, 401, 403, 404, 409, 410, 413, 422, 451, 501, 505]
    with WebhookServer(api_key=KEY) as server:
        for code in refused:
            server.script(Fault.status(code))
            sdk = OrchestraSDK(KEY, webhook_url=server.url, task_run_id=uuid4(), spool=folder)
            before = len(server.requests)
            sdk.update_task("RUNNING")
            check(sdk.flush(60), f"HTTP {code} was not settled")
            check(len(server.requests) == before + 1, f"C3: HTTP {code} was repeated")
            sdk.close()
    spool = Spool(folder)
    check(len(spool.dead_letters()) == len(refused), "C2: refused events must be dead letters")
    spool.close()
    return {"faults": len(names), "refusals": len(refused), "slowest_start_ms": round(slowest_start * 1e3, 1)}


def c4_shared(size: str, rng: random.Random, folder: Path) -> Facts:
    """Several processes on one outbox and one task run, one of them killed."""
    count = 500 if size == "full" else 60
    run = str(uuid4())
    with WebhookServer(api_key=KEY) as server:
        env = {**ENV, "ORCHESTRA_WEBHOOK_URL": server.url}
        names = ["a", "b", "c"]
        children = [
            subprocess.Popen(
                [sys.executable, str(CHILD), str(folder), run, "0", str(count), name],
                env=env,
                stdout=subprocess.PIPE,
            )
            for name in names
        ]
        victim = children[-1]
        assert victim.stdout is not None
        victim.stdout.readline()
        time.sleep(rng.uniform(0, 0.1))
        victim.kill()
        lines = {
            n: c.communicate(timeout=300)[0].decode().splitlines()
            for n, c in zip(names, children, strict=True)
        }
        drain(folder, server)
        repeated = 0
        for name in names:
            arrived, again = in_order(server.run(run).messages, name)
            repeated += again
            accepted = {int(x.split()[0]) for x in lines[name] if x.endswith(" 1")}
            check(accepted <= set(arrived), f"C1: updates of {name} are lost")
            if name != "c":
                check(arrived == list(range(count)), f"C2: {name} is incomplete")
        return {"processes": 3, "updates": 2 * count, "lost": 0, "delivered_again": repeated}


FULL_DISK = """
import resource, signal, sys, os
from orchestra.sdk import OrchestraSDK, Budgets
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
sdk = OrchestraSDK(budgets=Budgets(accept_s=30, direct_s=60, terminal_s=60))
@sdk.run
def job():
    sdk.set_output("before", 1)
    sdk.flush(60)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
    for n in range(40):
        assert sdk.set_output("big", [n, "x" * 8_000]), n
job()
"""


def c5_disk(size: str, rng: random.Random, folder: Path) -> Facts:
    """A disk that is full, and a file whose tail is torn."""
    run = str(uuid4())
    with WebhookServer(api_key=KEY) as server:
        env = {**ENV, "ORCHESTRA_WEBHOOK_URL": server.url, "ORCHESTRA_TASK_RUN_ID": run}
        env["ORCHESTRA_SPOOL_DIR"] = str(folder / "full")
        done = subprocess.run(
            [sys.executable, "-c", FULL_DISK],
            env=env,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        check(done.returncode == 0, f"C3: a full disk failed the task: {done.stderr[-500:]}")
        view = server.run(run)
        check(view.status == "SUCCEEDED" and view.outputs["big"][0] == 39, "C2: lost on a full disk")
    rounds = 40 if size == "full" else 5
    lost_tail = 0
    for number in range(rounds):
        place = folder / f"torn{number}"
        spool = Spool(place)
        ids = [spool.append([(Event("r", 1, b"{}"), "u", "k")], now_s=1.0)[0] for _ in range(30)]
        wal = place / "outbox.db-wal"
        whole = wal.read_bytes()
        copy = folder / f"copy{number}"
        copy.mkdir()
        (copy / "outbox.db").write_bytes((place / "outbox.db").read_bytes())
        (copy / "outbox.db-wal").write_bytes(
            whole[: -rng.randint(1, 4_000)] + rng.randbytes(rng.randint(0, 200))
        )
        spool.close()
        torn = Spool(copy)
        left = [row.id for row in torn.rows("r")]
        check(left == ids[: len(left)] and len(left) >= 28, "C2: a torn tail lost more than the tail")
        lost_tail += 30 - len(left)
        torn.close()
    return {"full_disk": "SUCCEEDED", "torn_tails": rounds, "events_in_the_torn_frames": lost_tail}


ENDINGS = {
    "return": ("pass", "SUCCEEDED", 0),
    "exception": ("raise ValueError('x')", "FAILED", 1),
    "sys.exit(3)": ("sys.exit(3)", "FAILED", 3),
    "SIGINT": ("os.kill(os.getpid(), signal.SIGINT); time.sleep(9)", "CANCELLED", -2),
    "SIGTERM": ("os.kill(os.getpid(), signal.SIGTERM); time.sleep(9)", "FAILED", -15),
    "SIGHUP": ("os.kill(os.getpid(), signal.SIGHUP); time.sleep(9)", "FAILED", -1),
    "SIGKILL": ("os.kill(os.getpid(), signal.SIGKILL)", "FAILED", -9),
    "os._exit": ("os._exit(0)", "FAILED", 0),
    "segmentation fault": ("ctypes.string_at(0)", "FAILED", -11),
    "abort": ("os.abort()", "FAILED", -6),
}
SHAPES = {
    "function": "@sdk.run\ndef job():\n    {body}\njob()",
    "async": "@sdk.run\nasync def job():\n    {body}\nasyncio.run(job())",
    "generator": "@sdk.run\ndef job():\n    yield 1\n    {body}\nlist(job())",
    "block": "with sdk.task('job'):\n    {body}",
}
PRELUDE = (
    "import asyncio, ctypes, os, resource, signal, sys, threading, time\n"
    "from orchestra.sdk import Budgets, OrchestraSDK\n"
    "resource.setrlimit(resource.RLIMIT_CORE, (0, 0))\n"
    # A disk that stands still for a while delays the beginning and the end, and changes none.
    "sdk = OrchestraSDK(supervise={supervise}, budgets=Budgets(accept_s=30.0, signal_s=60.0))\n"
)


def c6_endings(size: str, rng: random.Random, folder: Path) -> Facts:
    """Every ending of every shape has exactly one terminal status."""
    cases = [(e, s) for e in ENDINGS for s in SHAPES]
    if size != "full":
        cases = [(e, list(SHAPES)[i % len(SHAPES)]) for i, e in enumerate(ENDINGS)]
    with WebhookServer(api_key=KEY) as server:
        for ending, shape in cases:
            body, status, code = ENDINGS[ending]
            if shape == "async":  # a loop hears of Ctrl-C only where it is not blocked
                body = body.replace("time.sleep(9)", "await asyncio.sleep(9)")
            hard = ending in {"SIGKILL", "os._exit", "segmentation fault", "abort"}
            run = str(uuid4())
            env = {**ENV, "ORCHESTRA_WEBHOOK_URL": server.url, "ORCHESTRA_TASK_RUN_ID": run}
            env["ORCHESTRA_SPOOL_DIR"] = str(folder)
            source = PRELUDE.format(supervise=hard) + SHAPES[shape].format(body=body)
            done = subprocess.run(
                [sys.executable, "-c", source],
                env=env,
                capture_output=True,
                text=True,
                check=False,
                timeout=120,
            )
            what = f"C4: {ending} in {shape}"
            check(done.returncode == code, f"{what}: exit {done.returncode}: {done.stderr[-300:]}")
            try:
                server.wait_for(lambda s, run=run: s.run(run).status not in {"", "RUNNING"}, timeout_s=60.0)
            except TimeoutError as error:
                raise BrokenPromiseError(f"{what}: no terminal status") from error
            view = server.run(run)
            # A killed process may not have noted an answer: RUNNING again is at least once, a second end is not.
            killed = hard or ending in {"SIGTERM", "SIGHUP"}
            seen = list(dict.fromkeys(view.statuses)) if killed else view.statuses
            check(seen == ["RUNNING", status], f"{what}: {view.statuses}")
            check(view.late == [], f"{what}: events after the end")
    return {"endings": len(ENDINGS), "cases": len(cases)}


THREADS = """
import threading, os
from orchestra.sdk import OrchestraSDK
sdk = OrchestraSDK()
@sdk.run
def job():
    def work(n):
        for i in range(20):
            sdk.update_task(message=f"t{n}:{i}")
    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for t in threads: t.start()
    pids = []
    for child in range(3):
        pid = os.fork()
        if not pid:
            for i in range(20):
                sdk.update_task(message=f"f{child}:{i}")
            os._exit(0 if sdk.flush(60) else 1)
        pids.append(pid)
    for t in threads: t.join()
    for pid in pids:
        assert os.waitpid(pid, 0)[1] == 0
job()
"""


@contextmanager
def busy_machine(wanted: bool) -> Iterator[None]:
    """Every processor has something better to do: what a fork cuts in two then lasts long enough to be hit."""
    loops = [
        subprocess.Popen([sys.executable, "-c", "while True: pass"])
        for _ in range(os.cpu_count() or 1 if wanted else 0)
    ]
    try:
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


def c7_threads_and_forks(size: str, rng: random.Random, folder: Path) -> Facts:
    """Threads and forks in the middle of reporting, at full size on a busy machine: nothing lost, order, one end."""
    rounds = 50 if size == "full" else 2
    with WebhookServer(api_key=KEY) as server, busy_machine(size == "full"):
        for _ in range(rounds):
            run = str(uuid4())
            env = {**ENV, "ORCHESTRA_WEBHOOK_URL": server.url, "ORCHESTRA_TASK_RUN_ID": run}
            env["ORCHESTRA_SPOOL_DIR"] = str(folder)
            done = subprocess.run(
                [sys.executable, "-c", THREADS],
                env=env,
                capture_output=True,
                text=True,
                check=False,
                timeout=180,
            )
            check(done.returncode == 0, f"C3: {done.stderr[-500:]}")
            view = server.run(run)
            for name in [f"t{n}" for n in range(4)] + [f"f{n}" for n in range(3)]:
                numbers, _ = in_order(view.messages, name)
                check(numbers == list(range(20)), f"C2: {name} is incomplete")
            check(view.statuses == ["RUNNING", "SUCCEEDED"], f"C4: {view.statuses}")
    return {"rounds": rounds, "threads": 4, "forks": 3, "updates": rounds * 140}


def c8_never_in_the_way(size: str, rng: random.Random, folder: Path) -> Facts:
    """Down, hanging or refusing: what the task pays before, during and after."""
    facts: Facts = {}
    budget_s, slack = 1.0, slack_s(size)
    budgets = Budgets(terminal_s=budget_s)
    if size != "full":
        # With more slack, what nobody may wait for takes longer by as much: an answer that never comes.
        budgets = Budgets(accept_s=30.0, direct_s=60.0, terminal_s=budget_s)
    for name in ("up", "down", "hang"):
        server = WebhookServer(api_key=KEY).start()
        if name == "down":
            server.stop()
        if name == "hang":
            server.always(Fault.hang())
        sdk = OrchestraSDK(
            KEY,
            webhook_url=server.url,
            task_run_id=uuid4(),
            spool=folder / name,
            budgets=budgets,
        )
        asked = time.perf_counter()
        with sdk.task("job") as task:
            before = time.perf_counter() - asked
            started = time.perf_counter()
            for n in range(1_000):
                task.progress(n / 1_000, "rows")
            progress = time.perf_counter() - started
            started = time.perf_counter()
            for n in range(100):
                task.message(str(n))
            update = (time.perf_counter() - started) / 100
            ended = time.perf_counter()
        after = time.perf_counter() - ended
        check(before < slack, f"C3: {name}: {before:.2f} s before the function")
        check(after < budget_s + slack, f"C3: {name}: {after:.2f} s after the function")
        check(progress < slack / 2, f"C3: {name}: {progress:.2f} s for 1,000 progress events")
        facts[name] = {
            "before_ms": round(before * 1e3, 1),
            "progress_1000_ms": round(progress * 1e3, 1),
            "update_ms": round(update * 1e3, 2),
            "after_ms": round(after * 1e3, 1),
        }
        server.stop()
        sdk.close()
    return facts


SCENARIOS: dict[str, Callable[[str, random.Random, Path], Facts]] = {
    "C-1": c1_receiver_down,
    "C-2": c2_kills,
    "C-3": c3_faults,
    "C-4": c4_shared,
    "C-5": c5_disk,
    "C-6": c6_endings,
    "C-7": c7_threads_and_forks,
    "C-8": c8_never_in_the_way,
}


def run(size: str, seed: int, only: str | None = None) -> list[Facts]:
    """Run the scenarios and return what each one counted; raises `BrokenPromiseError` at the first broken promise."""
    results: list[Facts] = []
    for name, scenario in SCENARIOS.items():
        if only and name != only:
            continue
        started = time.monotonic()
        # A thread that a slow disk holds up may still write there when everything else has ended.
        with tempfile.TemporaryDirectory(
            prefix="orchestra-reliability-", ignore_cleanup_errors=True
        ) as folder:
            facts = scenario(size, random.Random(f"{seed}:{name}"), Path(folder))
        title = (scenario.__doc__ or "").strip()
        results.append({"id": name, "what": title, "took_s": round(time.monotonic() - started, 1), **facts})
        print(json.dumps(results[-1]), flush=True)
    return results


def main() -> int:
    parser = argparse.ArgumentParser(description="Reliability of orchestra.sdk")
    parser.add_argument("--size", choices=["quick", "full"], default="quick")
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--only", choices=list(SCENARIOS))
    parser.add_argument("--report", type=Path)
    options = parser.parse_args()
    # Under nohup or in the background of a shell some signals are ignored, and programs started here would inherit
    # that. A handler is not inherited.
    for signum in (signal.SIGINT, signal.SIGHUP):
        if signal.getsignal(signum) is signal.SIG_IGN:
            signal.signal(signum, lambda *_: None)
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(1_000_000)
    print(f"size {options.size}, seed {seed}", flush=True)
    results = run(options.size, seed, options.only)
    if options.report:
        lines = [
            f"# Reliability of orchestra.sdk\n\nSize {options.size}, seed {seed}, Python {sys.version.split()[0]}.\n"
        ]
        for facts in results:
            lines.append(f"## {facts.pop('id')}: {facts.pop('what')}\n")
            lines += [f"- {name}: {value}" for name, value in facts.items()]
            lines.append("")
        options.report.parent.mkdir(parents=True, exist_ok=True)
        options.report.write_text("\n".join(lines))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
