"""The programs of the task reporting page run as printed and report to a local webhook."""

from __future__ import annotations

from pathlib import Path

import pytest
from programs import run_program

import seeds
from orchestra.sdk.testing import WebhookServer

pytestmark = pytest.mark.skipif(seeds.MISSING, reason="the seed documents are not beside this checkout")

RUN = "11111111-2222-4333-8444-555555555555"
BEFORE = "def complex_process():\n    return {result}\n\n"


def environment(server: WebhookServer) -> dict[str, str]:
    return {"ORCHESTRA_WEBHOOK_URL": server.url, "ORCHESTRA_TASK_RUN_ID": RUN}


def test_there_are_three_programs_and_no_other_block() -> None:
    assert len(seeds.orchestra_page()) == 3
    assert seeds.orchestra_page("bash") == ["pip install orchestra-sdk\n"]


def test_the_first_program_sets_up_and_sends_nothing(tmp_path: Path) -> None:
    with WebhookServer(api_key="your_api_key") as server:
        done = run_program(seeds.orchestra_page()[0], tmp_path, env=environment(server))
    assert (done.returncode, done.stderr, list(server.requests)) == (0, "", [])


def test_the_decorator_reports_running_and_succeeded(tmp_path: Path) -> None:
    with WebhookServer(api_key="your_api_key") as server:
        program = seeds.orchestra_page()[1] + "\nmy_function(1, arg2=2)\n"
        done = run_program(program, tmp_path, env=environment(server))
        run = server.run(RUN)
    assert (done.returncode, done.stdout, done.stderr) == (0, "Running complex process\n", "")
    assert run.statuses == ["RUNNING", "SUCCEEDED"]
    assert run.messages == ["my_function started.", "my_function succeeded."]
    assert server.problems == []


@pytest.mark.parametrize(
    ("result", "status", "messages"),
    [
        (0, "SUCCEEDED", ["Starting process.", "Running process."]),
        (7, "FAILED", ["Starting process.", "Running process.", "Process failed"]),
    ],
)
def test_updates_by_hand(tmp_path: Path, result: int, status: str, messages: list[str]) -> None:
    with WebhookServer(api_key="your_api_key") as server:
        program = BEFORE.format(result=result) + seeds.orchestra_page()[2] + "\nmy_function(1)\n"
        done = run_program(program, tmp_path, env=environment(server))
        run = server.run(RUN)
    assert (done.returncode, done.stdout, done.stderr) == (
        0,
        "Start my complex process\nRunning complex process\n",
        "",
    )
    assert run.statuses == ["RUNNING", status]
    assert run.messages == messages
    assert server.problems == []


def test_a_failing_function_is_reported_and_does_not_end_the_program(tmp_path: Path) -> None:
    head = seeds.orchestra_page()[1].partition("@orchestra.run()")[0]
    body = '@orchestra.run()\ndef load():\n    raise ValueError("no rows")\n\nprint(load())\n'
    with WebhookServer(api_key="your_api_key") as server:
        done = run_program(head + body, tmp_path, env=environment(server))
        run = server.run(RUN)
    assert (done.returncode, done.stdout) == (0, "None\n")
    assert run.statuses == ["RUNNING", "FAILED"]
    assert run.messages[1] == "load failed. Error: ValueError: no rows"
