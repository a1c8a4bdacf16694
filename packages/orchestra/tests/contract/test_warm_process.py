"""A process that AWS Lambda keeps warm: one invocation after another, frozen in between, only /tmp writable."""

from __future__ import annotations

import json
import os
import signal
from uuid import uuid4

PROGRAM = """
import json, sys
from orchestra.sdk import OrchestraSDK

sdk = OrchestraSDK(send_logs=True)

def handler(event, context):
    sdk.configure_aws_lambda_event(event)
    return work(event["rows"])

@sdk.run
def work(rows):
    with open(sdk.log_file, "a") as log:
        log.write(f"{rows} rows\\n")
    sdk.set_output("rows", rows)
    if rows < 0:
        raise ValueError("less than no rows")
    return rows

for line in sys.stdin:
    try:
        answer = {"rows": handler(json.loads(line), None)}
    except ValueError as error:
        answer = {"errorMessage": str(error)}
    print(json.dumps(answer), flush=True)
"""


def test_invocations_report_under_their_own_ids_through_a_freeze(start_program, server, tmp_path):
    (tmp_path / "tmp").mkdir()
    process = start_program(
        PROGRAM,
        HOME="/proc/home", TMPDIR=str(tmp_path / "tmp"), ORCHESTRA_SPOOL_DIR="", ORCHESTRA_TASK_RUN_ID="",
        ORCHESTRA_WEBHOOK_URL="",
    )  # fmt: skip

    def invoke(rows: int) -> tuple[str, dict[str, object]]:
        run = str(uuid4())
        event = {"orchestra_task_run_id": run, "orchestra_webhook_url": server.url, "rows": rows}
        process.stdin.write(json.dumps(event) + "\n")
        process.stdin.flush()
        return run, json.loads(process.stdout.readline())

    for rows in (3, -1):
        run, answer = invoke(rows)
        assert answer == ({"rows": rows} if rows > 0 else {"errorMessage": "less than no rows"})
        view = server.run(run)  # all of it is there when the invocation returns: then the process is frozen
        assert view.statuses == ["RUNNING", "SUCCEEDED" if rows > 0 else "FAILED"]
        assert view.outputs == {"rows": rows}
        assert list(view.logs.values()) == [f"{rows} rows\n"]
        assert run in next(iter(view.logs))

    os.kill(process.pid, signal.SIGSTOP)
    server.stop()  # what was kept alive is gone when the process thaws
    server.start()
    os.kill(process.pid, signal.SIGCONT)
    run, answer = invoke(5)
    assert answer == {"rows": 5}
    assert server.run(run).statuses == ["RUNNING", "SUCCEEDED"]
    assert [path.name for path in (tmp_path / "tmp").glob("orchestra-*")] == [f"orchestra-{os.getuid()}"]
