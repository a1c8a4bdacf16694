"""A flow of three dependent no-op tasks per window: Prefect with the server that it starts by itself (durable)."""

import json
import os
import sys
import tempfile
import time

FOLDER = tempfile.mkdtemp()
os.environ.update(
    PREFECT_HOME=FOLDER,
    PREFECT_LOGGING_LEVEL="ERROR",
    PREFECT_SERVER_ANALYTICS_ENABLED="false",
    DO_NOT_TRACK="1",
    PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS="120",
)

from prefect import flow, task  # noqa: E402


@task
def step(value):
    return value + 1


@flow
def window():
    return step(step(step(0)))


if __name__ == "__main__":
    count = int(sys.argv[1])
    assert window() == 3
    took = []
    begun = time.perf_counter()
    for _ in range(count):
        one = time.perf_counter()
        window()
        took.append(time.perf_counter() - one)
    rate = count / (time.perf_counter() - begun)
    print(json.dumps({"windows_per_s": rate, "p50_ms": sorted(took)[count // 2] * 1000}))
