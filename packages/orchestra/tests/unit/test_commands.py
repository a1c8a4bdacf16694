"""The commands and the supervisor inside this process, where every line of theirs can be seen."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from uuid import uuid4

import pytest

from orchestra.sdk import TaskRunStatus, _supervisor, cli
from orchestra.sdk._process import process_start
from orchestra.sdk._protocol import status_event
from orchestra.sdk._spool import OpenRun, Spool, key_fingerprint
from orchestra.sdk._supervise import Supervision
from orchestra.sdk._wrapped import leave_word, read_word

KEY = "key-of-the-suite-0123456789"


@pytest.fixture
def configured(monkeypatch, environment):
    for name in (
        "ORCHESTRA_API_KEY",
        "ORCHESTRA_WEBHOOK_URL",
        "ORCHESTRA_TASK_RUN_ID",
        "ORCHESTRA_SPOOL_DIR",
    ):
        monkeypatch.setenv(name, environment[name])


@pytest.fixture
def spool(environment, tmp_path):
    made = Spool(tmp_path / "spool")
    yield made
    made.close()


def put(spool, server, run, status, *, key=KEY, message=None):
    event = status_event(run, TaskRunStatus(status), message)
    spool.append([(event, server.url, key_fingerprint(key))], now_s=1.0)


def test_a_program_runs_and_handlers_come_back(configured, server, run_id, capfd):
    before = {s: signal.getsignal(s) for s in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)}
    script = "echo a=1 >> $ORCHESTRA_OUTPUT; echo bad >> $ORCHESTRA_OUTPUT; echo hi; echo err >&2; exit 4"
    assert cli.main(["run", "--warn-exit", "4", "--", "sh", "-c", script]) == 4
    assert {s: signal.getsignal(s) for s in before} == before
    out, err = capfd.readouterr()
    assert "hi" in out
    assert "WARNING after" in err
    assert "not an output line (NAME=VALUE): 'bad'" in err
    assert server.run(run_id).outputs == {"a": 1}
    assert server.run(run_id).status == "WARNING"


def test_a_program_that_is_missing_and_a_receiver_that_is_down(configured, server, monkeypatch, capfd):
    monkeypatch.setenv("ORCHESTRA_TERMINAL_BUDGET_S", "0.1")
    assert cli.main(["run", "--", "surely-not-a-program"]) == 127
    assert "surely-not-a-program: No such file" in capfd.readouterr().err
    server.stop()
    assert cli.main(["run", "--no-logs", "--", "true"]) == 0
    assert "NOT delivered yet" in capfd.readouterr().err


def test_a_refused_end_and_an_unconfigured_run(configured, monkeypatch, capfd):
    monkeypatch.setenv("ORCHESTRA_API_KEY", "wrong")
    assert cli.main(["run", "--", "true"]) == 0
    assert "refused: HTTP 401" in capfd.readouterr().err
    monkeypatch.setenv("ORCHESTRA_API_KEY", "")
    assert cli.main(["run", "--", "true"]) == 0
    assert "not configured" in capfd.readouterr().err


def test_a_signal_is_forwarded_from_this_process(configured, server, run_id, tmp_path):
    fifo = tmp_path / "ready"
    os.mkfifo(fifo)

    def interrupt():
        fifo.read_text()  # the program has set its trap
        os.kill(os.getpid(), signal.SIGUSR1)

    thread = threading.Thread(target=interrupt)
    thread.start()
    script = f"trap 'exit 6' USR1; echo > {fifo}; while :; do sleep 0.05; done"
    assert cli.main(["run", "--", "sh", "-c", script]) == 6
    thread.join(60)
    assert server.run(run_id).messages[-1] == "sh failed. Error: exit code 6"


def test_the_outbox_is_shown_flushed_and_retried(configured, spool, server, capsys):
    assert cli.main(["outbox"]) == 0
    assert capsys.readouterr().out == "nothing is undelivered\n"
    run = uuid4()
    for n in range(250):
        put(spool, server, run, "RUNNING", message=str(n))
    put(spool, server, uuid4(), "FAILED", key="another")
    spool._since_check = 1_000
    assert cli.main(["outbox"]) == 0
    shown = capsys.readouterr().out
    assert "251 undelivered" in shown
    assert "... and 51 more" in shown
    assert "not tried yet" in shown
    assert cli.main(["outbox", "flush", "--wait", "120s"]) == 1
    assert "250 settled, 1 wait for another API key" in capsys.readouterr().out
    assert server.run(run).messages == [str(n) for n in range(250)]
    spool.bury(spool.rows()[0], "HTTP 404", now_s=5.0)
    assert cli.main(["outbox", "dead"]) == 0
    assert "HTTP 404" in capsys.readouterr().out
    assert cli.main(["outbox", "retry", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"revived": 1}
    with spool._transaction() as db:
        db.execute("INSERT INTO dropped(kind, count) VALUES(0, 7)")
    assert cli.main(["outbox"]) == 0
    assert "too old: 7 progress" in capsys.readouterr().out


def test_a_flush_ends_in_time_and_needs_a_key(configured, spool, server, capsys, monkeypatch):
    server.stop()
    put(spool, server, uuid4(), "FAILED")
    assert cli.main(["outbox", "flush", "--wait", "300ms"]) == 1
    assert "0 settled, 1 wait" in capsys.readouterr().out
    assert cli.main(["outbox"]) == 0
    assert "orchestra outbox flush" in capsys.readouterr().out
    monkeypatch.delenv("ORCHESTRA_API_KEY")
    assert cli.main(["outbox", "flush"]) != 0
    assert "ORCHESTRA_API_KEY" in capsys.readouterr().err


def test_interrupted_and_broken_pipes_have_exit_codes(monkeypatch):
    for error, code in ((KeyboardInterrupt, 130), (BrokenPipeError, 1)):

        def fail(_, error=error):
            raise error

        monkeypatch.setattr(cli, "_main", fail)
        assert cli.main([]) == code


# -- the supervisor -------------------------------------------------------------------


def sleeper():
    return subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE)


def test_the_watcher_goes_when_it_is_told_and_reports_when_the_job_is_gone():
    for say, expected in ((b"done\n", False), (b"", True)):
        read, write = os.pipe()
        job = sleeper()
        start = process_start(job.pid)
        result = []
        thread = threading.Thread(
            target=lambda r=read, p=job.pid, s=start, out=result: out.append(
                _supervisor._ended_without_a_word(r, p, s)
            )
        )
        thread.start()
        if say:
            os.write(write, say)
        else:
            os.close(write)  # also when a child of the job had kept the pipe open, the pidfd tells
            job.kill()
        thread.join(60)
        assert result == [expected]
        job.kill()
        job.wait()
        job.stdin.close()
        os.close(read)
        if say:
            os.close(write)


def test_a_job_that_was_gone_before_the_watcher_came():
    read, write = os.pipe()
    os.write(write, b"facts\ndone\n")
    assert _supervisor._first_line(read) == (b"facts", b"done\n")
    assert _supervisor._ended_without_a_word(read, 999_999_999, "123")
    os.write(write, b"done\n")
    assert not _supervisor._ended_without_a_word(read, 999_999_999, "123")
    os.close(write)
    assert _supervisor._first_line(read) == (b"", b"")
    assert _supervisor._ended_without_a_word(read, 999_999_999, "123")
    os.close(read)


def test_without_a_pidfd_the_watcher_polls(monkeypatch):
    monkeypatch.delattr(os, "pidfd_open")
    monkeypatch.setattr(_supervisor, "POLL_S", 0.02)
    read, write = os.pipe()
    job = sleeper()
    start = process_start(job.pid)
    job.kill()
    job.wait()
    job.stdin.close()
    assert _supervisor._ended_without_a_word(read, job.pid, start)
    os.close(read)
    os.close(write)


@pytest.mark.parametrize("where", ["disk", "memory", "broken"])
def test_the_watcher_delivers_what_is_left_and_the_end(spool, server, run_id, tmp_path, where):
    from uuid import UUID

    folder = {"disk": str(tmp_path / "spool"), "memory": None, "broken": "/proc/no/such"}[where]
    if where == "disk":
        opened = OpenRun(run_id, "gone|1|1|x", "job", server.url, key_fingerprint(KEY), 1.0)
        event = status_event(UUID(run_id), TaskRunStatus.RUNNING, "job started.")
        spool.append([(event, server.url, key_fingerprint(KEY))], now_s=1.0, opened=[opened])
    _supervisor._report(
        {"run": run_id, "url": server.url, "api_key": KEY, "name": "job", "folder": folder, "deliver_s": 60.0}
    )
    view = server.run(run_id)
    assert view.status == "FAILED"
    assert "killed or crashed" in view.messages[-1]
    assert len(view.statuses) == (2 if where == "disk" else 1)


def test_a_watcher_that_cannot_start_is_a_warning(monkeypatch, caplog, tmp_path):
    from orchestra.sdk._courier import Route

    monkeypatch.setattr(sys, "executable", "/no/such/python")
    watch = Supervision("r", Route("http://x", "k"), "job", None, deliver_s=1.0)
    watch.done()
    assert "the supervisor cannot be started" in caplog.text


def test_words(tmp_path):
    path = tmp_path / "status"
    assert not leave_word(str(path), TaskRunStatus.FAILED, None)
    path.touch()
    assert read_word(str(path)) is None
    assert leave_word(str(path), TaskRunStatus.WARNING, "first")
    assert leave_word(str(path), TaskRunStatus.FAILED, "second")
    assert read_word(str(path)) == (TaskRunStatus.WARNING, "first")
    path.write_text("nonsense")
    assert read_word(str(path)) is None
    assert read_word(str(tmp_path / "none")) is None
