"""Many small programs in processes of their own, with one import of the package for all of them.

A process imports the package once, warms it up, and forks for each program. The programs are given as JSON on
standard input, by name: source, folder and environment. The answer is JSON on standard output, by name: exit status,
output, log.
"""

from __future__ import annotations

import atexit
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

BATCH_TIMEOUT_S = 500


def run_batch(
    python: Path | str,
    modules: Iterable[str],
    jobs: Mapping[str, Mapping[str, Any]],
    env: Mapping[str, str],
    *,
    warm: str = "",
) -> dict[str, Any]:
    """Run the programs and return how each ended.

    Args:
        python: The interpreter.
        modules: What is imported before the programs are told apart.
        jobs: By name: ``source``, ``folder`` and ``env``.
        env: The environment of all.
        warm: A program that is run before, for what is loaded at the first use; it must leave nothing behind.
    """
    done = subprocess.run(
        [str(python), __file__, *modules],
        input=json.dumps({"warm": warm, "jobs": jobs}),
        capture_output=True,
        text=True,
        env=dict(env),
        timeout=BATCH_TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _child(job: dict[str, Any], output: int, log: int) -> None:
    """Be the program: never returns."""
    code = 1
    try:
        os.dup2(output, 1)
        os.dup2(log, 2)
        os.environ.update(job["env"])
        for name in job.get("without", ()):
            os.environ.pop(name, None)
        time.tzset()  # TZ is read at the start of a process
        os.chdir(job["folder"])
        sys.argv = ["program.py"]
        # Not with this module's own `from __future__`.
        exec(compile(job["source"], "program.py", "exec", dont_inherit=True), {"__name__": "__main__"})
        code = 0
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 1
    except BaseException:  # noqa: BLE001 - shown, as the interpreter does at the end of a program
        sys.excepthook(*sys.exc_info())
    finally:
        threading._shutdown()  # type: ignore[attr-defined]  # what the interpreter does at its end
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def main() -> None:
    """Import, then fork for each program."""
    given = json.load(sys.stdin)
    jobs = given["jobs"]
    for name in sys.argv[1:]:
        __import__(name)
    exec(compile(given["warm"], "warm.py", "exec"), {})
    found = {}
    for name, job in jobs.items():
        folder = Path(job["folder"])
        folder.mkdir(parents=True, exist_ok=True)
        paths = [folder / ".stdout", folder / ".stderr"]
        files = [path.open("w") for path in paths]
        pid = os.fork()
        if pid == 0:
            _child(job, *(file.fileno() for file in files))
        _, status = os.waitpid(pid, 0)
        for file in files:
            file.close()
        texts = [path.read_text("utf-8") for path in paths]
        found[name] = [os.waitstatus_to_exitcode(status), *texts]
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()
