"""orca.statemachine beside its peers, in one run: thousand events per CPU-second.

    python benchmarks/statemachine/run.py [--quick] [--json FILE] [--only PART...] [--mutate [COUNT]]

Workloads: flat; guarded with a context update; three levels with six entry and exit actions; four regions that all
move. Each peer runs in a process of its own; the environments are made here and kept in .cache. Ratios of one run
count, absolute numbers drift with the machine. Parts are `peers`, `parse`, `check` and `verify`, all of them without
``--only``; ``--mutate`` adds the mutation score of the engine, from COUNT changes or all (an hour). Ends with 1 if a
target is missed (never with --quick).
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(ROOT / "tests" / "support"))

from published import published_python  # noqa: E402

WORKLOADS = ("flat", "guarded", "hierarchy", "parallel")
BASE = "orca-runtime-python"
TARGETS = {"flat": 10.0, "guarded": 8.0, "hierarchy": 10.0, "parallel": 30.0}
"""How many times the events of orca-runtime-python."""
LIMITS = {"ratio_10000_states": 1.5, "instance_bytes": 600.0, "durable_us": 30.0}
LEAST = {"instances_per_s": 100_000.0}
TIMEOUT_S = 900
PARTS = ("peers", "parse", "check", "verify")
PEERS = {
    BASE: ("orca_runtime.py", "orca-runtime-python==0.1.30"),
    "python-statemachine": ("py_statemachine.py", "python-statemachine==3.2.2"),
    "transitions": ("transitions_peer.py", "transitions==0.9.3"),
    "sismic": ("sismic_peer.py", "sismic==1.6.14"),
}


def run(command: list[str], events: int, passes: int) -> dict[str, float]:
    """What one peer prints."""
    done = subprocess.run(
        [*command, str(events), str(passes)], capture_output=True, text=True, timeout=TIMEOUT_S, check=False
    )
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout)


def xstate() -> list[str]:
    """Install XState once and give the command; Node resolves packages from where the script lies."""
    home = ROOT / ".cache" / "benchmarks-statemachine"
    home.mkdir(parents=True, exist_ok=True)
    if not (home / "node_modules" / "xstate").exists():
        subprocess.run(
            ["npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", str(home), "xstate@5"],
            check=True,
            timeout=TIMEOUT_S,
        )
    script = home / "xstate.mjs"
    script.write_text((HERE / "peers" / "xstate.mjs").read_text(encoding="utf-8"), encoding="utf-8")
    return ["node", str(script)]


def measure(*, quick: bool) -> dict[str, dict[str, float]]:
    """All numbers, by name."""
    scale, passes = (20, 2) if quick else (1, 3)
    results = {
        "orca.statemachine": run([sys.executable, str(HERE / "peers" / "ours.py")], 200_000 // scale, passes)
    }
    for name, (script, requirement) in PEERS.items():
        command = [str(published_python(requirement)), str(HERE / "peers" / script)]
        results[name] = run(command, 20_000 // scale if name == BASE else 4_000 // scale, passes)
    results["xstate"] = run(xstate(), 200_000 // scale, passes)
    return results


def judge(results: dict[str, dict[str, float]]) -> list[str]:
    """What misses its target."""
    ours = results["orca.statemachine"]
    missed = []
    for name, times in TARGETS.items():
        if ours[name] < times * results[BASE][name]:
            missed.append(f"{name}: {ours[name] / results[BASE][name]:.1f}x of {BASE}, wanted {times:g}x")
        if ours[name] < results["xstate"][name]:
            missed.append(f"{name}: behind xstate ({ours[name]:.0f} against {results['xstate'][name]:.0f})")
    missed += [
        f"{name}: {ours[name]:.2f}, at most {limit:g}" for name, limit in LIMITS.items() if ours[name] > limit
    ]
    missed += [
        f"{name}: {ours[name]:.0f}, at least {least:g}" for name, least in LEAST.items() if ours[name] < least
    ]
    return missed


def report(results: dict[str, dict[str, float]]) -> None:
    """The table."""
    base = results[BASE]
    print("thousand events per CPU-second (times orca-runtime-python)\n")
    print(f"{'':<22}" + "".join(f"{name:>20}" for name in WORKLOADS))
    for suffix, title in (("", "results"), ("_observed", "results and an observer")):
        print(f"-- {title}")
        for name, found in results.items():
            if name == BASE or f"flat{suffix}" in found:
                cells = [(found[w + suffix], found[w + suffix] / base[w + suffix]) for w in WORKLOADS]
                print(f"{name:<22}" + "".join(f"{value:>11,.1f} ({times:5.1f}x)" for value, times in cells))
    ours = results["orca.statemachine"]
    print(f"\na bare dictionary behind an async call: {ours['bare_dictionary']:,.0f} thousand/s")
    print(
        f"an event at 10,000 states: {ours['ratio_10000_states']:.2f} times the cost at 10 between two states, "
        f"{ours['ratio_10000_around']:.2f} times around all (memory out of cache)"
    )
    print(
        f"an instance: {ours['instance_bytes']:.0f} bytes; {ours['instances_per_s']:,.0f} made and started a second"
    )
    print(f"durable in SQLite (FULL), 100 machines: {ours['durable_us']:.1f} CPU microseconds an event")


def main() -> int:
    """Measure, print, judge."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="a twentieth of the events, no judgement")
    parser.add_argument("--json", type=Path, help="write the numbers to a file")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS, help="what to measure")
    parser.add_argument("--mutate", nargs="?", type=int, const=100_000, metavar="COUNT")
    options = parser.parse_args()
    missed: list[str] = []
    if "peers" in options.only:
        results = measure(quick=options.quick)
        if options.json:
            options.json.write_text(json.dumps(results, indent=2), encoding="utf-8")
        report(results)
        missed += judge(results)
    if "parse" in options.only:
        missed += part("parse.py", "--check")
    if "check" in options.only:
        missed += part("check.py", *([] if options.quick else ["--check"]))
    if "verify" in options.only:
        missed += part("verify.py", *(["--quick"] if options.quick else []))
    if options.mutate:
        missed += part("mutate.py", "--count", str(options.mutate))
    for line in missed:
        print(f"MISSED {line}")
    return 1 if missed and not options.quick else 0


def part(script: str, *arguments: str) -> list[str]:
    """Run another benchmark of this folder, which prints for itself; what it says of its targets."""
    print(f"\n-- {script}", flush=True)
    done = subprocess.run([sys.executable, str(HERE / script), *arguments], check=False)
    return [f"{script} ended with {done.returncode}"] if done.returncode else []


if __name__ == "__main__":
    raise SystemExit(main())
