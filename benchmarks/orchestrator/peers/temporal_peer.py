# ruff: noqa: ASYNC220 - once, before anything runs
"""A workflow of three no-op activities per window on Temporal's dev server (keeps its state in memory)."""

import asyncio
import json
import os
import shutil
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path

from temporalio import activity, workflow
from temporalio.client import Client
from temporalio.worker import Worker


@activity.defn
async def step(value: int) -> int:
    return value + 1


@workflow.defn
class Window:
    @workflow.run
    async def run(self) -> int:
        value = 0
        for _ in range(3):
            value = await workflow.execute_activity(step, value, start_to_close_timeout=timedelta(seconds=60))
        return value


async def main(count, flight):
    found = shutil.which("temporal", path=str(Path(sys.executable).parent))
    quiet = subprocess.DEVNULL
    command = [found, "server", "start-dev", "--headless", "--ip", "127.0.0.1", "--log-level", "never"]
    port = 17233 + os.getpid() % 500
    server = subprocess.Popen([*command, "--port", str(port)], stdout=quiet, stderr=quiet)
    try:
        for _ in range(300):
            try:
                client = await Client.connect(f"127.0.0.1:{port}")
                break
            except RuntimeError:
                await asyncio.sleep(0.1)
        async with Worker(client, task_queue="q", workflows=[Window], activities=[step]):
            number = 0

            async def window():
                nonlocal number
                number += 1
                return await client.execute_workflow(Window.run, id=f"w{number}", task_queue="q")

            assert await window() == 3
            took = []
            for _ in range(20):
                begun = time.perf_counter()
                await window()
                took.append(time.perf_counter() - begun)
            left = iter(range(count))

            async def lane():
                for _ in left:
                    assert await window() == 3

            begun = time.perf_counter()
            await asyncio.gather(*(lane() for _ in range(flight)))
            rate = count / (time.perf_counter() - begun)
            print(json.dumps({"windows_per_s": rate, "p50_ms": sorted(took)[10] * 1000}))
    finally:
        server.terminate()
        server.wait()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2])))
