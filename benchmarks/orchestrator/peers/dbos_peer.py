"""A workflow of three no-op steps per window in one DBOS process on SQLite (durable)."""

import json
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor

from dbos import DBOS


@DBOS.step()
def step(value):
    return value + 1


@DBOS.workflow()
def window():
    return step(step(step(0)))


if __name__ == "__main__":
    count, flight = int(sys.argv[1]), int(sys.argv[2])
    folder = tempfile.mkdtemp()
    DBOS(
        config={
            "name": "bench",
            "system_database_url": f"sqlite:///{folder}/dbos.sqlite",
            "run_admin_server": False,
        }
    )
    DBOS.launch()
    assert window() == 3
    took = []
    for _ in range(20):
        begun = time.perf_counter()
        window()
        took.append(time.perf_counter() - begun)
    begun = time.perf_counter()
    with ThreadPoolExecutor(min(flight, 16)) as pool:
        assert all(value == 3 for value in pool.map(lambda _: window(), range(count)))
    rate = count / (time.perf_counter() - begun)
    print(json.dumps({"windows_per_s": rate, "p50_ms": sorted(took)[10] * 1000}))
    DBOS.destroy()
