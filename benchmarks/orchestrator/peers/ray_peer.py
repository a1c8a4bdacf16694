"""Three dependent no-op tasks per window on a local Ray (not durable)."""

import json
import sys
import time

import ray


@ray.remote
def step(value):
    return value + 1


def window():
    return step.remote(step.remote(step.remote(0)))


if __name__ == "__main__":
    count, flight = int(sys.argv[1]), int(sys.argv[2])
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, configure_logging=False)
    ray.get(window())
    took = []
    for _ in range(20):
        begun = time.perf_counter()
        ray.get(window())
        took.append(time.perf_counter() - begun)
    begun = time.perf_counter()
    waiting, done, sent = [], 0, 0
    while done < count:
        while len(waiting) < flight and sent < count:
            waiting.append(window())
            sent += 1
        ready, waiting = ray.wait(waiting, num_returns=1)
        done += len(ready)
    rate = count / (time.perf_counter() - begun)
    print(json.dumps({"windows_per_s": rate, "p50_ms": sorted(took)[10] * 1000}))
