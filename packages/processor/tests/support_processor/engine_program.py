"""A processor whose algorithms run on a distributed engine; runs in the engine's own environment.

python engine_program.py dask|ray
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

import process_jobs
from serving import make_request, serving

from orca.processor import Processor, WindowType
from orca.processor.executors import RayExecutor

STARTS_MAX = 6
"""Ray gives its processes 30 seconds to start, whatever it is told, which a busy machine does not keep."""

TYPE = WindowType("Every30Second", "1.0.0", "half")


def dask() -> tuple[Any, Any, Any]:
    import dask.config  # type: ignore[import-not-found, unused-ignore]
    from distributed import Client, LocalCluster

    dask.config.set({"distributed.scheduler.allowed-failures": 0})
    cluster = LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, host="127.0.0.1"
    )
    client = Client(cluster)

    def close() -> None:
        client.close()
        cluster.close()

    client.wait_for_workers(2)
    # Dask fails whatever it has given to a worker that dies, so that what is risky needs a worker for itself.
    safe, risky = client.scheduler_info()["workers"]
    return (
        client.get_executor(retries=0, workers=[safe]),
        client.get_executor(retries=0, workers=[risky]),
        close,
    )


def ray() -> tuple[Any, Any, Any]:
    import ray as engine

    options: Any = {
        "num_cpus": 2,
        "include_dashboard": False,
        "log_to_driver": False,
        "configure_logging": False,
    }
    for left in reversed(range(STARTS_MAX)):
        try:
            engine.init(**options)
            break
        except Exception:
            engine.shutdown()
            if not left:
                raise
    executor = RayExecutor(num_cpus=1)
    return executor, executor, engine.shutdown


def main() -> None:
    executor, risky, close = {"dask": dask, "ray": ray}[sys.argv[1]]()
    try:
        proc = Processor("ml", bind="127.0.0.1:0", environ={}, executor=executor)
        proc.algorithm("Double", "1.0.0", TYPE)(process_jobs.double)
        proc.algorithm("Named", "1.0.0", TYPE)(process_jobs.named_as_option)
        proc.algorithm("Unlike", "1.0.0", TYPE)(process_jobs.unlike)
        proc.algorithm("Fail", "1.0.0", TYPE)(process_jobs.fail)
        proc.algorithm("Die", "1.0.0", TYPE, executor=risky)(process_jobs.die)
        proc.algorithm("Hang", "1.0.0", TYPE, timeout_s=2.0)(process_jobs.hang)
        names = ["Double_1.0.0", "Named_1.0.0", "Unlike_1.0.0", "Fail_1.0.0", "Die_1.0.0", "Hang_1.0.0"]
        if sys.argv[1] == "dask":
            names.remove("Hang_1.0.0")  # its workers cannot be stopped inside of a call
        with serving(proc) as running:
            found = running.execute(request=make_request(*names), timeout_s=240)
            again = running.execute(request=make_request("Double_1.0.0", "Unlike_1.0.0"), timeout_s=240)
        records = {
            f"{name}{suffix}": {"value": one.value, "error": dict(one.error)}
            for answers, suffix in ((found, ""), (again, " again"))
            for name, one in answers.items()
        }
        sys.stdout.write(f"RESULT {json.dumps({'pid': os.getpid(), 'records': records})}\n")
    finally:
        close()


if __name__ == "__main__":
    main()
