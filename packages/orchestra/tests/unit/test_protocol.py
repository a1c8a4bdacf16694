import json
from uuid import UUID

import pytest

from orchestra.sdk import TaskRunStatus
from orchestra.sdk import _protocol as protocol
from orchestra.sdk._protocol import Kind, Verdict
from orchestra.sdk.errors import UsageError
from orchestra.sdk.testing._schema import problems_of

RUN = UUID("11111111-2222-4333-8444-555555555555")


def body(event):
    return json.loads(event.body)


def test_every_event_has_the_documented_body():
    events = [
        protocol.status_event(RUN, TaskRunStatus.RUNNING, "m"),
        protocol.status_event(RUN, TaskRunStatus.FAILED, ""),
        protocol.status_event(RUN, None, "only a message"),
        protocol.output_event(RUN, "rows", [1, None]),
        protocol.log_event(RUN, "a.log", "text"),
        protocol.sensor_event("file", {"path": "x"}),
    ]
    for event in events:
        assert problems_of(body(event)) == []
    assert body(events[0]) == {
        "event_type": "UPDATE_STATUS", "metadata": {}, "task_run_id": str(RUN), "status": "RUNNING", "message": "m",
    }  # fmt: skip
    assert "message" not in body(events[1])
    assert [e.kind for e in events] == [
        Kind.STATUS, Kind.TERMINAL, Kind.STATUS, Kind.OUTPUT, Kind.LOG, Kind.SENSOR,
    ]  # fmt: skip
    assert "task_run_id" not in body(events[5])
    assert events[5].run == "sensor:file"


def test_an_update_needs_something_to_say():
    with pytest.raises(UsageError, match="a status or a message"):
        protocol.status_event(RUN, None, "")


def test_messages_and_events_are_bounded():
    long = body(protocol.status_event(RUN, None, "x" * 5_000))["message"]
    assert long == "x" * 4_000 + " ... [1,000 more characters]"
    with pytest.raises(UsageError, match="larger than the limit of 8,388,608"):
        protocol.log_event(RUN, "a", "x" * (8 * 1024 * 1024))


@pytest.mark.parametrize("status", [200, 201, 204, 299])
def test_below_300_is_accepted(status):
    assert protocol.judge_status(status, retry_after=None, now_s=0.0).verdict is Verdict.ACCEPTED


@pytest.mark.parametrize("status", range(300, 600))
def test_every_other_status_has_one_meaning(status):
    outcome = protocol.judge_status(status, retry_after=None, now_s=0.0)
    retried = status in {408, 425, 429} or (status >= 500 and status not in {501, 505})
    assert outcome.verdict is (Verdict.RETRY if retried else Verdict.REFUSED)
    assert f"HTTP {status}" in outcome.reason


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("7", 7.0),
        (" 0 ", 0.0),
        ("99999999999999", 300.0),
        ("Thu, 01 Jan 1970 00:01:40 GMT", 40.0),
        ("Thu, 01 Jan 1970 00:00:10 GMT", 0.0),
        ("soon", None),
        ("-1", None),
        ("", None),
        (None, None),
    ],
)
def test_retry_after(header, seconds):
    assert protocol.parse_retry_after_s(header, now_s=60.0) == seconds


def test_backoff_grows_to_a_limit_and_respects_the_server():
    assert [protocol.backoff_s(n, jitter=1.0) for n in (1, 2, 3)] == [0.1, 0.2, 0.4]
    assert protocol.backoff_s(10_000, jitter=0.0) == 30.0
    assert protocol.backoff_s(1, jitter=0.5, after_s=9.0) == 9.0


@pytest.mark.parametrize(
    ("given", "url"),
    [
        (None, protocol.DEFAULT_WEBHOOK_URL),
        ("  ", protocol.DEFAULT_WEBHOOK_URL),
        ("http://a.b:1/x?y#z", "http://a.b:1/x?y"),
        ("https://me:pw@a.b/x", "https://a.b/x"),
    ],
)
def test_webhook_url(given, url):
    assert protocol.webhook_url(given) == url


@pytest.mark.parametrize("bad", ["ftp://a", "a.b.c", "http://", "file:///etc/passwd"])
def test_webhook_url_refuses(bad):
    with pytest.raises(UsageError, match="must start with http"):
        protocol.webhook_url(bad)


def test_task_run_ids():
    assert protocol.parse_task_run_id(f" {RUN} ") == RUN
    assert protocol.parse_task_run_id(RUN) is RUN
    assert [protocol.parse_task_run_id(x) for x in ("", "x", None, 7)] == [None] * 4


def test_progress_messages():
    assert protocol.progress_message(None, "loading") == "loading"
    assert protocol.progress_message(1.0, "") == "100 %"
    for bad in (-0.1, 1.1, float("nan")):
        with pytest.raises(UsageError, match="from 0 to 1"):
            protocol.progress_message(bad, "x")
    with pytest.raises(UsageError, match="needs a fraction or a message"):
        protocol.progress_message(None, "")


def test_errors_are_described_whatever_they_do():
    class RudeError(Exception):
        def __str__(self):
            raise RuntimeError("no")

    assert protocol.describe_error(RudeError()).endswith("RudeError: (its text cannot be shown)")
    assert protocol.describe_error(ValueError()) == "ValueError"


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("ok", "SUCCEEDED"),
        ("in progress", "RUNNING"),
        ("Canceled", "CANCELLED"),
        ("warn", "WARNING"),
        ("error", "FAILED"),
    ],
)
def test_status_aliases(text, status):
    assert protocol.parse_status(text).value == status
