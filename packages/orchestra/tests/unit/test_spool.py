import os
import shutil
import sqlite3
import stat
import subprocess
import sys
import threading
from contextlib import closing
from uuid import uuid4

import pytest

from orca.common.testing import FakeClock
from orchestra.sdk import Caps, SpoolError, TaskRunStatus
from orchestra.sdk._process import owner_is_dead, owner_token, process_start
from orchestra.sdk._protocol import Event, Kind, output_event, status_event
from orchestra.sdk._spool import LEASE_S, OpenRun, Spool, default_spool_dir, key_fingerprint

URL = "http://127.0.0.1:9"


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "box"


@pytest.fixture
def spool(folder):
    made = Spool(folder)
    yield made
    made.close()


def event(run, kind=Kind.STATUS, size=10):
    return Event(run, kind, b"x" * size)


def fill(spool, *events, now_s=100.0):
    return spool.append([(e, URL, "key") for e in events], now_s=now_s)


def test_files_are_private(spool, folder):
    fill(spool, event("a"))
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    for path in folder.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path


def test_a_file_that_others_can_read_is_closed_to_them(folder):
    folder.mkdir()
    (folder / "outbox.db").touch(mode=0o644)
    Spool(folder).close()
    assert stat.S_IMODE((folder / "outbox.db").stat().st_mode) == 0o600


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a file of another user")
def test_a_folder_of_another_user_is_refused(folder):
    folder.mkdir()
    os.chown(folder, 12345, 12345)
    with pytest.raises(SpoolError, match="belongs to another user"):
        Spool(folder)


def test_a_link_in_place_of_the_file_is_refused(folder, tmp_path):
    folder.mkdir()
    (tmp_path / "victim").write_text("precious")
    (folder / "outbox.db").symlink_to(tmp_path / "victim")
    with pytest.raises(SpoolError, match="cannot be created"):
        Spool(folder)
    assert (tmp_path / "victim").read_text() == "precious"


def test_a_second_outbox_object_leaves_the_locks_of_the_first(folder):
    """POSIX drops all locks of a process on a file when it closes any descriptor of it."""
    first = Spool(folder)
    first.counts()
    Spool(folder).close()
    # Only who is alone with the file may change its mode; the open connection of `first` must prevent that.
    code = (
        "import sqlite3, sys; db = sqlite3.connect(sys.argv[1], timeout=0); "
        "print(db.execute('PRAGMA journal_mode=DELETE').fetchone())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(first.path)], capture_output=True, text=True, check=False
    )
    assert "database is locked" in done.stderr, done.stdout
    first.close()


def test_events_come_back_in_order_per_run_also_after_reopening(spool, folder):
    ids = fill(spool, event("a"), event("b"), event("a", Kind.TERMINAL))
    assert ids == sorted(ids)
    spool.close()
    again = Spool(folder)
    assert [row.id for row in again.rows("a")] == [ids[0], ids[2]]
    assert [(h.run, h.id) for h in again.heads(["key"])] == [("a", ids[0]), ("b", ids[1])]
    assert again.heads(["another key"]) == []
    again.ack([ids[0]])
    assert again.present(ids) == set(ids[1:])
    assert again.counts() == (2, 20)
    again.close()


def test_ids_are_never_used_again(spool):
    (first,) = fill(spool, event("a"))
    spool.ack([first])
    assert fill(spool, event("a"))[0] > first


def test_dead_letters_are_kept_bounded_and_can_be_revived(folder):
    spool = Spool(folder, caps=Caps(dead_max=2))
    fill(spool, event("a", Kind.TERMINAL), *[event("a") for _ in range(4)])
    for row in spool.rows("a"):
        spool.bury(row, "HTTP 422", now_s=5.0)
    letters = spool.dead_letters()
    assert [letter.kind for letter in letters] == [Kind.TERMINAL, Kind.STATUS, Kind.STATUS]
    assert letters[0].reason == "HTTP 422"
    assert spool.is_dead(letters[0].id)
    assert spool.revive(now_s=6.0) == 3
    assert spool.dead_letters() == []
    assert [row.kind for row in spool.rows()] == [Kind.TERMINAL, Kind.STATUS, Kind.STATUS]
    spool.close()


def test_caps_drop_progress_first_and_say_so(folder, caplog):
    spool = Spool(folder, caps=Caps(bytes_max=1_000))
    fill(spool, event("a", Kind.TERMINAL, 600), event("a", Kind.OUTPUT, 200))
    fill(spool, *[event("a", Kind.PROGRESS, 100) for _ in range(10)])
    assert spool.counts() == (12, 1_800)
    assert spool.enforce_caps(now_s=100.0) == 9
    assert spool.counts() == (3, 900)
    assert spool.enforce_caps(now_s=100.0) == 0
    assert [row.kind for row in spool.rows()] == [Kind.TERMINAL, Kind.OUTPUT, Kind.PROGRESS]
    assert spool.dropped() == {"PROGRESS": 9}
    assert "9 events were dropped, none of them a final status" in caplog.text
    fill(spool, event("b"), now_s=100.0)
    assert spool.enforce_caps(now_s=100.0 + 8 * 86_400) == 3
    assert [row.kind for row in spool.rows()] == [Kind.TERMINAL]
    # Ends alone may be too much: they stay, and are not looked through again for each event.
    fill(spool, event("c", Kind.TERMINAL, 600))
    assert spool.enforce_caps(now_s=100.0) == 0
    said: list[str] = []
    spool._open().set_trace_callback(said.append)
    assert spool.enforce_caps(now_s=100.0) == 0
    assert said == ["SELECT count, bytes FROM totals"]
    spool.close()


def test_an_outbox_of_an_earlier_version_is_brought_up_to_date(folder):
    spool = Spool(folder)
    fill(spool, event("a", Kind.OUTPUT, 200), event("b", Kind.TERMINAL, 100))
    spool.close()
    with closing(sqlite3.connect(folder / "outbox.db", isolation_level=None)) as db:
        db.executescript(
            "DROP TABLE totals; DROP TRIGGER counted_in; DROP TRIGGER counted_out; DROP INDEX events_by_line;"
            "CREATE INDEX events_by_run ON events(run, id); PRAGMA user_version=1;"
        )
    spool = Spool(folder)
    assert spool.counts() == (2, 300)
    fill(spool, event("c", Kind.OUTPUT, 50))
    assert spool.counts() == (3, 350)
    spool.close()


def test_a_commit_is_synced_where_it_is_asked_for_and_otherwise_at_rest(spool, folder, monkeypatch):
    said: list[str] = []
    spool._open().set_trace_callback(said.append)
    spool.append([(event("a"), URL, "key")], now_s=1.0)
    assert "PRAGMA synchronous=FULL" in said
    said.clear()
    spool.append([(event("a"), URL, "key")], now_s=1.0, sync=False)
    assert "PRAGMA synchronous=NORMAL" in said
    assert "PRAGMA synchronous=FULL" not in said
    synced: list[int] = []
    fsync = os.fsync
    monkeypatch.setattr(os, "fsync", lambda fd: (synced.append(os.fstat(fd).st_ino), fsync(fd)))
    spool.rest()
    assert synced == [(folder / "outbox.db-wal").stat().st_ino]
    (folder / "outbox.db-wal").unlink()
    (folder / "outbox.db-wal").mkdir()
    with pytest.raises(SpoolError, match="cannot be synced"):
        spool.rest()
    (folder / "outbox.db-wal").rmdir()
    spool.rest()  # without a log there is nothing to sync
    memory = Spool(None)
    memory.rest()
    memory.close()


def test_a_long_log_is_folded_in_at_rest(spool, folder):
    big = Event("a", Kind.OUTPUT, b"x" * 1_000_000)
    for _ in range(10):
        spool.append([(big, URL, "key")], now_s=1.0, sync=False)
    assert (folder / "outbox.db").stat().st_size < 1_000_000
    spool.rest(fold=False)
    assert (folder / "outbox.db").stat().st_size < 1_000_000
    spool.rest()
    assert (folder / "outbox.db").stat().st_size > 10_000_000


def test_a_full_disk_is_an_error_and_the_outbox_goes_on_afterwards(spool):
    fill(spool, event("a"))
    connection = spool._open()
    pages = connection.execute("PRAGMA page_count").fetchone()[0]
    connection.execute(f"PRAGMA max_page_count={pages + 1}")
    with pytest.raises(SpoolError, match="full"):  # noqa: PT012
        for _ in range(10):
            fill(spool, event("a", Kind.OUTPUT, 4_000))
    stored = len(spool.rows("a"))
    connection.execute("PRAGMA max_page_count=100000")
    fill(spool, event("a", Kind.TERMINAL))
    assert len(spool.rows("a")) == stored + 1


@pytest.mark.parametrize("damage", ["garbage", "header", "middle"])
def test_a_damaged_file_is_set_aside_and_a_new_one_begins(folder, damage, caplog):
    spool = Spool(folder)
    fill(spool, *[event("a", Kind.OUTPUT, 3_000) for _ in range(40)])
    spool.close()
    path = folder / "outbox.db"
    data = bytearray(path.read_bytes())
    if damage == "garbage":
        data = bytearray(b"this is no database at all" * 500)
    elif damage == "header":
        data[:16] = b"\0" * 16
    else:
        data[4_096:] = b"\xff" * (len(data) - 4_096)
    path.write_bytes(data)
    again = Spool(folder)
    for _ in range(2):  # the damage may show only at the first use
        try:
            fill(again, event("b", Kind.TERMINAL))
            break
        except SpoolError:
            continue
    assert [row.run for row in again.rows()] == ["b"]
    assert again.broken is not None
    assert again.broken.exists()
    assert "was damaged; it is kept as" in caplog.text
    again.close()


def test_a_torn_tail_of_the_log_loses_nothing_that_was_before_it(spool, folder, tmp_path):
    ids = [fill(spool, event("a"))[0] for _ in range(20)]
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)  # as a crash leaves it: a log that was never folded into the file
    wal = copy / "outbox.db-wal"
    whole = wal.read_bytes()
    wal.write_bytes(whole[: len(whole) - 100] + b"\xff" * 50)
    torn = Spool(copy)
    left = [row.id for row in torn.rows("a")]
    assert left == ids[: len(left)]
    assert len(left) == 19
    torn.close()


def test_a_newer_file_is_refused_and_left_alone(folder):
    Spool(folder).close()
    with closing(sqlite3.connect(folder / "outbox.db")) as db, db:
        db.execute("PRAGMA user_version=99")
    db.close()
    with pytest.raises(SpoolError, match="newer version"):
        Spool(folder)


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SpoolError, match="cannot be created"):
        Spool(tmp_path / "file" / "box")


def test_a_run_is_delivered_by_one_holder_at_a_time(folder):
    one, two = Spool(folder), Spool(folder)
    assert one.claim("a", now=lambda: 10.0)
    assert one.claim("a", now=lambda: 10.0)  # again, by the same holder
    assert not two.claim("a", now=lambda: 11.0)
    assert two.claim("b", now=lambda: 11.0)
    one.release("a")
    assert two.claim("a", now=lambda: 12.0)
    assert one.claim("a", now=lambda: 100.0)  # a lease that nobody renewed
    assert two.claim("a", now=lambda: 20.0)  # and one from before the clock was set back
    assert not one.claim("a", now=lambda: 21.0)
    one.close()
    two.close()


def test_a_lease_taken_while_another_waits_for_the_file_is_no_lease_from_the_future(folder):
    """Both went for it at once, as a process and its fork do: the second one's clock must not lag behind the lease."""
    one, two = Spool(folder), Spool(folder)
    clock = FakeClock()
    asked = threading.Event()
    answers = []

    def claim():
        asked.set()
        answers.append(two.claim("a", now=clock.now))

    with closing(sqlite3.connect(one.path, isolation_level=None)) as first:
        first.execute("BEGIN IMMEDIATE")
        waiting = threading.Thread(target=claim)
        waiting.start()
        assert asked.wait(60)
        clock.advance(1.0)
        lease = ("a", one.owner, clock.now() + LEASE_S)
        first.execute("INSERT INTO leases(run, owner, until) VALUES(?,?,?)", lease)
        first.execute("COMMIT")
        waiting.join()
    assert answers == [False]
    one.close()
    two.close()


def test_the_lease_of_a_dead_process_is_free_at_once(folder, tmp_path):
    code = (
        "import sys; from pathlib import Path; from orchestra.sdk._spool import Spool; "
        "Spool(Path(sys.argv[1])).claim('a', now=lambda: 1e12); import os; os._exit(0)"
    )
    subprocess.run([sys.executable, "-c", code, str(folder)], check=True)
    spool = Spool(folder)
    assert spool.claim("a", now=lambda: 1e12)
    spool.close()


def test_open_runs_are_closed_with_their_terminal_event(spool):
    run = str(uuid4())
    opened = OpenRun(run, spool.owner, "job", URL, "key", 1.0)
    spool.append([(event(run), URL, "key")], now_s=1.0, opened=[opened])
    assert spool.open_runs() == [opened]
    assert spool.adopt(opened, event(run, Kind.TERMINAL), now_s=2.0)
    assert not spool.adopt(opened, event(run, Kind.TERMINAL), now_s=2.0)
    assert spool.open_runs() == []
    spool.append([(event(run), URL, "key")], now_s=1.0, opened=[opened])
    spool.append([(event(run, Kind.TERMINAL), URL, "key")], now_s=1.0, closed=[run])
    assert spool.open_runs() == []
    assert [row.kind for row in spool.rows(run)] == [Kind.STATUS, Kind.TERMINAL, Kind.STATUS, Kind.TERMINAL]


def test_memory_is_a_twin_without_a_file():
    spool = Spool(None)
    run = uuid4()
    fill(spool, status_event(run, TaskRunStatus.RUNNING, None), output_event(run, "a", 1))
    assert len(spool.rows(str(run))) == 2
    assert not spool.durable
    spool.close()


def test_owners():
    token = owner_token()
    assert not owner_is_dead(token)
    host, pid, start, number = token.split("|")
    assert owner_is_dead(f"{host}|{pid}|{int(start) - 1}|{number}")
    assert owner_is_dead("nonsense")
    boot, _, namespace = host.partition(":")
    assert owner_is_dead(f"another-boot:{namespace}|{pid}|{start}|x")
    assert not owner_is_dead(f"{boot}:pid:[1]|{pid}|{start}|x")
    assert owner_is_dead(f"{host}|999999999||x")
    assert not owner_is_dead(f"{host}|{pid}||x")
    assert not owner_is_dead(f"{host}|1||x")
    child = subprocess.Popen([sys.executable, "-c", "pass"])
    child_start = process_start(child.pid)
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert process_start(child.pid) == ""  # a zombie runs nothing
    child.wait()
    assert owner_is_dead(f"{host}|{child.pid}|{child_start or 1}|x")


def test_where_the_outbox_lives(monkeypatch, tmp_path):
    monkeypatch.setenv("ORCHESTRA_SPOOL_DIR", "/x/y")
    assert str(default_spool_dir()) == "/x/y"
    monkeypatch.delenv("ORCHESTRA_SPOOL_DIR")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    assert default_spool_dir() == tmp_path / "state" / "orchestra"
    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert default_spool_dir() == tmp_path / "home" / ".local" / "state" / "orchestra"
    (tmp_path / "blocked").write_text("")
    monkeypatch.setenv("HOME", str(tmp_path / "blocked"))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    import tempfile

    monkeypatch.setattr(tempfile, "tempdir", None)
    assert default_spool_dir() == tmp_path / f"orchestra-{os.getuid()}"


def test_fingerprints_tell_keys_apart_and_do_not_contain_them():
    assert key_fingerprint("a") != key_fingerprint("b")
    assert "secret" not in key_fingerprint("secret")
    assert len(key_fingerprint("secret")) == 12
