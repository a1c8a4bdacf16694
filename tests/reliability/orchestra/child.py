"""A task of its own process: it reports numbered updates and writes down each one that was accepted.

usage: child.py FOLDER RUN FIRST COUNT NAME     (COUNT 0 goes on until killed)
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from orchestra.sdk import Budgets, OrchestraSDK


def main() -> None:
    folder, run, first, count, name = sys.argv[1:]
    budgets = Budgets(terminal_s=60.0, exit_s=60.0)
    sdk = OrchestraSDK(task_run_id=run, spool=Path(folder), budgets=budgets)
    number = int(first)
    last = number + int(count) if int(count) else sys.maxsize
    while number < last:
        accepted = sdk.update_task(message=f"{name}:{number}")
        # Written after the call returned, outside of the system under test, in one write that survives kill -9.
        os.write(1, f"{number} {int(accepted)}\n".encode())
        number += 1
    sdk.flush(60.0)


if __name__ == "__main__":
    main()
