"""Three dependent no-op tasks per window on a Dask cluster of one worker process (not durable)."""

import asyncio
import json
import sys
import time

from dask.distributed import Client, LocalCluster


def step(value):
    return value + 1


async def main(count, flight):
    async with (
        LocalCluster(
            n_workers=1, threads_per_worker=4, processes=True, dashboard_address=None, asynchronous=True
        ) as cluster,
        Client(cluster, asynchronous=True) as client,
    ):

        async def window():
            first = client.submit(step, 0, pure=False)
            second = client.submit(step, first, pure=False)
            return await client.submit(step, second, pure=False)

        await window()
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


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2])))
