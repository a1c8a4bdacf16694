"""One measurement of one SDK, in a process of its own; prints JSON. usage: subject.py ours|published CASE COUNT"""

import json
import os
import sys
import time

WHO, CASE, COUNT = sys.argv[1], sys.argv[2], int(sys.argv[3])
if WHO == "ours":
    from orchestra.sdk import Budgets, OrchestraSDK, TaskRunStatus

    sdk = OrchestraSDK(os.environ["ORCHESTRA_API_KEY"], budgets=Budgets(terminal_s=1.0, exit_s=0.1))
else:
    from orchestra_sdk.enum import TaskRunStatus
    from orchestra_sdk.orchestra import OrchestraSDK

    sdk = OrchestraSDK(os.environ["ORCHESTRA_API_KEY"])

marks = []


@sdk.run()
def empty():
    marks.append(time.perf_counter())


def decorator():
    """Time before and after the body of an empty function, each the median of COUNT calls."""
    before, after = [], []
    for _ in range(COUNT):
        start = time.perf_counter()
        empty()
        end = time.perf_counter()
        before.append(marks[-1] - start)
        after.append(end - marks[-1])
    return {"before_ms": middle(before), "after_ms": middle(after), "first_before_ms": before[0] * 1e3}


def outputs():
    """COUNT outputs within one run, the run's end included."""

    @sdk.run()
    def job():
        for n in range(COUNT):
            sdk.set_output("rows", n)

    start = time.perf_counter()
    job()
    return {"per_output_ms": (time.perf_counter() - start) / COUNT * 1e3}


def progress():
    """What COUNT progress events add to a job."""

    @sdk.run()
    def job():
        start = time.perf_counter()
        for n in range(COUNT):
            if WHO == "ours":
                sdk.progress(n / COUNT, "rows")
            else:
                sdk.update_task(TaskRunStatus.RUNNING, f"{n}: rows")
        return time.perf_counter() - start

    return {"added_ms": job() * 1e3}


def middle(values):
    return sorted(values)[len(values) // 2] * 1e3


print(json.dumps({"decorator": decorator, "outputs": outputs, "progress": progress}[CASE]()))
