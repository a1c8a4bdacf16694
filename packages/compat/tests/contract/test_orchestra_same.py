"""Programs that say the same with orchestra-sdk 0.2.0 and with this package: events, output and exit status."""

from __future__ import annotations

import pytest
from programs import Outcome
from webhooks import run_sides

PROGRAMS = {
    "a function that returns": """
@orchestra.run()
def load(rows, factor=2):
    print("at work")
    return rows * factor
print(load(21), load.__name__)
""",
    "updates by hand": """
print(orchestra.update_task(TaskRunStatus.RUNNING, "Starting."))
print(orchestra.update_task(status=TaskRunStatus.RUNNING))
print(orchestra.update_task(status=TaskRunStatus.WARNING, message="two rows were bad"))
""",
    "outputs": """
@orchestra.run()
def load():
    print(orchestra.set_output("rows", 3), orchestra.set_output(name="names", value=["a", {"b": None}]))
load()
""",
    "a Lambda event": """
run = "99999999-2222-4333-8444-555555555555"
orchestra.configure_aws_lambda_event({"orchestra_task_run_id": run, "orchestra_webhook_url": orchestra.webhook_url})
print(orchestra.task_run_id == uuid.UUID(run), run in orchestra.log_file, orchestra.log_file.endswith(".log"))
orchestra.update_task(TaskRunStatus.SUCCEEDED)
""",
    "attributes": """
print(orchestra.api_key, orchestra.log_file, orchestra.send_logs, orchestra.task_run_id)
orchestra.log_file, orchestra.send_logs = "other.log", True
orchestra.task_run_id = uuid.UUID("99999999-2222-4333-8444-555555555555")
print(orchestra.log_file, orchestra.send_logs, orchestra.task_run_id)
client = orchestra.http_client
print(client.api_key, client.task_run_id, client.webhook_url == orchestra.webhook_url)
""",
    "statuses one after the other": """
orchestra.send_running_status("load")
orchestra.send_success_status("load")
""",
    "a status of its own": """
orchestra.send_failed_status("load", ValueError("x" * 300))
""",
    "an event of its own": """
from orchestra_sdk.enum import WebhookEventType
from orchestra_sdk.http import HTTPClient
client = HTTPClient(api_key="k", task_run_id=orchestra.task_run_id, webhook_url=orchestra.webhook_url)
print(client.request(event_type=WebhookEventType.SET_OUTPUT, json={"output_name": "n", "output_value": 1}))
print(client.request(WebhookEventType.LOG, json={"log_name": "a.log", "data": "one line"}))
print(client.request(WebhookEventType.UPDATE_STATUS, json={"status": "SUCCEEDED", "message": "done"}))
""",
    "names of the enumerations": """
from orchestra_sdk.enum import WebhookEventType
print(sorted(one.value for one in TaskRunStatus), TaskRunStatus("FAILED"))
print([WebhookEventType[name].value for name in ("LOG", "UPDATE_STATUS", "SET_OUTPUT")])
""",
    "linked connections": """
os.environ["SNOWFLAKE__PROD_1__PASSWORD"] = "hidden"
os.environ["SNOWFLAKE__PROD_1__OPTIONS"] = '{"role": "reader"}'
os.environ["SNOWFLAKE__PROD_2__PASSWORD"] = "[1234]"
from orchestra_sdk.errors import LinkedConnectionNotFoundError
from orchestra_sdk.linked_connections import get_linked_connection, list_linked_connections
print(orchestra.list_linked_connections() == list_linked_connections(), list_linked_connections())
one = get_linked_connection("snowflake", "prod-1")
print(one["password"], one.get("Options"), one.get("nothing", 5), one.fields)
print(orchestra.get_linked_connection("snowflake", connection_id="prod_2")["password"])
for names in (("snowflake",), ("snowflake", "other"), ("postgres",)):
    try:
        get_linked_connection(*names)
    except LinkedConnectionNotFoundError:
        print("not found")
try:
    one["nothing"]
except KeyError as error:
    print(error)
""",
    "the environment": """
import logging
logging.basicConfig(format="%(name)s %(levelname)s %(message)s", stream=sys.stdout)
from orchestra_sdk.check_environment import validate_environment
print(validate_environment())
os.environ["ORCHESTRA_TASK_RUN_ID"] = "not a uuid"
print(validate_environment())
del os.environ["ORCHESTRA_TASK_RUN_ID"]
print(validate_environment())
os.environ.clear()
print(validate_environment())
""",
    "errors": """
from orchestra_sdk.errors import MissingEnvironmentKeysError, NoEnvironmentVariablesFoundError
try:
    raise MissingEnvironmentKeysError({"A", "B"})
except Exception as error:
    print(sorted(error.missing_keys))
print(issubclass(NoEnvironmentVariablesFoundError, Exception))
""",
    "a failing function": """
@orchestra.run()
def load():
    raise ValueError("no rows")
print(load(), "and the program goes on")
""",
    "an update without configuration": """
import logging
logging.basicConfig(format="%(name)s %(levelname)s %(message)s", stream=sys.stdout)
del os.environ["ORCHESTRA_TASK_RUN_ID"]
quiet = OrchestraSDK("key")
print(quiet.http_client, quiet.task_run_id)
print(quiet.run()(lambda: 5)())
""",
}


Said = dict[str, tuple[list[str], Outcome]]


@pytest.fixture(scope="module")
def sides(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Said]:
    programs = {name: (program, ()) for name, program in PROGRAMS.items()}
    return run_sides({"0.2.0": programs, "": programs}, tmp_path_factory.mktemp("same"))


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_same(name: str, sides: dict[str, Said]) -> None:
    before, there = sides["0.2.0"][name]
    after, here = sides[""][name]
    assert here.returncode == there.returncode == 0, here.stderr
    assert _without_repeats(here.stdout) == _without_repeats(there.stdout)
    # A failure also names the type of the exception: the one difference, which has its own test.
    assert [text.replace("Error: ValueError: ", "Error: ") for text in after] == before


def _without_repeats(text: str) -> list[str]:
    """Lines, of equal ones only the first: the published package warns several times over."""
    return list(dict.fromkeys(text.splitlines()))
