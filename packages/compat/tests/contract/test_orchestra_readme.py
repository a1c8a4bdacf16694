"""The README examples of published orchestra-sdk releases run with this package in its place."""

from __future__ import annotations

from pathlib import Path

import pytest
from programs import run_program

import sdists
import seeds
from orchestra.sdk.testing import WebhookServer

RUN = "11111111-2222-4333-8444-555555555555"
BEFORE = """
def complex_process():
    return 0

"""
SNOWFLAKE = {
    "ORCHESTRA_API_KEY": "your_api_key",
    "SNOWFLAKE__PROD_12345__SNOWFLAKE_PASSWORD": "hidden",
    "SNOWFLAKE__PROD_12345__OPTIONS": '{"role": "reader"}',
}


def run_blocks(version: str, numbers: list[int], call: str, folder: Path) -> tuple[str, WebhookServer]:
    blocks = seeds.fenced(sdists.readme("orchestra-sdk", version), "python")
    program = BEFORE + "\n".join(blocks[number] for number in numbers) + "\n" + call
    with WebhookServer(api_key="your_api_key") as server:
        env = {"ORCHESTRA_WEBHOOK_URL": server.url, "ORCHESTRA_TASK_RUN_ID": RUN, **SNOWFLAKE}
        done = run_program(program, folder, env=env)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert server.problems == []
    return done.stdout, server


def test_release_0_0_16_has_the_programs_of_its_page() -> None:
    blocks = seeds.fenced(sdists.readme("orchestra-sdk", "0.0.16"), "python")
    assert len(blocks) == 3
    assert seeds.MISSING or blocks == seeds.orchestra_page()


@pytest.mark.parametrize(
    ("version", "numbers", "statuses"),
    [
        ("0.0.16", [0, 1], ["RUNNING", "SUCCEEDED"]),
        ("0.0.16", [2], ["RUNNING", "SUCCEEDED"]),
        ("0.2.0", [3], ["RUNNING", "SUCCEEDED"]),
    ],
)
def test_tasks(version: str, numbers: list[int], statuses: list[str], tmp_path: Path) -> None:
    _, server = run_blocks(version, numbers, "my_function(1)\n", tmp_path)
    assert server.run(RUN).statuses == statuses


def test_the_task_run_that_the_program_sets_itself(tmp_path: Path) -> None:
    # The page's placeholder is no uuid: the program runs as printed, and the log says that nothing is reported.
    blocks = seeds.fenced(sdists.readme("orchestra-sdk", "0.2.0"), "python")
    call = "\nmy_function(1)\n"
    with WebhookServer(api_key="your_api_key") as server:
        env = {"ORCHESTRA_WEBHOOK_URL": server.url}
        as_printed = run_program(blocks[0] + blocks[1] + call, tmp_path / "printed", env=env)
        assert (as_printed.returncode, as_printed.stdout) == (0, "Running complex process\n")
        assert (
            "'your_task_run_id' is not the uuid of a task run: nothing will be reported" in as_printed.stderr
        )
        assert list(server.requests) == []
        program = blocks[0].replace("your_task_run_id", RUN) + blocks[1] + call
        done = run_program(program, tmp_path / "ours", env=env)
        assert done.returncode == 0, done.stderr
        assert server.run(RUN).statuses == ["RUNNING", "SUCCEEDED"]


def test_aws_lambda(tmp_path: Path) -> None:
    event = (
        f'{{"orchestra_task_run_id": "{RUN}", "orchestra_webhook_url": os.environ["ORCHESTRA_WEBHOOK_URL"]}}'
    )
    _, server = run_blocks("0.2.0", [2], f"import os\nhandler({event}, None)\n", tmp_path)
    assert server.run(RUN).statuses == ["RUNNING", "SUCCEEDED"]


def test_sending_logs(tmp_path: Path) -> None:
    printed, server = run_blocks("0.2.0", [4], "orchestra.run()(test_function)()\n", tmp_path)
    assert "Hello, World!" in printed
    (log,) = server.run(RUN).logs.values()
    assert log.endswith("root - INFO - Hello, World!\n")


def test_outputs(tmp_path: Path) -> None:
    # Without a final status the end of the program waits two seconds for what is on its way, then leaves it to the
    # next one: a busy machine may need longer.
    _, server = run_blocks("0.2.0", [5], "my_function(1)\nassert orchestra.flush(60)\n", tmp_path)
    assert server.run(RUN).outputs == {"result": 0}


def test_linked_connections(tmp_path: Path) -> None:
    printed, _ = run_blocks("0.2.0", [6], "print(snowflake)\n", tmp_path)
    assert "SNOWFLAKE PROD_12345" in printed
    assert "hidden" not in printed


def test_every_example_is_covered() -> None:
    assert len(seeds.fenced(sdists.readme("orchestra-sdk", "0.2.0"), "python")) == 7
