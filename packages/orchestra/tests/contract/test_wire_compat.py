"""The same program on the published SDK 0.2.0 and on ours sends equal bodies, where the published one is right."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest

from published import published_python

PROGRAMS = {
    "decorator": """
        @sdk.run()
        def my_function(arg1, arg2=1):
            return arg1 + arg2
        my_function(1, arg2=2)
    """,
    "outputs": """
        @sdk.run()
        def work():
            sdk.set_output(name="row_count", value=42)
            sdk.set_output("nested", {"a": [1, 2.5, None, True, "text \\u00e9"]})
            sdk.set_output("empty", None)
        work()
    """,
    "manual": """
        sdk.update_task(status=TaskRunStatus.RUNNING, message="Starting process.")
        sdk.update_task(status=TaskRunStatus.RUNNING, message="")
        sdk.update_task(TaskRunStatus.WARNING, "some rows skipped")
    """,
    "every status": """
        for status in TaskRunStatus:
            sdk.update_task(status=status)
    """,
    "lambda event": """
        sdk.configure_aws_lambda_event({
            "orchestra_task_run_id": "99999999-2222-4333-8444-555555555555",
            "orchestra_webhook_url": sdk.webhook_url,
        })
        @sdk.run()
        def handler():
            sdk.set_output("from_event", 1)
        handler()
    """,
    "log file": """
        import os
        os.remove("job.log") if os.path.exists("job.log") else None
        sdk.log_file = "job.log"
        def job():
            with open("job.log", "w") as log:
                log.write("line 1\\nline 2\\n")
        sdk.run()(job)()
    """,
}
SEND_LOGS = {"log file": "True"}


@pytest.mark.parametrize("name", PROGRAMS)
def test_equal_bodies(name, environment, server, run_id, tmp_path):
    body = textwrap.dedent(PROGRAMS[name])
    heads = {
        published_python("orchestra-sdk==0.2.0"): (
            "from orchestra_sdk.enum import TaskRunStatus\nfrom orchestra_sdk.orchestra import OrchestraSDK\n"
        ),
        sys.executable: "from orchestra.sdk import OrchestraSDK, TaskRunStatus\n",
    }
    bodies = []
    for python, head in heads.items():
        seen = len(server.requests)
        logs = SEND_LOGS.get(name, "False")
        make = f"import os\nsdk = OrchestraSDK(os.environ['ORCHESTRA_API_KEY'], send_logs={logs})\n"
        program = tmp_path / "program.py"
        program.write_text(head + make + body)
        done = subprocess.run(
            [str(python), str(program)], env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=120,
            check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        received = list(server.requests)[seen:]
        assert all(r.status == 200 and r.headers["content-type"] == "application/json" for r in received)
        assert {r.headers["authorization"] for r in received} == {
            f"Bearer {environment['ORCHESTRA_API_KEY']}"
        }
        bodies.append([r.event for r in received])
    theirs, ours = bodies
    if name == "log file":  # the published one sends logs after the terminal status, where they are refused
        theirs = [theirs[0], theirs[2], theirs[1]]
    assert ours == theirs
    assert len(ours) >= 2
