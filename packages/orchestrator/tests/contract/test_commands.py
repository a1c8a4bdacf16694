"""The commands against a core in the background, through the dispatcher that users call."""

import asyncio
import json
import os
import stat
import threading
import time
from pathlib import Path

import pytest
from worker import chain

from orca.common.cli import main
from orca.orchestrator.cli.output import duration_ns, moment_ns
from orca.orchestrator.corefile import read_core_file
from orca.orchestrator.process import FolderLock, read_core

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
        assert self.ready.wait(10)

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
        self.thread.join(10)


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


def test_ready_within_a_second_and_sixty_megabytes(tmp_path):
    best, memory = 9.0, 0.0
    for number in range(3):
        folder = tmp_path / str(number)
        begun = time.monotonic()
        assert main(["start", "--port", "0", "--folder", str(folder)]) == 0
        best = min(best, time.monotonic() - begun)
        pid = read_core_file(folder)["pid"]
        with Path(f"/proc/{pid}/status").open() as file:
            memory = next(int(line.split()[1]) / 1024 for line in file if line.startswith("VmRSS"))
        assert main(["stop", "--folder", str(folder)]) == 0
    # Twice the promise: other work may share the machine during a test; the benchmark prints the numbers.
    assert best < 2.0
    assert memory < 64


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
