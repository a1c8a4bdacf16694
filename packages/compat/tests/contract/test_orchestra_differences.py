# ruff: noqa: E501 - programs in one line each
"""Each difference on the migration page of orchestra-sdk, shown on the published release and on this package."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from programs import Outcome
from webhooks import run_sides

from orchestra.sdk.testing import Fault

ROOT = Path(__file__).resolve().parents[4]
PAGE = ROOT / "docs" / "howto" / "migrate-orchestra-sdk.md"
DONE = "SUCCEEDED load succeeded."
STARTED = "RUNNING load started."

# name: (release, program, faults of the webhook, (events, last line of output) there, the same here)
CASES = {
    "exception type": (
        "0.2.0",
        '@orchestra.run()\ndef load():\n    raise KeyError("rows")\nload()',
        (),
        ([STARTED, "FAILED load failed. Error: 'rows'"], ""),
        ([STARTED, "FAILED load failed. Error: KeyError: 'rows'"], ""),
    ),
    "sys.exit": (
        "0.2.0",
        "@orchestra.run()\ndef load():\n    sys.exit(3)\nload()",
        (),
        ([STARTED], ""),
        ([STARTED, "FAILED load failed. Error: SystemExit: exit code 3"], ""),
    ),
    "async functions": (
        "0.2.0",
        '@orchestra.run()\nasync def load():\n    orchestra.set_output("rows", 1)\nasyncio.run(load())',
        (),
        ([STARTED, DONE, "output rows=1"], ""),
        ([STARTED, "output rows=1", DONE], ""),
    ),
    "generators": (
        "0.2.0",
        (
            '@orchestra.run()\ndef load():\n    yield 1\n    raise ValueError("second")\n'
            "try:\n    print(list(load()))\nexcept ValueError as error:\n    print(error)"
        ),
        (),
        ([STARTED, DONE], "second"),
        ([STARTED, "FAILED load failed. Error: ValueError: second"], "[1]"),
    ),
    "own final status": (
        "0.2.0",
        '@orchestra.run()\ndef load():\n    orchestra.update_task(TaskRunStatus.WARNING, "two bad rows")\nload()',
        (),
        ([STARTED, "WARNING two bad rows", DONE], ""),
        ([STARTED, "WARNING two bad rows"], ""),
    ),
    "nested calls": (
        "0.2.0",
        "@orchestra.run()\ndef part():\n    return 1\n@orchestra.run()\ndef load():\n    part()\nload()",
        (),
        ([STARTED, "RUNNING part started.", "SUCCEEDED part succeeded.", DONE], ""),
        ([STARTED, DONE], ""),
    ),
    "nested failures": (
        "0.2.0",
        '@orchestra.run()\ndef part():\n    raise ValueError("no")\n@orchestra.run()\ndef load():\n    part()\nload()',
        (),
        ([STARTED, "RUNNING part started.", "FAILED part failed. Error: no", DONE], ""),
        ([STARTED, "FAILED load failed. Error: ValueError: no"], ""),
    ),
    "logs come first": (
        "0.2.0",
        'orchestra.send_logs = True\n@orchestra.run()\ndef load():\n    open("orchestra.log", "a").write("a line\\n")\nload()',
        (),
        ([STARTED, DONE, "log 'a line\\n'"], ""),
        ([STARTED, "log 'a line\\n'", DONE], ""),
    ),
    "new lines only": (
        "0.2.0",
        (
            'orchestra.send_logs = True\nopen("orchestra.log", "w").write("yesterday\\n")\n'
            '@orchestra.run()\ndef load():\n    open("orchestra.log", "a").write("today\\n")\nload()'
        ),
        (),
        ([STARTED, DONE, "log 'yesterday\\ntoday\\n'"], ""),
        ([STARTED, "log 'today\\n'", DONE], ""),
    ),
    "message alone": (
        "0.2.0",
        'try:\n    print(orchestra.update_task(message="half way"))\nexcept TypeError as error:\n    print("TypeError")',
        (),
        ([], "TypeError"),
        (["- half way"], "True"),
    ),
    "statuses as text": (
        "0.2.0",
        'try:\n    print(orchestra.update_task("success"))\nexcept Exception as error:\n    print(type(error).__name__)',
        (),
        ([], "AttributeError"),
        (["SUCCEEDED"], "True"),
    ),
    "unknown statuses": (
        "0.2.0",
        (
            'del os.environ["ORCHESTRA_TASK_RUN_ID"]\norchestra = OrchestraSDK("key")\n'
            'try:\n    print(orchestra.update_task("fine"))\nexcept ValueError as error:\n    print(type(error).__name__)'
        ),
        (),
        ([], "False"),
        ([], "UsageError"),
    ),
    "ids that are no uuid": (
        "0.2.0",
        (
            'del os.environ["ORCHESTRA_TASK_RUN_ID"]\norchestra.task_run_id = "load-7"\n'
            "print(orchestra.task_run_id)"
        ),
        (),
        ([], "load-7"),
        ([], "None"),
    ),
    "decorator without parentheses": (
        "0.2.0",
        "try:\n    @orchestra.run\n    def load():\n        return 1\n    print(load())\nexcept TypeError:\n    print('TypeError')",
        (),
        ([], "TypeError"),
        ([STARTED, DONE], "1"),
    ),
    "values that JSON does not know": (
        "0.2.0",
        'import datetime\nprint(orchestra.set_output("day", [datetime.date(2026, 1, 2), uuid.UUID(int=7)]) )',
        (),
        None,  # nine seconds of repeated attempts, then False
        (["output day=['2026-01-02', '00000000-0000-0000-0000-000000000007']"], "True"),
    ),
    "redirects": (
        "0.2.0",
        '@orchestra.run()\ndef load():\n    print("at work")\nload()',
        (Fault.redirect("/elsewhere"),),
        None,  # an empty GET of the new address, and it counts as success
        ([DONE], "at work"),
    ),
    "requests that can never succeed": (
        "0.2.0",
        (
            "import logging\nlogging.basicConfig(stream=sys.stdout, format='%(name)s %(levelname)s %(message)s')\n"
            '@orchestra.run()\ndef load():\n    print("at work")\nload()'
        ),
        (Fault.status(404, body='{"error": "Could not find API"}'),),
        None,  # three attempts, nine seconds before the function starts; then the same record
        ([DONE], "orchestra_sdk.http ERROR Failed request (404): {'error': 'Could not find API'}"),
    ),
    "Lambda events without an address": (
        "0.2.0",
        (
            f'orchestra.configure_aws_lambda_event({{"orchestra_task_run_id": "{"9" * 8}-2222-4333-8444-555555555555"}})\n'
            "print(orchestra.webhook_url)"
        ),
        (),
        ([], "None"),
        ([], "https://webhook.getorchestra.io"),
    ),
    "warnings when not configured": (
        "0.2.0",
        (
            "import logging\nseen = []\n"
            "class Seen(logging.Handler):\n    def emit(self, record):\n        seen.append(record.getMessage())\n"
            'logging.getLogger("orchestra_sdk.orchestra").addHandler(Seen())\n'
            'del os.environ["ORCHESTRA_TASK_RUN_ID"]\norchestra = OrchestraSDK("key")\n'
            "orchestra.run()(print)()\norchestra.run()(print)()\nprint(len(seen), len(set(seen)))"
        ),
        (),
        ([], "4 1"),
        ([], "1 1"),
    ),
    "linked connections": (
        "0.2.0",
        (
            'os.environ["DB__A__USER"] = "me"\none = orchestra.get_linked_connection("db")\n'
            'os.environ["DB__A__USER"] = "you"\nprint(one == orchestra.get_linked_connection("db"))'
        ),
        (),
        ([], "False"),
        ([], "True"),
    ),
    "metadata of an event": (
        "0.2.0",
        (
            "from orchestra_sdk.enum import WebhookEventType\n"
            'print(orchestra.http_client.request(WebhookEventType.LOG, {"team": "a"}, {"log_name": "n", "data": "d"}))'
        ),
        (),
        (["log 'd'"], "True"),
        ([], "False"),
    ),
    "an address of its own": (
        "0.0.16",
        'del os.environ["ORCHESTRA_WEBHOOK_URL"]\nprint(OrchestraSDK("key").webhook_url)',
        (),
        ([], "None"),
        ([], "https://webhook.getorchestra.io"),
    ),
    "results of functions": (
        "0.0.16",
        "@orchestra.run()\ndef load():\n    return 5\nprint(load())",
        (),
        None,  # None, and events with a key "timestamp", which later releases and this webhook do not know
        ([STARTED, DONE], "5"),
    ),
    "the environment's check": (
        "0.0.16",
        "from orchestra_sdk.check_environment import validate_environment\nprint(type(validate_environment()).__name__)",
        (),
        ([], "tuple"),
        ([], "UUID"),
    ),
    "import configures logging": (
        "0.0.16",
        "import logging\nprint(len(logging.getLogger().handlers))",
        (),
        ([], "1"),
        ([], "0"),
    ),
}


def last_line(text: str) -> str:
    return (text.splitlines() or [""])[-1]


Said = dict[str, tuple[list[str], Outcome]]


@pytest.fixture(scope="module")
def sides(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Said]:
    wanted: dict[str, dict[str, tuple[str, tuple[Fault, ...]]]] = {"0.0.16": {}, "0.2.0": {}, "": {}}
    for name, (release, program, faults, before, _) in CASES.items():
        wanted[""][name] = (program, faults)
        if before is not None:
            wanted[release][name] = (program, faults)
    return run_sides(wanted, tmp_path_factory.mktemp("differences"))


@pytest.mark.parametrize("name", CASES)
def test_a_difference(name: str, sides: dict[str, Said]) -> None:
    release, _, faults, before, after = CASES[name]
    if before is not None:
        events, there = sides[release][name]
        assert (events, last_line(there.stdout)) == before
    events, here = sides[""][name]
    printed = here.stdout.splitlines() or [""]
    assert events == after[0], here.stderr
    shown = after[1] in printed if faults else last_line(here.stdout) == after[1]
    assert shown, (here.stdout, here.stderr)


def section() -> str:
    """The part of the page that this file shows; names and parameters have a test of their own."""
    return PAGE.read_text("utf-8").split("## What differs, on purpose\n", 1)[1].split("\n## ", 1)[0]


def test_the_page_lists_exactly_these() -> None:
    rows = re.findall(r"^\| ([^|]+?) \|", section(), re.MULTILINE)
    assert [row for row in rows if row != "what" and not row.startswith("-")] == list(CASES)
