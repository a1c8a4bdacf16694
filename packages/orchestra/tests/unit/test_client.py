import gc
import logging
import multiprocessing
import os
import signal
import threading
import weakref
from uuid import UUID, uuid4

import pytest

from orchestra.sdk import Budgets, OrchestraSDK, TaskCancelledError, _signals
from orchestra.sdk.errors import UsageError

KEY = "key-of-the-suite-0123456789"


def test_a_block_is_a_task_run(sdk, server, run_id):
    with sdk.task("load") as task:
        assert task.output("rows", {"a": {1, 2}})
        assert task.message("half way")
        task.progress(0.4, "rows")
        assert (task.name, str(task.id), task.is_configured) == ("load", run_id, True)
    view = server.run(run_id)
    assert view.messages[0] == "load started."
    assert view.messages[-1] == "load succeeded."
    assert view.outputs == {"rows": {"a": [1, 2]}}
    assert server.problems == []


@pytest.mark.parametrize("method", ["warn", "cancel", "fail", "succeed"])
def test_a_declared_end_counts_also_when_an_exception_follows(sdk, server, run_id, method):
    with pytest.raises(ValueError, match="later"), sdk.task("load") as task:  # noqa: PT012
        getattr(task, method)()
        raise ValueError("later")
    expected = {"warn": "WARNING", "cancel": "CANCELLED", "fail": "FAILED", "succeed": "SUCCEEDED"}[method]
    assert server.run(run_id).statuses == ["RUNNING", expected]
    assert server.run(run_id).messages[-1] == f"load {expected.lower()}."


def test_after_the_end_nothing_more_is_sent(sdk, server, run_id, caplog):
    @sdk.run
    def job():
        assert sdk.update_task("FAILED", "enough")
        assert not sdk.set_output("late", 1)
        assert not sdk.update_task(message="late")
        assert not sdk.send_log("late", "x")
        sdk.progress(0.5)

    job()
    assert server.run(run_id).statuses == ["RUNNING", "FAILED"]
    assert server.run(run_id).late == []
    assert "job has ended" in caplog.text


def test_manual_updates_without_a_run(sdk, server, run_id):
    assert sdk.update_task("RUNNING", "Starting process.")
    assert sdk.update_task(message="Running process.")
    assert sdk.update_task("FAILED", message="Process failed")
    assert [(e.get("status"), e["message"]) for e in server.events] == [
        ("RUNNING", "Starting process."),
        (None, "Running process."),
        ("FAILED", "Process failed"),
    ]


def test_sensor_events_need_no_task_run(server, tmp_path, caplog):
    sdk = OrchestraSDK(KEY, webhook_url=server.url, spool=tmp_path / "spool")
    assert sdk.send_sensor_event("file.arrived", {"path": "x"})
    assert sdk.flush(60)
    assert server.events == [
        {"event_type": "SENSOR_EVENT", "metadata": {}, "sensor_event_type": "file.arrived",
         "sensor_event": {"path": "x"}}
    ]  # fmt: skip
    sdk.close()
    keyless = OrchestraSDK(quiet=True)
    assert not keyless.send_sensor_event("a", {})


def test_arguments_come_before_everything(sdk, server, monkeypatch):
    other = str(uuid4())
    monkeypatch.setenv("ORCHESTRA_TASK_RUN_ID", str(uuid4()))
    sdk.run(task_run_id=other)(lambda: None)()
    with sdk.task("block", task_run_id=other, webhook_url=server.url):
        pass
    assert [e["task_run_id"] for e in server.events] == [other] * 4

    @sdk.run
    def outer():
        sdk.run(task_run_id=other)(lambda: None)()

    outer()
    assert len({e["task_run_id"] for e in server.events}) == 2


@pytest.mark.parametrize(
    "options",
    [{"task_run_id": "nonsense"}, {"webhook_url": "ftp://x"}, {"heartbeat_s": 0.1}],
)
def test_settings_that_can_never_work_are_refused(options):
    with pytest.raises(UsageError):
        OrchestraSDK(KEY, **options)


@pytest.mark.parametrize(
    ("name", "value"), [("ORCHESTRA_TASK_RUN_ID", "not-a-uuid"), ("ORCHESTRA_WEBHOOK_URL", "nowhere")]
)
def test_a_broken_environment_disables_and_says_so(monkeypatch, caplog, name, value):
    monkeypatch.setenv("ORCHESTRA_TASK_RUN_ID", str(uuid4()))
    monkeypatch.setenv(name, value)
    sdk = OrchestraSDK(KEY)
    assert not sdk.is_configured
    assert sdk.run(lambda: 5)() == 5
    assert name in caplog.text


def test_lambda_events_and_headers_that_are_broken(caplog):
    sdk = OrchestraSDK(KEY)
    sdk.configure_aws_lambda_event({"orchestra_task_run_id": str(uuid4()), "orchestra_webhook_url": "x"})
    assert not sdk.is_configured
    sdk.configure_http_request({"Other": "x"})
    assert not sdk.is_configured
    assert sdk.log_file == "orchestra.log"


def test_a_warm_process_serves_two_invocations_with_their_own_ids(make_sdk, server):
    sdk = make_sdk(task_run_id=None, webhook_url=None)
    runs = [str(uuid4()), str(uuid4())]

    @sdk.run
    def work(event):
        sdk.set_output("n", event["n"])

    for n, run in enumerate(runs):
        event = {"orchestra_task_run_id": run, "orchestra_webhook_url": server.url, "n": n}
        sdk.configure_aws_lambda_event(event)
        work(event)
        assert sdk.log_file.count(run) == 1
    assert [server.run(run).outputs for run in runs] == [{"n": 0}, {"n": 1}]
    assert [server.run(run).statuses for run in runs] == [["RUNNING", "SUCCEEDED"]] * 2


def test_settable_attributes(make_sdk, server):
    sdk = make_sdk(task_run_id=None, webhook_url=None, api_key=None)
    run = uuid4()
    assert not sdk.is_configured
    sdk.api_key = KEY
    sdk.task_run_id = run
    sdk.webhook_url = server.url
    sdk.log_file = "x.log"
    assert (sdk.api_key, sdk.task_run_id, sdk.webhook_url, sdk.log_file, sdk.send_logs) == (
        KEY, run, server.url, "x.log", False,
    )  # fmt: skip
    assert sdk.update_task("success")
    sdk.task_run_id = None
    assert sdk.task_run_id is None


def _child(sdk, run_id, pipe):
    sdk.update_task(message="from the child")
    pipe.send(sdk.flush(60))
    pipe.close()


def test_forked_children_report_and_do_not_end_the_run(sdk, server, run_id):
    context = multiprocessing.get_context("fork")

    @sdk.run
    def job():
        mine, theirs = context.Pipe()
        child = context.Process(target=_child, args=(sdk, run_id, theirs))
        child.start()
        theirs.close()
        assert mine.recv()
        child.join()
        assert child.exitcode == 0
        sdk.update_task(message="from the parent")

    job()
    view = server.run(run_id)
    assert view.statuses == ["RUNNING", "SUCCEEDED"]
    assert set(view.messages) == {"job started.", "from the child", "from the parent", "job succeeded."}


def test_a_forked_copy_that_returns_through_the_run_does_not_end_it(run_program, server, run_id):
    done = run_program(
        """
        import os, sys
        from orchestra.sdk import OrchestraSDK
        sdk = OrchestraSDK()
        @sdk.run
        def job():
            sdk.update_task(message="before")
            pid = os.fork()
            if pid:
                assert os.waitpid(pid, 0)[1] == 0
        job()
        """
    )
    assert done.returncode == 0, done.stderr
    assert server.run(run_id).statuses == ["RUNNING", "SUCCEEDED"]
    assert server.run(run_id).late == []


def test_capture_and_handlers_send_logs_before_the_end(make_sdk, server, run_id, capsys):
    sdk = make_sdk(capture=True)
    handler = sdk.log_handler("mine.log")
    log = logging.getLogger("captured")
    log.addHandler(handler)
    log.setLevel(logging.INFO)

    @sdk.run
    def job():
        print("printed")  # noqa: T201  what the user\'s code does
        log.info("logged")

    job()
    log.removeHandler(handler)
    view = server.run(run_id)
    assert "printed\n" in view.logs["output.log"]
    assert view.logs["mine.log"].endswith("INFO captured: logged\n")
    assert view.late == []
    assert capsys.readouterr().out == "printed\n"


def test_a_generator_that_nobody_finishes_is_reported_without_waiting(make_sdk, server, run_id):
    sdk = make_sdk()

    @sdk.run
    def numbers():
        yield 1
        yield 2

    generator = numbers()
    next(generator)
    del generator
    gc.collect()
    server.wait_for(lambda s: s.run(run_id).status == "CANCELLED")
    assert "closed before its end" in server.run(run_id).messages[-1]


def test_a_generator_whose_error_is_swallowed_ends(make_sdk, server, run_id):
    sdk = make_sdk(reraise=False)

    @sdk.run
    def numbers():
        yield 1
        raise ValueError("x")

    assert list(numbers()) == [1]
    assert server.run(run_id).status == "FAILED"


def test_between_two_items_the_caller_is_outside(sdk, server, run_id):
    @sdk.run
    def numbers():
        yield 1
        yield 2

    from orchestra.sdk._run import current_run

    generator = numbers()
    next(generator)
    assert current_run() is None
    list(generator)


@pytest.mark.parametrize("state", ["watching", "gone", "stopped"])
def test_a_supervised_run_that_ends_by_itself_leaves_no_watcher(make_sdk, server, run_id, monkeypatch, state):
    from orchestra.sdk import _supervise

    monkeypatch.setattr(_supervise, "GONE_S", 30.0 if state == "watching" else 0.2)
    sdk = make_sdk(supervise=True)
    with sdk.task("job"):
        watcher = sdk._reporter.active_run(UUID(run_id))._supervision._process
        assert watcher.poll() is None
        if state == "gone":
            watcher.kill()
            watcher.wait()
        if state == "stopped":
            watcher.send_signal(signal.SIGSTOP)
    assert watcher.returncode == (0 if state == "watching" else -signal.SIGKILL)
    assert server.run(run_id).statuses == ["RUNNING", "SUCCEEDED"]
    assert server.run(run_id).late == []


def test_cancel_requests_are_raised_where_asked(sdk, server, run_id):
    with pytest.raises(TaskCancelledError), sdk.task("job") as task:  # noqa: PT012
        assert not task.cancel_requested
        task._run.cancel_requested.set()
        task.raise_if_cancelled()
    assert server.run(run_id).status == "CANCELLED"


def test_signals_in_threads_and_ignored_ones_are_left_alone(sdk, server):
    before = signal.getsignal(signal.SIGTERM)
    old = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    seen = []

    @sdk.run
    def job():
        seen.append((signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGHUP)))

    thread = threading.Thread(target=job)
    thread.start()
    thread.join()
    assert seen[0] == (before, signal.SIG_IGN)
    job()
    assert seen[1] == (_signals._handle, signal.SIG_IGN)
    assert signal.getsignal(signal.SIGTERM) == before
    signal.signal(signal.SIGHUP, old)
    assert _signals.signal_name(9999) == "signal 9999"


def test_a_handler_that_the_user_sets_inside_stays(sdk):
    def mine(signum, frame):
        pass

    before = signal.getsignal(signal.SIGTERM)

    @sdk.run
    def job():
        signal.signal(signal.SIGTERM, mine)

    job()
    assert signal.getsignal(signal.SIGTERM) is mine
    signal.signal(signal.SIGTERM, before)


def test_a_handler_that_returns_lets_the_run_go_on(sdk, server, run_id):
    got = []
    before = signal.signal(signal.SIGTERM, lambda *_: got.append(1))

    @sdk.run
    def job():
        os.kill(os.getpid(), signal.SIGTERM)

    job()
    signal.signal(signal.SIGTERM, before)
    assert got == [1]
    assert server.run(run_id).statuses == ["RUNNING", "SUCCEEDED"]


def test_ctrl_c_while_the_end_is_waited_for_loses_nothing(run_program, server, run_id):
    server.stop()
    done = run_program(
        """
        import os, signal
        from orchestra.sdk import Budgets, OrchestraSDK
        from orchestra.sdk._courier import Courier
        sdk = OrchestraSDK(budgets=Budgets(terminal_s=60, exit_s=0.1))
        append = Courier.append
        def append_and_interrupt(courier, event, *arguments, **options):
            ticket = append(courier, event, *arguments, **options)
            if ticket.terminal:
                # From here on the receiver, which is down, is all that is waited for.
                ticket.stored.add_done_callback(lambda _: os.kill(os.getpid(), signal.SIGINT))
            return ticket
        Courier.append = append_and_interrupt
        @sdk.run
        def job():
            pass
        job()
        """
    )
    assert "KeyboardInterrupt" in done.stderr
    server.start()
    done = run_program(
        """
        from orchestra.sdk import Budgets, OrchestraSDK
        other = "11111111-2222-4333-8444-555555555555"
        OrchestraSDK(task_run_id=other, budgets=Budgets(exit_s=60)).update_task("success")
        """
    )
    assert done.returncode == 0, done.stderr
    server.wait_for(lambda s: s.run(run_id).statuses == ["RUNNING", "SUCCEEDED"])


def test_reporting_while_the_interpreter_ends(run_program, server, run_id):
    done = run_program(
        """
        import atexit
        from orchestra.sdk import OrchestraSDK
        sdk = OrchestraSDK()
        atexit.register(lambda: sdk.update_task("success", "from atexit"))
        """
    )
    assert done.returncode == 0, done.stderr
    assert server.run(run_id).messages == ["from atexit"]


def test_repr_names_the_run_and_not_the_key(sdk, run_id):
    assert run_id in repr(sdk)
    assert KEY not in repr(sdk)


def test_budgets_are_documented_numbers():
    assert Budgets() == Budgets(accept_s=0.8, direct_s=5.0, terminal_s=60.0, exit_s=2.0, signal_s=8.0)


def test_memory_that_a_failed_function_held_is_free_while_its_end_is_reported(make_sdk, server):
    """Its traceback would keep it alive, and the report needs memory too."""
    sdk = make_sdk()
    held = []

    class Hoard:
        pass

    @sdk.run
    def job():
        hoard = Hoard()
        held.append(weakref.ref(hoard))
        raise MemoryError

    with pytest.raises(MemoryError) as error:
        job()
    assert held[0]() is None, error.value.__traceback__
