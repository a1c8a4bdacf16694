"""The ``orchestra`` command as its own process, against a real server."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from uuid import uuid4

import pytest

from orchestra.sdk import cli
from orchestra.sdk._cli_outbox import parse_time_s
from orchestra.sdk._cli_run import ending_of_program, parse_outputs
from orchestra.sdk.enums import TaskRunStatus
from orchestra.sdk.errors import UsageError
from orchestra.sdk.testing import Fault

COMMAND = [sys.executable, "-m", "orchestra.sdk.cli"]


@pytest.fixture
def orchestra(environment, tmp_path):
    def run(*arguments, **env):
        return subprocess.run(
            [*COMMAND, *arguments], env={**environment, **env}, cwd=tmp_path, capture_output=True, text=True,
            timeout=120, check=False,
        )  # fmt: skip

    return run


@pytest.fixture
def configured_here(environment, monkeypatch):
    """The platform's variables in this process."""
    for name, value in environment.items():
        if name.startswith("ORCHESTRA_"):
            monkeypatch.setenv(name, value)


def test_somebody_who_waits_hears_that_the_receiver_does_not_answer(
    configured_here, server, monkeypatch, capfd
):
    from orchestra.sdk import _cli_run

    monkeypatch.setattr(_cli_run, "NEWS_S", 0.2)
    server.always(Fault.status(503))
    say = _cli_run._Wrapped._say

    def say_and_recover(wrapped, text, **options):
        say(wrapped, text, **options)
        if "does not take it yet" in text:
            server.behave()

    monkeypatch.setattr(_cli_run._Wrapped, "_say", say_and_recover)
    assert cli.main(["run", "--no-logs", "--", "true"]) == 0
    said = capfd.readouterr().err
    assert "delivering the final status ..." in said
    # Of the 60 seconds, a busy machine may have spent some between two lines.
    left = re.search(r"the receiver does not take it yet; (\d+) s left \.\.\.", said)
    assert left is not None, said
    assert 20 <= int(left[1]) <= 60
    assert said.rstrip().endswith("; reported")


def test_a_program_is_reported_with_its_outputs_and_log(orchestra, server, run_id):
    script = (
        'echo "rows=42" >> $ORCHESTRA_OUTPUT; echo "name=abc" >> $ORCHESTRA_OUTPUT; echo seen; echo oops >&2'
    )
    done = orchestra("run", "--", "sh", "-c", script)
    assert (done.returncode, done.stdout) == (0, "seen\n"), done.stderr
    # A delivery that takes a second is told of in between.
    begin, said, *news, end = done.stderr.splitlines()
    kinds = ("; delivering the final status ...", "the receiver does not take it yet; ")
    assert all(any(kind in line for kind in kinds) for line in news), news
    assert (begin, said) == (f"orchestra: RUNNING sh, task run {run_id}", "oops")
    assert "SUCCEEDED after" in end
    assert "SUCCEEDED after" in done.stderr
    assert "2 outputs; reported" in done.stderr
    view = server.run(run_id)
    assert view.statuses == ["RUNNING", "SUCCEEDED"]
    assert view.messages == ["sh started.", "sh succeeded."]
    assert view.outputs == {"rows": 42, "name": "abc"}
    assert sorted(view.logs["output.log"].splitlines()) == ["oops", "seen"]
    assert view.late == []
    assert server.problems == []


@pytest.mark.parametrize(
    ("script", "code", "status", "message"),
    [
        ("exit 3", 3, "FAILED", "job failed. Error: exit code 3"),
        ("exit 4", 4, "WARNING", "job ended with exit code 4."),
        ("kill -9 $$", -9, "FAILED", "job failed. Error: SIGKILL (killed, or out of memory)"),
        ("kill -TERM $$", -15, "FAILED", "job failed. Error: SIGTERM"),
        ("kill -SEGV $$", -11, "FAILED", "job failed. Error: SIGSEGV"),
    ],
)
def test_the_exit_status_is_kept_and_told(orchestra, server, run_id, *, script, code, status, message):
    done = orchestra("run", "--name", "job", "--warn-exit", "4", "--", "sh", "-c", script)
    assert done.returncode == code
    assert server.run(run_id).statuses == ["RUNNING", status]
    assert server.run(run_id).messages[-1] == message


@pytest.mark.parametrize("name", ["does-not-exist", "/etc/passwd"])
def test_a_program_that_cannot_start_is_reported(orchestra, server, run_id, name):
    done = orchestra("run", "--", name)
    assert done.returncode in {126, 127}
    assert server.run(run_id).statuses == ["RUNNING", "FAILED"]
    assert name in server.run(run_id).messages[-1]


def test_the_program_runs_when_nothing_is_configured_or_reachable(orchestra, server, run_id):
    done = orchestra("run", "--", "sh", "-c", "echo ran; exit 5", ORCHESTRA_API_KEY="")
    assert (done.returncode, done.stdout) == (5, "ran\n")
    assert "nothing is reported" in done.stderr
    server.stop()
    # It goes on until the first attempt has failed and that was noted.
    look = f"{' '.join(COMMAND)} outbox 2> errors | grep -q 'cannot connect'"
    script = f"until {look}; do :; done; echo ran"
    done = orchestra("run", "--", "sh", "-c", script, ORCHESTRA_TERMINAL_BUDGET_S="0.2")
    assert (done.returncode, done.stdout) == (0, "ran\n")
    assert "NOT delivered yet (orchestra outbox flush)" in done.stderr
    shown = orchestra("outbox")
    assert f"{run_id}  UPDATE_STATUS SUCCEEDED" in shown.stdout
    assert "cannot connect" in shown.stdout
    server.start()
    flushed = orchestra("outbox", "flush", "--wait", "60s")
    assert (flushed.returncode, flushed.stdout) == (0, "3 settled\n")
    assert server.run(run_id).statuses == ["RUNNING", "SUCCEEDED"]
    assert server.run(run_id).logs == {"output.log": "ran\n"}
    assert orchestra("outbox").stdout == "nothing is undelivered\n"


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1])
def test_signals_reach_the_program(environment, server, run_id, tmp_path, signum):
    script = (
        "import signal, sys, time\n"
        f"signal.signal({int(signum)}, lambda *_: sys.exit(9))\n"
        "print('ready', flush=True)\ntime.sleep(30)\n"
    )
    process = subprocess.Popen(
        [*COMMAND, "run", "--quiet", "--", sys.executable, "-c", script], env=environment, cwd=tmp_path,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    os.kill(process.pid, signum)
    assert process.wait(60) == 9
    process.stdout.close()
    assert server.run(run_id).statuses == ["RUNNING", "FAILED"]


def test_ctrl_c_ends_as_cancelled_and_the_signal_is_kept(environment, server, run_id, tmp_path):
    process = subprocess.Popen(
        [*COMMAND, "run", "--quiet", "--", "sh", "-c", "echo ready; exec sleep 30"], env=environment, cwd=tmp_path,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    os.kill(process.pid, signal.SIGINT)
    assert process.wait(60) == -signal.SIGINT
    process.stdout.close()
    assert server.run(run_id).status == "CANCELLED"


def test_a_program_that_uses_the_sdk_reports_once(orchestra, server, run_id, tmp_path):
    (tmp_path / "job.py").write_text(
        "from orchestra.sdk import OrchestraSDK\n"
        "sdk = OrchestraSDK()\n"
        "@sdk.run\n"
        "def job():\n"
        "    sdk.set_output('rows', 3)\n"
        "    print('printed')\n"
        "    sdk.update_task('WARNING', 'as found')\n"
        "job()\n"
    )
    done = orchestra("run", "--", sys.executable, "job.py")
    assert done.returncode == 0, done.stderr
    view = server.run(run_id)
    assert view.statuses == ["RUNNING", "WARNING"]
    assert view.messages[-1] == "as found"
    assert view.outputs == {"rows": 3}
    assert view.logs["output.log"] == "printed\n"
    assert view.late == []
    (tmp_path / "job.py").write_text(
        "import sys\nfrom orchestra.sdk import OrchestraSDK\nOrchestraSDK().update_task('success')\nsys.exit(2)\n"
    )
    done = orchestra("run", "--", sys.executable, "job.py", ORCHESTRA_TASK_RUN_ID=str(uuid4()))
    assert done.returncode == 2
    assert server.events[-1]["status"] == "FAILED"


def test_big_output_is_passed_on_whole_and_its_tail_is_sent(orchestra, server, run_id):
    code = "import sys\nfor n in range(300_000): print(n)\nsys.stdout.buffer.write(b'\\xff end')"
    done = subprocess.run(
        [*COMMAND, "run", "--quiet", "--", sys.executable, "-c", code], capture_output=True, timeout=60, check=False,
        env={**os.environ, "ORCHESTRA_API_KEY": "key-of-the-suite-0123456789", "ORCHESTRA_TASK_RUN_ID": run_id,
             "ORCHESTRA_WEBHOOK_URL": server.url},
    )  # fmt: skip
    assert done.stdout.count(b"\n") == 300_000
    assert done.stdout.endswith(b"\xff end")
    log = server.run(run_id).logs["output.log"]
    assert log.startswith("[... ")
    assert log.endswith("299999\n\ufffd end")
    assert len(log) < 1_100_000


def test_outputs_from_a_file_with_faults_in_it(orchestra, server, run_id, tmp_path):
    (tmp_path / "out").write_text("a=1\nnonsense\nbad=NaN\nlist=[1, 2]\n")
    done = orchestra("run", "--no-logs", "--output-file", "out", "--", "true")
    assert "not an output line (NAME=VALUE): 'nonsense'" in done.stderr
    assert server.run(run_id).outputs == {"a": 1, "bad": "NaN", "list": [1, 2]}
    assert server.run(run_id).logs == {}


def test_output_lines():
    text = 'a=b=c\nobj={"x": 1}\n\ntext<<END\nline 1\nline 2\nEND\nq="5"\nempty=\nquote<x=1\nopen<<E\nrest'
    outputs, faults = parse_outputs(text)
    assert outputs == {
        "a": "b=c", "obj": {"x": 1}, "text": "line 1\nline 2", "q": "5", "empty": "", "quote<x": 1, "open": "rest",
    }  # fmt: skip
    assert faults == []
    assert parse_outputs("=x\n")[1] == ["=x"]


def test_endings_of_programs():
    def end(code, word=None, *, interrupted=False):
        return ending_of_program(code, "job", warn_exits=[7], word=word, interrupted=interrupted)[0].value

    warn = (TaskRunStatus.WARNING, "w")
    good = (TaskRunStatus.SUCCEEDED, "s")
    assert [end(0), end(0, warn), end(1, warn), end(1, good), end(7), end(130), end(130, interrupted=True)] == [
        "SUCCEEDED", "WARNING", "WARNING", "FAILED", "WARNING", "FAILED", "CANCELLED",
    ]  # fmt: skip


def test_dead_letters_are_shown_and_tried_again(orchestra, server, run_id):
    server.always(None)
    done = orchestra("run", "--", "true", ORCHESTRA_API_KEY="wrong-key")
    assert done.returncode == 0
    assert "refused: HTTP 401" in done.stderr
    dead = orchestra("outbox", "dead")
    assert f"{run_id}  UPDATE_STATUS SUCCEEDED  HTTP 401" in dead.stdout
    (first, *_) = json.loads(orchestra("outbox", "dead", "--json").stdout)
    assert first["event"]["status"] == "RUNNING"
    assert "2 dead letters" in orchestra("outbox").stdout
    assert "2 events are in the line again" in orchestra("outbox", "retry").stdout
    flushed = orchestra("outbox", "flush", "--wait", "100ms")
    assert flushed.returncode == 1
    assert "2 wait for another API key" in flushed.stdout
    shown = json.loads(orchestra("outbox", "--json").stdout)
    assert [item["kind"] for item in shown["undelivered"]] == ["STATUS", "TERMINAL"]
    assert "wrong-key" not in json.dumps(shown)


def test_an_empty_outbox_and_wrong_usage(orchestra, tmp_path):
    assert "there is no outbox in" in orchestra("outbox").stdout
    assert json.loads(orchestra("outbox", "--json").stdout)["undelivered"] == []
    assert orchestra("outbox", "dead", "--spool", str(tmp_path / "none")).returncode == 0
    failed = orchestra("outbox", "flush", ORCHESTRA_API_KEY="")
    assert failed.returncode == 2 or "ORCHESTRA_API_KEY" in failed.stderr
    assert orchestra("run").returncode == 2
    assert orchestra("run", "--", "true", ORCHESTRA_TERMINAL_BUDGET_S="x").returncode == 2
    assert orchestra("outbox", "flush", "--wait", "soon").returncode == 2
    assert orchestra("nonsense").returncode == 2
    assert orchestra("--version").stdout == "orchestra 0.1.0\n"
    assert orchestra().stdout.startswith("usage: orchestra")


def test_times():
    assert [parse_time_s(t) for t in ("60s", "5m", "250ms", "1h", "2")] == [60.0, 300.0, 0.25, 3600.0, 2.0]
    with pytest.raises(UsageError, match="no length of time"):
        parse_time_s("1 year")


def get(url, host=None):
    request = urllib.request.Request(url, headers={"Host": host} if host else {})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, dict(answer.headers), answer.read()
    except urllib.error.HTTPError as error:
        return error.code, dict(error.headers), error.read()


@pytest.fixture
def listening(environment, tmp_path):
    process = subprocess.Popen(
        [*COMMAND, "listen", "--port", "0", "--fault", "503", "--jsonl"], env=environment, cwd=tmp_path, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.stderr is not None
    url = process.stderr.readline().split()[2]
    yield url, process
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)


def test_listening_in_place_of_the_platform(listening, orchestra):
    url, process = listening
    run = str(uuid4())
    evil = "<img src=x onerror=alert(1)>"
    env = {"ORCHESTRA_WEBHOOK_URL": url, "ORCHESTRA_TASK_RUN_ID": run, "ORCHESTRA_API_KEY": "any"}
    done = orchestra(
        "run", "--name", evil, "--", "sh", "-c", "echo rows=1 >> $ORCHESTRA_OUTPUT; echo hi", **env
    )
    assert done.returncode == 0
    assert "reported" in done.stderr
    status, headers, page = get(url + "/")
    assert status == 200
    assert "default-src 'none'; script-src 'self'" in headers["Content-Security-Policy"]
    assert b"http" not in page.replace(b'<html lang="en">', b"")
    state = json.loads(get(url + "/state?after=-1")[2])
    (shown,) = state["runs"]
    assert (shown["id"], shown["status"]) == (run, "SUCCEEDED")
    assert [e["kind"] for e in shown["events"]] == ["RUNNING", "output", "log", "SUCCEEDED"]
    assert evil in shown["events"][0]["text"]
    assert shown["logs"] == {"output.log": "hi\n"}
    assert get(f"{url}/state?after={state['version']}")[0] == 204
    assert get(url + "/app.js")[1]["Content-Type"] == "text/javascript"
    assert get(url + "/app.css")[0] == 200
    assert get(url + "/../_server.py")[0] == 404
    assert get(url + "/", host="evil.example:80")[0] == 403
    assert json.loads(process.stdout.readline())["status"] == "RUNNING"


def test_listen_in_this_process(capsys, monkeypatch):
    assert cli.main(["listen", "--port", "0", "--for", "10ms", "--fault", "hang", "--fault", "drop"]) == 0
    assert "listening on http://127.0.0.1:" in capsys.readouterr().out
    assert cli.main(["listen", "--fault", "x"]) == 2
    assert "use a status such as 503" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("word", "fault"),
    [
        ("503", Fault.status(503)),
        ("429=2", Fault.status(429, retry_after_s=2)),
        ("hang", Fault.hang()),
        ("drop", Fault.drop()),
        ("lost-answer", Fault.drop_after()),
        ("slow-loris", Fault.slow_loris()),
        ("redirect=http://x/", Fault.redirect("http://x/")),
        ("delay=20ms", Fault.delay(0.02)),
    ],
)
def test_every_fault_has_a_word(word, fault):
    from orchestra.sdk._cli_listen import _fault

    assert _fault(word) == fault


@pytest.mark.parametrize("word", ["x", "600", "redirect", "hang=1", "delay="])
def test_other_words_are_no_faults(word, capsys):
    assert cli.main(["listen", "--fault", word]) == 2
    assert "is no fault" in capsys.readouterr().err


def test_a_taken_port_is_an_error_with_a_way_out(server, capsys):
    port = server.url.rpartition(":")[2]
    assert cli.main(["listen", "--port", port]) == 1
    assert "orchestra listen --port 0" in capsys.readouterr().err


def test_refused_requests_late_events_and_sensors_show_on_the_page(tmp_path):
    from orchestra.sdk import OrchestraSDK
    from orchestra.sdk._cli_listen import Listener

    listener = Listener()
    run = str(uuid4())
    with listener.server:
        sdk = OrchestraSDK("key", webhook_url=listener.server.url, task_run_id=run, spool="memory")
        sdk.update_task("success", "done")
        sdk.set_output("late", 1)
        sdk.update_task(message="a message")
        sdk.send_sensor_event("file", {"a": 1})
        assert sdk.flush(60)
        sdk.close()
        request = urllib.request.Request(listener.server.url, data=b"{}", method="POST")
        with pytest.raises(urllib.error.HTTPError):
            urllib.request.urlopen(request, timeout=60)
        state = listener._state(0)
    kinds = {e["kind"]: e for r in state["runs"] for e in r["events"]}
    assert kinds["output"]["late"]
    assert kinds["message"]["text"] == "a message"
    assert kinds["sensor"]["text"] == 'file: {"a": 1}'
    assert state["problems"] == ["HTTP 401: header.authorization: wrong key"]


def test_old_runs_leave_the_page(monkeypatch):
    from orchestra.sdk import _cli_listen

    monkeypatch.setattr(_cli_listen, "RUNS_MAX", 3)
    listener = _cli_listen.Listener()
    runs = [str(uuid4()) for _ in range(5)]
    for run in runs:
        listener._on_event({"event_type": "UPDATE_STATUS", "task_run_id": run, "status": "RUNNING"})
    state = listener._state(1)
    assert [r["id"] for r in state["runs"]] == runs[:1:-1]
    assert state["total"] == 5
