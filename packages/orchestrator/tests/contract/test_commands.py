"""The commands against a core in the background, through the dispatcher that users call."""

import asyncio
import fcntl
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from importlib.metadata import entry_points
from pathlib import Path
from types import SimpleNamespace

import pytest
import typer
from worker import chain

from orca.common.cli import main
from orca.common.errors import DeadlineError
from orca.orchestrator import process
from orca.orchestrator.cli.output import duration_ns, moment_ns
from orca.orchestrator.corefile import read_core_file
from orca.orchestrator.doctor import check_core
from orca.orchestrator.errors import RunningError
from orca.orchestrator.process import FolderLock, read_core, start_background
from orca.orchestrator.settings import CoreSettings
from orca.orchestrator.store import migrations
from orca.orchestrator.store.sqlite import open_connection

START_S = 1_767_225_600


class Background:
    """A worker on a loop of its own thread."""

    def __init__(self, core):
        self.worker, self.core = chain(), core
        self.worker.bodies["C"] = self.fails
        self.broken = True
        self.stopped = None
        self.ready = threading.Event()
        self.thread = threading.Thread(target=lambda: asyncio.run(self.serve()))
        self.thread.start()
        assert self.ready.wait(60)

    def fails(self, inputs, request):
        if self.broken:
            raise KeyError("threshold")
        return 9.0

    async def serve(self):
        self.stopped = asyncio.Event()
        self.loop = asyncio.get_running_loop()
        await self.worker.start()
        await self.worker.register(self.core)
        self.ready.set()
        await self.stopped.wait()
        await self.worker.stop()

    def stop(self):
        self.loop.call_soon_threadsafe(self.stopped.set)
        self.thread.join(60)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("commands")
    before = Path.cwd()
    os.chdir(folder)
    for name in ("ORCA_CORE", "ORCASERVER"):
        os.environ.pop(name, None)
    assert main(["start", "--port", "0"]) == 0
    background = Background(read_core(folder / ".orca")["address"])
    yield background
    background.stop()
    assert main(["stop"]) == 0
    assert not FolderLock.held(folder / ".orca")
    assert not (folder / ".orca" / "core.json").exists()
    assert main(["status"]) == 3
    assert main(["destroy", "--yes"]) == 0
    assert not (folder / ".orca").exists()
    os.chdir(before)


@pytest.fixture
def orca(place, capsys):
    def call(*arguments, code=0):
        capsys.readouterr()
        assert main(list(arguments)) == code, capsys.readouterr()
        return capsys.readouterr()

    return call


def read(orca, *arguments):
    return json.loads(orca(*arguments, "--json").out)


def test_the_process_and_its_files(orca, place):
    known = read_core_file(Path(".orca"))
    assert stat.S_IMODE(Path(".orca/core.json").stat().st_mode) == 0o600
    text = orca("status").out
    assert f"ORCASERVER=grpc://{known['address']}" in text
    assert "HOST=127.0.0.1" in text
    assert known["token"] not in json.dumps(read(orca, "status"))
    assert "runs in" in orca("start", code=1).err
    assert "listening on" in orca("logs", "-n", "5").out


def test_windows_runs_results_and_retry(orca, place):
    from orca.processor import OrcaClient, Window

    with OrcaClient() as client:
        emitted = client.emit(Window(START_S, START_S + 30, "Every30Second", "1.0.0", metadata={"asset": 1}))
        assert client.wait(emitted).state == "failed"
    (window,) = read(orca, "windows", "list", "--meta", "asset=1", "--type", "Every30Second_1.0.0")
    assert window["state"] == "failed"
    assert "Every30Second_1.0.0" in orca("windows", "list").out
    (run,) = read(orca, "runs", "list", "--failed", "--since", "-1h")
    shown = orca("runs", "show", str(run["id"])).out
    assert "KeyError: 'threshold'" in shown
    assert "ok    A_1.0.0" in shown
    assert orca("runs", "show", str(run["id"]), "--wait", code=1).err
    place.broken = False
    assert read(orca, "runs", "retry", "--failed", "--last", "1h") == {"runs": 1}
    latest = read(orca, "runs", "show", "--window", str(window["id"]), "--wait")
    assert [entry["status"] for entry in latest["executions"]] == ["succeeded"] * 3
    (row,) = read(orca, "results", "get", "C", "--limit", "5")
    assert row["value"] == 9.0
    assert read(orca, "windows", "reprocess", "--id", str(window["id"])) == {"runs": 1}
    orca("runs", "retry", code=2)
    assert "is finished" in orca("runs", "cancel", str(run["id"]), code=1).err
    assert "is not name=value" in orca("windows", "list", "--meta", "asset", code=2).err


def test_processors_annotations_schedules(orca):
    (row,) = read(orca, "processors", "--history")[:1]
    assert (row["name"], row["algorithms"]) == ("chain", ["A_1.0.0", "B_1.0.0", "C_1.0.0"])
    made = read(
        orca,
        "annotations",
        "add",
        "odd",
        "--from",
        "2026-01-01",
        "--to",
        "2026-01-02",
        "--algorithm",
        "A_1.0.0",
    )
    assert made[0]["about"] == ["A_1.0.0"]
    assert "odd" in orca("annotations", "list").out
    assert read(orca, "annotations", "delete", str(made[0]["id"])) == [{"deleted": made[0]["id"]}]
    orca(
        "schedules",
        "put",
        "s",
        "Every30Second_1.0.0",
        "--cron",
        "0 2 * * *",
        "--timezone",
        "Europe/Berlin",
        "--paused",
    )
    (schedule,) = read(orca, "schedules", "list")
    assert (schedule["when"], schedule["paused"]) == ("0 2 * * *", True)
    assert "no schedule" in orca("schedules", "delete", "x", code=1).err
    orca("schedules", "delete", "s")


def test_the_store_and_tokens(orca, tmp_path):
    assert read(orca, "db", "status")["processors"] == 1
    assert "processors" in orca("db", "status").out
    assert read(orca, "db", "sql", "SELECT 1 AS a") == [{"a": 1}]
    assert "statement" in orca("db", "sql", "DROP TABLE windows", code=2).err
    target = tmp_path / "copy.db"
    orca("db", "backup", str(target))
    assert target.stat().st_size > 0
    assert "exists" in orca("db", "backup", str(target), code=2).err
    assert "core runs" in orca("db", "restore", str(target), code=1).err
    other = tmp_path / "other"
    assert read(orca, "db", "restore", str(target), "--folder", str(other))[0]["kept"] == ""
    assert read(orca, "db", "restore", str(target), "--folder", str(other))[0]["kept"] != ""
    (tmp_path / "bad").write_text("no store")
    assert "no store" in orca("db", "restore", str(tmp_path / "bad"), "--folder", str(other), code=1).err
    assert "no backup" in orca("db", "restore", str(tmp_path / "gone"), code=1).err
    assert read(orca, "db", "retain", "--older-than", "9d") == [{"deleted": 0}]
    orca("db", "retain", code=2)
    made = orca("token", "create", "ci", "--scope", "read").out.strip()
    assert made.startswith("orca_")
    assert read(orca, "token", "list")[0]["name"] == "ci"
    orca("token", "delete", "ci")


def test_a_core_that_is_not_there(orca):
    found = orca("windows", "list", "--core", "127.0.0.1:1", code=3)
    assert "Core not reachable at grpc://127.0.0.1:1" in found.err
    assert "orca start" in found.err
    assert "no core's folder" in orca("destroy", "--yes", "--folder", "nowhere").out


def test_a_start_costs_less_than_a_second_and_sixty_megabytes(tmp_path):
    """CPU time and memory: how soon it is ready by the clock is what the benchmark prints."""
    spent = []
    for number in range(3):
        folder = tmp_path / str(number)
        assert main(["start", "--port", "0", "--folder", str(folder)]) == 0
        pid = read_core_file(folder)["pid"]
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        spent.append((int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"))
        held = int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        assert main(["stop", "--folder", str(folder)]) == 0
        assert held < 60e6
    assert min(spent) < 1.0


@pytest.mark.parametrize(("text", "ns"), [("30s", 30), ("1h30m", 5400), ("2d", 172_800), ("1.5s", 1.5)])
def test_durations(text, ns):
    assert duration_ns(text) == ns * 10**9


def test_moments():
    assert moment_ns("1767225600") == START_S * 10**9
    assert moment_ns("-1h", now_ns=7200 * 10**9) == 3600 * 10**9
    assert moment_ns("now", now_ns=5) == 5
    assert moment_ns("") == 0
    for text in ("soon", "-x", "2026-13-01"):
        with pytest.raises(ValueError, match="is no"):
            moment_ns(text)


def test_a_group_without_a_command_lists(orca):
    for name in ("runs", "windows", "annotations", "schedules", "token", "db"):
        plain = orca(name).out
        assert "Usage" not in plain
        after, before = json.loads(orca(name, "--json").out), json.loads(orca("--json", name).out)
        assert type(after) is type(before) is (dict if name == "db" else list)
    assert "Usage" in orca("results", code=2).err
    # A name or a number where a command should be is what somebody wants to see.
    assert "hint: orca results get Mean" in orca("results", "Mean", code=2).err
    assert "hint: orca runs show 12" in orca("runs", "12", code=2).err
    assert "Did you mean 'show'" in orca("runs", "shoe", code=2).err


class Hurried:
    """A clock on which each look at it takes a minute."""

    sleep = staticmethod(time.sleep)

    def __init__(self):
        self.now = 0.0

    def monotonic(self):
        self.now += 60.0
        return self.now


def test_a_start_waits_for_a_slow_machine(tmp_path, monkeypatch):
    class Slow:
        """A core that listens after a minute."""

        now = 0.0

        def monotonic(self):
            return self.now

        def sleep(self, _seconds):
            self.now += 1.0
            if self.now == 60.0:
                known = {"pid": started.pid, "address": "127.0.0.1:1"}
                (tmp_path / "core.json").write_text(json.dumps(known))

    monkeypatch.setattr(process, "time", Slow())
    waiting = [sys.executable, "-c", "import sys; sys.stdin.read()"]
    with subprocess.Popen(waiting, stdin=subprocess.PIPE) as started:
        known = process._wait_until_listening(started, CoreSettings(folder=tmp_path), None)
    assert known["pid"] == started.pid


def test_a_start_waits_for_an_upgrade_and_for_nothing_else(tmp_path, monkeypatch):
    monkeypatch.setattr(process, "time", Hurried())
    monkeypatch.setattr(process, "START_TIMEOUT_S", 90.0)
    settings = CoreSettings(folder=tmp_path)
    told = []

    def listens_at_last():
        """Like a core whose upgrade took ten minutes."""
        while process.time.now < 600.0:
            time.sleep(0.01)
        known = {"pid": started.pid, "address": "127.0.0.1:1"}
        (tmp_path / "core.json").write_text(json.dumps(known))

    waiting = [sys.executable, "-c", "import sys; sys.stdin.read()"]
    with subprocess.Popen(waiting, stdin=subprocess.PIPE) as started:
        settings.upgrade_mark.touch()
        writer = threading.Thread(target=listens_at_last)
        writer.start()
        known = process._wait_until_listening(started, settings, lambda: told.append(True))
        writer.join()
        assert (known["pid"], told) == (started.pid, [True])
        (tmp_path / "core.json").unlink()
        settings.upgrade_mark.unlink()
        with pytest.raises(DeadlineError, match="within 90 s"):
            process._wait_until_listening(started, settings, None)
        assert started.wait(60) == -15


def test_who_looks_for_a_core_is_not_taken_for_one(tmp_path, monkeypatch):
    FolderLock(tmp_path).release()
    looking = (tmp_path / "core.lock").open()
    fcntl.flock(looking, fcntl.LOCK_SH)
    assert not FolderLock.held(tmp_path), "another one looks too"
    # The look ends while a core that starts waits for it.
    monkeypatch.setattr(process, "time", SimpleNamespace(sleep=lambda _: looking.close()))
    lock = FolderLock(tmp_path)
    assert FolderLock.held(tmp_path)
    monkeypatch.setattr(process, "time", SimpleNamespace(sleep=lambda _: None))
    with pytest.raises(RunningError, match="a core runs in"):
        FolderLock(tmp_path)
    lock.release()
    assert not FolderLock.held(tmp_path)


def test_an_older_store_is_brought_up_to_date_by_a_start(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / ".orca" / "orca.db"
    steps = migrations.load_migrations("sqlite")
    with monkeypatch.context() as older:
        older.setattr(migrations, "load_migrations", lambda dialect: steps[:-1])
        open_connection(path).close()
    assert main(["start", "--port", "0"]) == 0
    try:
        assert list(path.parent.glob(f"orca.db.before-{steps[-1].number:04}-*"))
        assert not (path.parent / "core.upgrading").exists()
    finally:
        assert main(["stop"]) == 0


def test_every_command_takes_json_in_both_places():
    seen = 0
    for entry in entry_points(group="orca.commands"):
        if not entry.value.startswith("orca.orchestrator"):
            continue
        command = typer.main.get_command(entry.load())
        for one in [command, *getattr(command, "commands", {}).values()]:
            seen += 1
            assert any("--json" in parameter.opts for parameter in one.params), (entry.name, one.name)
    assert seen > 30


def test_the_doctor_looks_at_the_core(orca, place):
    found = [one for one in json.loads(orca("doctor", "--json").out)["findings"] if one["check"] == "core"]
    assert [one["level"] for one in found] == ["ok", "ok"], found
    assert "a core listens at" in found[0]["message"]
    assert "is sound" in found[1]["message"]
    Path(".orca/core.json").chmod(0o644)
    try:
        (loose,) = [
            one
            for one in json.loads(orca("doctor", "--json", code=1).out)["findings"]
            if one["level"] == "error"
        ]
    finally:
        Path(".orca/core.json").chmod(0o600)
    assert loose["fix"].startswith("chmod 600 ")


def findings():
    return [(one.level, one.message, one.fix) for one in check_core()]


def test_the_doctor_names_what_is_wrong_without_a_core(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ORCA_CORE_PORT", "many")
    assert findings() == [
        ("error", "ORCA_CORE_PORT='many' has a wrong form", "unset the ORCA_CORE_ variable")
    ]
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        monkeypatch.setenv("ORCA_CORE_PORT", str(port))
        ((level, message, fix),) = findings()
        assert (level, fix) == ("warning", "end that program, or: orca start --port 0")
        assert f"(pid {os.getpid()})" in message
        # And whoever starts one hears the same, without a line of gRPC's own.
        with pytest.raises(RunningError, match=rf"127.0.0.1:{port} is taken by .*\(pid {os.getpid()}\)"):
            start_background(CoreSettings(folder=tmp_path / "other", port=port))
        started = (tmp_path / "other" / "core.start.log").read_text()
        assert "add_port" not in started
        assert "E0000" not in started
    ((level, message, _),) = findings()
    assert (level, message) == ("ok", f"no core runs in {tmp_path / '.orca'}; port {port} is free")


def test_the_doctor_knows_damaged_and_newer_stores(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ORCA_CORE_PORT", "0")
    path = tmp_path / ".orca" / "orca.db"
    connection = open_connection(path)
    assert [level for level, *_ in findings()] == ["ok", "ok"]
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    assert "newer version (schema 99" in findings()[1][1]
    path.write_bytes(b"no database" * 1000)
    assert "cannot be read" in findings()[1][1]


def test_the_foreground_ends_at_ctrl_c_and_leaves_nothing(tmp_path):
    program = "import sys; from orca.common.cli import main; sys.exit(main())"
    command = [sys.executable, "-c", program, "start", "--foreground", "--port", "0", "--json"]
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command, cwd=tmp_path, stdout=pipe, stderr=pipe, text=True, start_new_session=True
    ) as process:
        try:
            known = json.loads(process.stdout.readline())
            host, _, port = known["address"].rpartition(":")
            socket.create_connection((host, int(port)), 30).close()
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate(timeout=60)
        finally:
            process.kill()
    assert (process.returncode, errors) == (0, "")
    assert not FolderLock.held(tmp_path / ".orca")
    assert not (tmp_path / ".orca" / "core.json").exists()
    with pytest.raises(OSError, match="refused"):
        socket.create_connection((host, int(port)), 5)
    # It was the leader of its session: nobody of that is left.
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)
