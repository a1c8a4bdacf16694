"""Two tasks, one reported by the decorator and one by hand, before a local stand-in for the platform."""

from __future__ import annotations

import os

from orchestra.sdk.testing import WebhookServer

RUNS = ["11111111-2222-4333-8444-555555555555", "99999999-2222-4333-8444-555555555555"]


def main() -> None:
    """Be the platform: start each task with its variables, then show what it said."""
    with WebhookServer(api_key="your_api_key") as server:
        os.environ["ORCHESTRA_WEBHOOK_URL"] = server.url
        os.environ["ORCHESTRA_SPOOL_DIR"] = "outbox"
        import by_hand
        import decorated

        for task, run_id in zip((decorated, by_hand), RUNS, strict=True):
            os.environ["ORCHESTRA_TASK_RUN_ID"] = run_id
            task.my_function(1, arg2=2)
            task.orchestra.close()
            run = server.run(run_id)
            print(task.__name__, run.statuses, run.messages)


if __name__ == "__main__":
    main()
