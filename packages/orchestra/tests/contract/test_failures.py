"""The 27 known failures of the published SDK, one test each: ours does not have them."""

from __future__ import annotations

import asyncio
import functools
import itertools
import logging
import random
import signal
import sys
import textwrap
import threading
import time
from pathlib import Path
from uuid import uuid4

import pytest

from orchestra.sdk import Budgets, OrchestraSDK, OutputError, TaskRunStatus
from orchestra.sdk._http import HttpLimits, WebhookTransport
from orchestra.sdk.errors import UsageError
from orchestra.sdk.testing import Fault, WebhookServer

KEY = "key-of-the-suite-0123456789"


def statuses(server, run_id):
    return server.run(run_id).statuses


def without_repetitions(server, run_id):
    """A process that ends, or has no memory, between an answer and the note of it leaves the event to be sent again."""
    return [status for status, _ in itertools.groupby(statuses(server, run_id))]


# -- final state ---------------------------------------------------------------------


def test_failure_01_exceptions_are_raised_and_the_process_fails(sdk, server, run_id, run_program):
    @sdk.run()
    def job():
        raise ValueError("no rows")

    with pytest.raises(ValueError, match="no rows"):
        job()
    assert statuses(server, run_id) == ["RUNNING", "FAILED"]

    done = run_program(
        """
        from orchestra.sdk import OrchestraSDK
        @OrchestraSDK().run
        def job():
            raise ValueError("no rows")
        job()
        """
    )
    assert done.returncode == 1
    assert "ValueError: no rows" in done.stderr


def test_failure_01_swallowing_is_there_for_who_asks(make_sdk, server, run_id):
    sdk = make_sdk(reraise=False)

    @sdk.run()
    def job():
        raise ValueError("no rows")

    assert job() is None
    assert statuses(server, run_id) == ["RUNNING", "FAILED"]

    @sdk.run(reraise=False)
    def leave():
        sys.exit(4)

    with pytest.raises(SystemExit):
        leave()


@pytest.mark.parametrize(
    ("ending", "status", "code"),
    [
        ("sys.exit(0)", "SUCCEEDED", 0),
        ("sys.exit()", "SUCCEEDED", 0),
        ("sys.exit(3)", "FAILED", 3),
        ("sys.exit('bad input')", "FAILED", 1),
        ("raise KeyboardInterrupt", "CANCELLED", -signal.SIGINT),
        ("raise asyncio.CancelledError", "CANCELLED", 1),
        ("os.kill(os.getpid(), signal.SIGTERM); time.sleep(30)", "FAILED", -signal.SIGTERM),
        ("os.kill(os.getpid(), signal.SIGHUP); time.sleep(30)", "FAILED", -signal.SIGHUP),
    ],
)
def test_failure_02_every_ending_has_a_final_status(run_program, server, run_id, *, ending, status, code):
    done = run_program(
        f"""
        import asyncio, os, signal, sys, time
        from orchestra.sdk import Budgets, OrchestraSDK
        @OrchestraSDK(budgets=Budgets(accept_s=30, signal_s=60)).run
        def job():
            {ending}
        job()
        """
    )
    assert done.returncode == code, done.stderr
    # Where a handler was set before, as by a tool that measures coverage, the end is reported from outside.
    server.wait_for(lambda s: s.run(run_id).status not in {"", "RUNNING"}, timeout_s=60)
    assert without_repetitions(server, run_id) == ["RUNNING", status]


def test_failure_02_a_handler_that_ends_the_process_itself_is_no_way_out(run_program, server, run_id):
    done = run_program(
        """
        import os, signal, time
        from orchestra.sdk import OrchestraSDK
        def on_term(signum, frame):
            print("cleaning up", flush=True)
            signal.signal(signum, signal.SIG_DFL)
            os.kill(os.getpid(), signum)
        signal.signal(signal.SIGTERM, on_term)
        @OrchestraSDK().run
        def job():
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(30)
        job()
        """
    )
    assert (done.returncode, done.stdout) == (-signal.SIGTERM, "cleaning up\n"), done.stderr
    server.wait_for(lambda s: s.run(run_id).status == "FAILED", timeout_s=60)
    assert without_repetitions(server, run_id) == ["RUNNING", "FAILED"]
    assert server.run(run_id).messages[-1].endswith("ended without a final status (after SIGTERM)")


def test_failure_02_a_handler_of_the_user_stays_in_charge(run_program, server, run_id):
    done = run_program(
        """
        import os, signal, sys, time
        from orchestra.sdk import OrchestraSDK
        def on_term(signum, frame):
            print("cleaning up")
            sys.exit(7)
        signal.signal(signal.SIGTERM, on_term)
        @OrchestraSDK().run
        def job():
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(30)
        try:
            job()
        finally:
            assert signal.getsignal(signal.SIGTERM) is on_term
        """
    )
    assert (done.returncode, done.stdout) == (7, "cleaning up\n"), done.stderr
    assert statuses(server, run_id) == ["RUNNING", "FAILED"]
    assert server.run(run_id).messages[-1] == "job failed. Error: SystemExit: exit code 7 (SIGTERM)"


@pytest.mark.parametrize(
    "ending",
    [
        "os.kill(os.getpid(), signal.SIGKILL)",
        "os._exit(0)",
        "ctypes.string_at(0)",
        "resource.setrlimit(resource.RLIMIT_CPU, (1, 1)); [0 for _ in iter(int, 1)]",
    ],
)
def test_failure_03_a_killed_process_is_reported_by_the_supervisor(run_program, server, run_id, ending):
    done = run_program(
        f"""
        import ctypes, os, resource, signal
        from orchestra.sdk import Budgets, OrchestraSDK
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        sdk = OrchestraSDK(supervise=True, budgets=Budgets(accept_s=30))
        @sdk.run
        def job():
            assert sdk.set_output("rows", 3)
            {ending}
        job()
        """
    )
    assert done.returncode in {0, -signal.SIGKILL, -signal.SIGSEGV, -signal.SIGXCPU}, done.stderr
    server.wait_for(lambda s: s.run(run_id).status == "FAILED", timeout_s=60)
    view = server.run(run_id)
    assert without_repetitions(server, run_id) == ["RUNNING", "FAILED"]
    assert view.outputs == {"rows": 3}
    assert "ended without a final status" in view.messages[-1]


OUT_OF_MEMORY = """
    import os, signal, sys
    from orchestra.sdk import Budgets, OrchestraSDK
    sdk = OrchestraSDK(supervise=True, budgets=Budgets(accept_s=30))
    @sdk.run
    def job():
        assert sdk.set_output("rows", 3)
        assert sdk.flush(60)
        if not sys.argv[1:]:
            os.kill(os.getpid(), signal.SIGKILL)  # what the kernel sends, where no group of processes can be made
        hoard = [b"x" * 1_000_000 for _ in range(600)]  # four times what the group has
        sys.exit(f"{len(hoard)} MB were there")
    if sys.argv[1:]:
        with open(sys.argv[1], "w") as members:
            members.write(str(os.getpid()))
    job()
"""


@pytest.fixture
def little_memory():
    """The file that takes a process into a group with 150 MB of memory; None where none can be made."""
    root = Path("/sys/fs/cgroup")
    places = [
        (root, "memory.max", "memory.swap.max", "0"),
        (root / "memory", "memory.limit_in_bytes", "memory.memsw.limit_in_bytes", "150000000"),
    ]
    for parent, limit, swap, swap_limit in places:
        group = parent / f"orchestra-test-{uuid4().hex}"
        try:
            group.mkdir()
        except OSError:
            continue
        try:
            # The kernel makes the files of a group; where there is none this is no group.
            if (group / limit).exists():
                (group / limit).write_text("150000000")
                if (group / swap).exists():
                    (group / swap).write_text(swap_limit)
                yield str(group / "cgroup.procs")
                deadline_s = time.monotonic() + 30.0
                while (group / "cgroup.procs").read_text() and time.monotonic() < deadline_s:
                    threading.Event().wait(0.05)  # the kernel tells nobody when the last process has left
                return
        finally:
            group.rmdir()
    yield None


def test_failure_03_out_of_memory_by_the_kernel_is_reported(run_program, server, run_id, little_memory):
    done = run_program(OUT_OF_MEMORY, *([little_memory] if little_memory else []))
    assert done.returncode == -signal.SIGKILL, done.stderr
    server.wait_for(lambda s: s.run(run_id).status == "FAILED", timeout_s=60)
    view = server.run(run_id)
    assert without_repetitions(server, run_id) == ["RUNNING", "FAILED"]
    assert view.outputs == {"rows": 3}
    assert "killed or crashed" in view.messages[-1]


HOARDS = {
    "a function, which ends": """
        @sdk.run
        def job():
            hoard = []
            limit()
            while True:
                hoard.append(b"x" * 1_000_000)
        job()
    """,
    "a block, whose variables live on": """
        hoard = []
        with sdk.task("job"):
            limit()
            while True:
                hoard.append(b"x" * 1_000_000)
    """,
}


@pytest.mark.parametrize("hoard", HOARDS)
def test_failure_03_out_of_memory_as_an_exception_is_reported(run_program, server, run_id, tmp_path, hoard):
    """The allocation fails, and what reports it needs memory of its own, which modules not loaded yet need most."""
    uncompiled = {"PYTHONPYCACHEPREFIX": str(tmp_path / "empty"), "PYTHONDONTWRITEBYTECODE": "1"}
    begin = """
        import resource
        from orchestra.sdk import OrchestraSDK
        sdk = OrchestraSDK()
        def limit():
            sdk.set_output("rows", 3)
            with open("/proc/self/statm") as file:
                used = int(file.read().split()[0]) * resource.getpagesize()
            resource.setrlimit(resource.RLIMIT_AS, (used + 100_000_000,) * 2)
    """
    done = run_program(textwrap.dedent(begin) + textwrap.dedent(HOARDS[hoard]), **uncompiled)
    assert done.returncode == 1, done.stderr
    assert "MemoryError" in done.stderr
    view = server.run(run_id)
    assert without_repetitions(server, run_id) == ["RUNNING", "FAILED"]
    assert view.messages[-1] == "job failed. Error: MemoryError"


def test_failure_03_without_a_supervisor_the_next_start_reports_it(run_program, make_sdk, server, run_id):
    program = """
        import os, signal, sys
        from orchestra.sdk import Budgets, OrchestraSDK
        sdk = OrchestraSDK(budgets=Budgets(accept_s=30))
        @sdk.run
        def job():
            os.kill(os.getpid(), signal.SIGKILL)
        job()
    """
    assert run_program(program).returncode == -signal.SIGKILL
    assert "FAILED" not in statuses(server, run_id)
    later = make_sdk(task_run_id=uuid4())
    assert later.update_task("running", "the next task on this machine")
    server.wait_for(lambda s: "FAILED" in statuses(s, run_id))
    assert "ended without a final status" in server.run(run_id).messages[-1]


def test_failure_04_an_async_function_is_reported_when_it_has_run(sdk, server, run_id):
    @sdk.run
    async def job():
        await asyncio.sleep(0)
        server.wait_for(lambda s: statuses(s, run_id) == ["RUNNING"])
        return 5

    assert asyncio.run(job()) == 5
    assert statuses(server, run_id) == ["RUNNING", "SUCCEEDED"]


def test_failure_05_generators_are_reported_at_their_end(sdk, server, run_id):
    @sdk.run
    def numbers():
        got = yield 1
        assert got == "sent"
        try:
            yield 2
        except KeyError:
            yield 3
        return 4

    generator = numbers()
    assert server.events == []
    assert next(generator) == 1
    server.wait_for(lambda s: statuses(s, run_id) == ["RUNNING"])
    assert generator.send("sent") == 2
    assert generator.throw(KeyError("x")) == 3
    with pytest.raises(StopIteration) as stop:
        next(generator)
    assert stop.value.value == 4
    assert statuses(server, run_id) == ["RUNNING", "SUCCEEDED"]


def test_failure_05_async_generators_are_reported_at_their_end(sdk, server, run_id):
    @sdk.run
    async def numbers():
        yield 1
        await asyncio.sleep(0)
        yield 2
        raise ValueError("no third")

    async def consume():
        return [n async for n in numbers()]

    with pytest.raises(ValueError, match="no third"):
        asyncio.run(consume())
    assert statuses(server, run_id) == ["RUNNING", "FAILED"]


@pytest.mark.parametrize("explicit", ["WARNING", "CANCELLED", "FAILED"])
def test_failure_06_an_explicit_status_is_not_overwritten(sdk, server, run_id, explicit):
    @sdk.run
    def job():
        assert sdk.update_task(explicit, "as found")
        assert not sdk.update_task("SUCCEEDED")  # the first one counts

    job()
    assert statuses(server, run_id) == ["RUNNING", explicit]
    assert server.run(run_id).late == []

    with sdk.task("block") as task:
        task.warn("3 rows skipped")
        task.cancel("too late")
        task.output("rows", 9)
    assert server.events[-1]["status"] == "WARNING"
    assert server.events[-2]["output_name"] == "rows"


def test_failure_07_nested_calls_report_once(sdk, server, run_id):
    @sdk.run
    def inner():
        return 1

    @sdk.run
    def outer():
        results = []
        thread = threading.Thread(target=lambda: results.append(inner()))
        thread.start()
        thread.join()
        return inner() + results[0]

    assert outer() == 2
    assert statuses(server, run_id) == ["RUNNING", "SUCCEEDED"]


def test_failure_08_a_terminal_status_survives_the_receiver_and_the_process(
    run_program, make_sdk, server, run_id
):
    server.stop()
    done = run_program(
        """
        from orchestra.sdk import Budgets, OrchestraSDK
        sdk = OrchestraSDK(budgets=Budgets(accept_s=30, terminal_s=0.3, exit_s=0.1))
        @sdk.run
        def job():
            sdk.set_output("rows", 3)
        job()
        """
    )
    assert done.returncode == 0
    server.start()
    sdk = make_sdk(task_run_id=uuid4())
    assert sdk.update_task("RUNNING")
    server.wait_for(lambda s: statuses(s, run_id) == ["RUNNING", "SUCCEEDED"])
    assert server.run(run_id).outputs == {"rows": 3}


def test_failure_09_concurrent_handlers_report_under_their_own_id(make_sdk, server):
    sdk = make_sdk(task_run_id=None, webhook_url=None)
    ids = [str(uuid4()) for _ in range(8)]
    together = threading.Barrier(len(ids))

    def handle(run):
        sdk.configure_aws_lambda_event({"orchestra_task_run_id": run, "orchestra_webhook_url": server.url})

        @sdk.run
        def handler():
            together.wait(60)
            sdk.set_output("me", run)

        handler()

    threads = [threading.Thread(target=handle, args=(run,)) for run in ids]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for run in ids:
        assert server.run(run).outputs == {"me": run}
        assert statuses(server, run) == ["RUNNING", "SUCCEEDED"]

    async def main():
        async def one(run):
            sdk.configure_http_request({"Orchestra-Task-Run-Id": run})

            @sdk.run
            async def handler():
                await asyncio.sleep(0.01)
                sdk.set_output("again", run)

            await handler()

        await asyncio.gather(*(one(run) for run in more))

    more = [str(uuid4()) for _ in range(4)]
    sdk.webhook_url = server.url
    asyncio.run(main())
    assert [server.run(run).outputs for run in more] == [{"again": run} for run in more]


def test_failure_10_each_run_reads_its_id_anew(make_sdk, server, monkeypatch):
    sdk = make_sdk(task_run_id=None)
    job = sdk.run(lambda: None)
    first, second, third = (str(uuid4()) for _ in range(3))
    monkeypatch.setenv("ORCHESTRA_TASK_RUN_ID", first)
    job()
    monkeypatch.setenv("ORCHESTRA_TASK_RUN_ID", second)
    job()
    sdk.task_run_id = third
    job()
    for run in (first, second, third):
        assert statuses(server, run) == ["RUNNING", "SUCCEEDED"]


def test_failure_11_logs_come_before_the_terminal_status(make_sdk, server, run_id, tmp_path):
    log = tmp_path / "job.log"
    sdk = make_sdk(send_logs=True, log_file=str(log))

    @sdk.run
    def job():
        log.write_text("one line\n")
        raise ValueError("boom")

    with pytest.raises(ValueError, match="boom"):
        job()
    assert [e.get("status", e["event_type"]) for e in server.events] == ["RUNNING", "LOG", "FAILED"]
    assert server.run(run_id).logs == {str(log): "one line\n"}


# -- HTTP ----------------------------------------------------------------------------


def test_failure_12_a_webhook_that_never_answers_does_not_hold_the_job(make_sdk, server, monkeypatch):
    # Whoever waits for an answer that never comes waits for much longer than the job may be held up.
    monkeypatch.setattr(
        "orchestra.sdk._http.WebhookTransport", lambda: WebhookTransport(HttpLimits(read_s=60, total_s=60))
    )
    sdk = make_sdk(budgets=Budgets(accept_s=30.0, direct_s=60.0, terminal_s=0.5))
    assert sdk.update_task(message="everything is loaded and open")
    assert sdk.flush(60)
    server.always(Fault.hang())
    started = time.monotonic()

    @sdk.run
    def job():
        return time.monotonic() - started

    assert job() < 25.0
    assert time.monotonic() - started < 25.0


def test_failure_13_a_webhook_that_is_down_costs_little_and_nothing_is_lost(make_sdk, server, run_id):
    sdk = make_sdk(task_run_id=uuid4(), budgets=Budgets(accept_s=30.0, direct_s=60.0, terminal_s=0.5))
    assert sdk.update_task(message="everything is loaded and open")
    assert sdk.flush(60)
    sdk.task_run_id = run_id
    server.stop()
    started = time.monotonic()

    @sdk.run
    def job():
        return time.monotonic() - started

    assert job() < 25.0
    assert time.monotonic() - started < 25.0
    server.start()
    server.wait_for(lambda s: statuses(s, run_id) == ["RUNNING", "SUCCEEDED"], timeout_s=60)


@pytest.mark.parametrize("code", [400, 401, 404, 413, 422])
def test_failure_14_what_is_wrong_for_good_is_not_retried(make_sdk, server, run_id, code):
    server.script(Fault.status(code, body="no"))
    sdk = make_sdk()
    assert not sdk.update_task("SUCCEEDED", "done") or code == 0 or _dead(sdk)
    assert sdk.flush(60)
    assert len(server.requests) == 1
    (letter,) = _dead(sdk)
    assert letter.reason == f"HTTP {code}: no"


def _dead(sdk):
    return sdk._reporter.courier._disk.dead_letters()


def test_failure_14_retry_after_is_honoured(sdk, server):
    server.script(Fault.status(429, retry_after_s=1))
    assert sdk.update_task("SUCCEEDED")
    first, second = server.requests
    assert 0.95 <= second.at_s - first.at_s <= 30.0


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
def test_failure_15_a_redirect_is_no_success_and_is_not_followed(sdk, server, code):
    with WebhookServer() as elsewhere:
        server.script(Fault.redirect(elsewhere.url, code=code))
        sdk.update_task("SUCCEEDED")
        assert list(elsewhere.requests) == []
    (letter,) = _dead(sdk)
    assert f"HTTP {code}: redirected to 127.0.0.1" in letter.reason


def test_failure_16_netrc_and_userinfo_do_not_replace_the_key(make_sdk, server, monkeypatch, tmp_path):
    netrc = tmp_path / ".netrc"
    netrc.write_text("machine 127.0.0.1 login me password wrong\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(netrc))
    sdk = make_sdk(webhook_url=server.url.replace("//", "//me:wrong@"))
    assert sdk.update_task("SUCCEEDED")
    assert server.requests[0].headers["authorization"] == f"Bearer {KEY}"


def test_failure_17_one_connection_serves_all_events(sdk, server):
    @sdk.run
    def job():
        for n in range(20):
            sdk.set_output("n", n)

    job()
    assert len(server.events) == 22
    assert server.connections == 1


def test_failure_18_a_value_that_json_cannot_carry_is_refused_at_once(sdk, server):
    with pytest.raises(OutputError, match=r"object at rows\[1\] has no place in JSON") as caught:
        sdk.set_output("rows", {"rows": [1, object()]})
    assert caught.value.path == "rows[1]"
    assert not server.requests


def test_failure_19_the_event_loop_goes_on(make_sdk, server, run_id):
    taken, ticked = threading.Event(), threading.Event()

    def take(_):
        """Before the receiver answers."""
        taken.set()
        ticked.wait(60)

    server._on_event = take
    sdk = make_sdk()

    @sdk.run
    async def job():
        await asyncio.sleep(0)

    async def main():
        async def tick():
            ticks = 0
            while ticks < 20 or not taken.is_set():
                await asyncio.sleep(0.01)
                ticks += 1
            ticked.set()

        ticker = asyncio.create_task(tick())
        await job()
        assert ticker.done()  # the loop went on while the end waited for the answer that waited for the loop
        await ticker

    asyncio.run(main())
    assert statuses(server, run_id) == ["RUNNING", "SUCCEEDED"]


# -- API, logs, security ----------------------------------------------------------------


@pytest.mark.parametrize("status", ["success", "Succeeded", TaskRunStatus.SUCCEEDED, "SUCCEEDED"])
def test_failure_20_messages_alone_texts_and_aliases_work_everywhere(make_sdk, server, status):
    sdk = make_sdk()
    assert sdk.update_task(message="half way")
    assert sdk.update_task(status)
    assert [(e.get("status"), e.get("message")) for e in server.events] == [
        (None, "half way"),
        ("SUCCEEDED", None),
    ]
    with pytest.raises(UsageError, match="needs a status or a message"):
        sdk.update_task()
    unconfigured = OrchestraSDK(quiet=True)
    with pytest.raises(UsageError, match="'nonsense' is no status"):
        unconfigured.update_task("nonsense")
    assert unconfigured.update_task(status) is False


def test_failure_21_every_callable_can_be_decorated(sdk, server, run_id):
    class Job:
        @sdk.run
        def method(self, x):
            return x + 1

        @sdk.run
        @staticmethod
        def static(x):
            return x + 2

        @sdk.run
        @classmethod
        def of_class(cls, x):
            return cls, x + 3

        def __call__(self, x):
            return x + 4

    class AsyncJob:
        async def __call__(self, x):
            return x + 5

    @sdk.run
    def bare(x):
        return x

    assert Job().method(1) == 2
    assert Job.static(1) == 3
    assert Job.of_class(1) == (Job, 4)
    assert bare(0) == 0
    assert sdk.run(functools.partial(bare.__wrapped__, 7))() == 7
    assert sdk.run(Job())(1) == 5
    assert asyncio.run(sdk.run(AsyncJob())(1)) == 6
    assert sdk.run()(len)([1]) == 1
    names = [e["message"].split()[0] for e in server.events if e["status"] == "RUNNING"]
    assert names == ["method", "static", "of_class", "bare", "bare", "Job", "AsyncJob", "len"]


def test_failure_22_logs_are_bounded_and_belong_to_this_run(make_sdk, server, run_id, tmp_path):
    log = tmp_path / "job.log"
    log.write_bytes(b"a line of an earlier run\n" * 1000)
    sdk = make_sdk(send_logs=True, log_file=str(log))

    @sdk.run
    def job():
        with log.open("ab") as file:
            for _ in range(45):
                file.write(b"x" * 999_999 + b"\n")
            file.write(b"gr\xe9 last line\n")

    job()
    (request,) = [r for r in server.requests if r.event["event_type"] == "LOG"]
    data = request.event["data"]
    assert len(request.body) < 1_200_000
    assert data.startswith("[... 4")
    assert "bytes before this were left out]" in data.splitlines()[0]
    assert data.endswith("gr\ufffd last line\n")
    assert "earlier run" not in data


def test_failure_23_lambda_events_without_address_and_without_random(make_sdk, monkeypatch):
    sdk = make_sdk(task_run_id=None, webhook_url=None)
    random.seed(7)
    expected = random.random()
    random.seed(7)
    files = set()
    for _ in range(200):
        sdk.configure_aws_lambda_event({"orchestra_task_run_id": str(uuid4())})
        files.add(sdk.log_file)
    assert random.random() == expected
    assert len(files) == 200
    assert sdk.is_configured
    assert sdk.webhook_url == "https://webhook.getorchestra.io"
    sdk.configure_aws_lambda_event({"something": "else"})
    assert not sdk.is_configured


def test_failure_24_the_failed_message_names_the_type(sdk, server, run_id):
    @sdk.run
    def job():
        raise KeyError("rows" * 100)

    with pytest.raises(KeyError):
        job()
    message = server.run(run_id).messages[-1]
    assert message.startswith("job failed. Error: KeyError: 'rowsrows")
    assert len(message) == len("job failed. Error: KeyError: ") + 250


def test_failure_25_secrets_do_not_leave_the_process(make_sdk, server, *, monkeypatch, caplog, tmp_path):
    monkeypatch.setenv("WAREHOUSE_PASSWORD", "hunter2-hunter2")
    monkeypatch.setenv("SNOWFLAKE__MAIN__ACCOUNT", "acct-55512")
    log = tmp_path / "job.log"
    sdk = make_sdk(send_logs=True, log_file=str(log), redact=["extra-secret"])
    caplog.set_level(logging.DEBUG)

    @sdk.run
    def job():
        sdk.update_task(message=f"connecting with {KEY}")
        log.write_text("postgres://me:s3cr3t@db/x acct-55512 extra-secret token=abcdef12345\n")
        sdk.set_output("note", "hunter2-hunter2 is what the user chose to send")
        raise ValueError("login hunter2-hunter2 refused, Authorization: Bearer abcdefghijklmn")

    with pytest.raises(ValueError, match="refused"):
        job()
    sent = b"".join(r.body for r in server.requests if r.event["event_type"] != "SET_OUTPUT").decode()
    for secret in (KEY, "hunter2", "s3cr3t", "acct-55512", "extra-secret", "abcdef12345", "abcdefghijklmn"):
        assert secret not in sent
        assert secret not in caplog.text
    assert KEY not in repr(sdk)
    files = b"".join(p.read_bytes() for p in (tmp_path / "spool").iterdir())
    assert KEY.encode() not in files


def test_failure_26_signatures_and_types_are_kept(sdk):
    import inspect

    import orchestra.sdk

    def job(a: int, *, b: str = "x") -> float:
        """What it does."""
        return a + len(b)

    for wrapped in (sdk.run(job), sdk.run()(job)):
        assert inspect.signature(wrapped) == inspect.signature(job)
        assert wrapped.__doc__ == "What it does."
        assert wrapped.__wrapped__ is job
    assert (Path(orchestra.sdk.__file__).parent / "py.typed").exists()


def test_failure_27_one_warning_when_not_configured_and_a_quiet_mode(caplog):
    caplog.set_level(logging.INFO)
    for options, warnings in (({}, 1), ({"quiet": True}, 0)):
        caplog.clear()
        sdk = OrchestraSDK(KEY, **options)
        job = sdk.run(lambda: 5)
        assert [job(), job()] == [5, 5]
        assert sdk.update_task("RUNNING") is False
        assert sdk.set_output("a", 1) is False
        assert not sdk.is_configured
        assert len([r for r in caplog.records if r.levelno >= logging.WARNING]) == warnings
