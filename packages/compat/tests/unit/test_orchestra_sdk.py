"""orchestra_sdk in one process: attributes, records, the client for single events."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestra.sdk.testing import Fault, WebhookServer
from orchestra_sdk import _records
from orchestra_sdk.enum import TaskRunStatus, WebhookEventType
from orchestra_sdk.http import HTTPClient
from orchestra_sdk.orchestra import OrchestraSDK

RUN = uuid.UUID("11111111-2222-4333-8444-555555555555")


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[WebhookServer]:
    monkeypatch.setenv("ORCHESTRA_SPOOL_DIR", str(tmp_path / "outbox"))
    monkeypatch.setenv("ORCHESTRA_TASK_RUN_ID", str(RUN))
    with WebhookServer() as made:
        monkeypatch.setenv("ORCHESTRA_WEBHOOK_URL", made.url)
        yield made


@pytest.fixture
def sdk(server: WebhookServer) -> Iterator[OrchestraSDK]:
    made = OrchestraSDK("key")
    yield made
    made.close()


def test_attributes_can_be_set(sdk: OrchestraSDK) -> None:
    assert (sdk.log_file, sdk.send_logs, sdk.task_run_id) == ("orchestra.log", False, RUN)
    sdk.send_logs = True
    sdk.log_file = "other.log"
    assert (sdk.log_file, sdk.send_logs) == ("other.log", True)
    assert sdk.http_client is not None
    sdk.api_key = ""
    assert sdk.http_client is None


def test_an_update_without_anything_is_a_warning(sdk: OrchestraSDK, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert sdk.update_task() is False
    assert caplog.record_tuples == [
        (
            "orchestra_sdk.orchestra",
            logging.WARNING,
            "No status or message provided for updating the Task. No update will be sent.",
        )
    ]


def test_an_output_that_json_cannot_carry(sdk: OrchestraSDK, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        assert sdk.set_output("x", float("nan")) is False
    assert caplog.records[0].name == "orchestra_sdk.http"
    assert sdk.set_output("rows", 1) is True


def test_the_three_reports(sdk: OrchestraSDK, server: WebhookServer) -> None:
    sdk.send_running_status("load")
    sdk.send_failed_status("load", ValueError("x" * 300))
    run = server.run(RUN)
    assert run.statuses == ["RUNNING", "FAILED"]
    assert run.messages == ["load started.", f"load failed. Error: {'x' * 250}"]
    sdk.task_run_id = uuid.UUID(int=7)
    sdk.send_success_status("load")
    assert server.run(uuid.UUID(int=7)).statuses == ["SUCCEEDED"]


def test_refusals_are_logged_as_published(
    sdk: OrchestraSDK, server: WebhookServer, caplog: pytest.LogCaptureFixture
) -> None:
    server.script(Fault.status(404, body='{"error": "no"}'), Fault.status(400, body="plain"))
    with caplog.at_level(logging.ERROR):
        sdk.update_task(TaskRunStatus.FAILED, "one")
        sdk.task_run_id = uuid.UUID(int=8)
        sdk.update_task(TaskRunStatus.FAILED, "two")
    assert caplog.record_tuples == [
        ("orchestra_sdk.http", logging.ERROR, "Failed request (404): {'error': 'no'}"),
        ("orchestra_sdk.http", logging.ERROR, "Failed request (400): None"),
    ]


@pytest.mark.parametrize(
    ("message", "published"),
    [
        (
            "a status event of task run x was not delivered (refused); trying again",
            ("orchestra_sdk.http", logging.ERROR, "Could not send POST request - refused"),
        ),
        ("the outbox is at its limit", None),
    ],
)
def test_translations(message: str, published: object) -> None:
    assert _records._published(message) == published


def test_the_client_for_single_events(server: WebhookServer, caplog: pytest.LogCaptureFixture) -> None:
    client = HTTPClient("key", RUN, server.url)
    assert client.request(WebhookEventType.LOG, json={"log_name": "a", "data": "b"})
    assert client.request(
        WebhookEventType.SENSOR_EVENT, json={"sensor_event_type": "t", "sensor_event": {"a": 1}}
    )
    assert client.request(WebhookEventType.SET_OUTPUT, json={"output_name": "n", "output_value": 1})
    with caplog.at_level(logging.ERROR):
        assert not client.request(WebhookEventType.UPDATE_STATUS)
        assert not client.request(WebhookEventType.LOG, {"more": 1}, {"log_name": "a", "data": "b"})
        assert not client.request(WebhookEventType.LOG, json={"wrong": 1})
    assert len(caplog.records) == 3
    assert client.request(WebhookEventType.UPDATE_STATUS, json={"status": "SUCCEEDED"})


def test_the_client_tries_again_and_gives_up(server: WebhookServer) -> None:
    client = HTTPClient("key", RUN, server.url)
    server.script(Fault.status(503), Fault.status(500))
    assert client.request(WebhookEventType.UPDATE_STATUS, json={"message": "third time"})
    assert len(server.requests) == 3
