"""A task that reports to a local stand-in for the platform: outputs, progress, and a final status in every ending."""

from __future__ import annotations

import os

from orchestra.sdk import OrchestraSDK
from orchestra.sdk.testing import WebhookServer

RUN = "11111111-2222-4333-8444-555555555555"
OTHER = "99999999-2222-4333-8444-555555555555"


def main() -> None:
    """Run two tasks, one of which fails."""
    with WebhookServer() as server:
        os.environ["ORCHESTRA_WEBHOOK_URL"] = server.url
        os.environ["ORCHESTRA_TASK_RUN_ID"] = RUN  # the platform sets both
        orchestra = OrchestraSDK(api_key="your_api_key", spool="outbox")

        @orchestra.run()
        def load(rows: int) -> int:
            orchestra.set_output("rows", rows)
            return rows * 2

        print("load returns", load(21))

        @orchestra.run(task_run_id=OTHER)
        def fail() -> None:
            raise ValueError("no rows today")

        try:
            fail()
        except ValueError as error:
            print("the program sees:", error)
        orchestra.flush()
        orchestra.close()
        for name, run_id in (("load", RUN), ("fail", OTHER)):
            run = server.run(run_id)
            print(name, run.statuses, run.messages[-1], run.outputs)


if __name__ == "__main__":
    main()
