# ruff: noqa: E501 - handlers have the forms that each library wants
"""The four workloads on sismic. It is synchronous, which spares it the cost of awaiting."""

import json
import sys
import time

from sismic.interpreter import Interpreter
from sismic.io import import_from_yaml


def ring(one, two, guard="", action="", on=""):
    extra = f"            guard: {guard}\n" if guard else ""
    extra += f"            action: {action}\n" if action else ""
    return "".join(
        f"      - name: {source}\n{on}        transitions:\n          - target: {target}\n            event: go\n{extra}"
        for source, target in ((one, two), (two, one))
    )


FLAT = "statechart:\n  name: F\n  root state:\n    name: root\n    initial: a\n    states:\n" + ring("a", "b")
GUARDED = (
    "statechart:\n  name: G\n  preamble: n = 0\n  root state:\n    name: root\n    initial: a\n    states:\n"
    + ring("a", "b", "n < 1000000000", "n = n + 1")
)
STEP = "on entry: pass\n{0}on exit: pass\n"
HIERARCHY = "statechart:\n  name: H\n  root state:\n    name: root\n    initial: a\n    states:\n"
for top, middle, leaf, other in (("a", "b", "c", "d"), ("d", "f", "g", "a")):
    HIERARCHY += f"""      - name: {top}
        initial: {middle}
        on entry: pass
        on exit: pass
        transitions:
          - target: {other}
            event: go
        states:
          - name: {middle}
            initial: {leaf}
            on entry: pass
            on exit: pass
            states:
              - name: {leaf}
                on entry: pass
                on exit: pass
"""
PARALLEL = "statechart:\n  name: P\n  root state:\n    name: root\n    parallel states:\n"
for i in range(4):
    PARALLEL += f"""      - name: r{i}
        initial: a{i}
        states:
          - name: a{i}
            transitions:
              - target: b{i}
                event: go
          - name: b{i}
            transitions:
              - target: a{i}
                event: go
"""


def rate(text, events, passes):
    interpreter = Interpreter(import_from_yaml(text))
    interpreter.execute()
    best = 0.0
    for _ in range(passes):
        start = time.process_time()
        for _ in range(events):
            interpreter.queue("go").execute_once()
        best = max(best, events / (time.process_time() - start) / 1000)
    return best


def main(events, passes):
    texts = {"flat": FLAT, "guarded": GUARDED, "hierarchy": HIERARCHY, "parallel": PARALLEL}
    sys.stdout.write(json.dumps({name: rate(text, events, passes) for name, text in texts.items()}))


main(int(sys.argv[1]), int(sys.argv[2]))
