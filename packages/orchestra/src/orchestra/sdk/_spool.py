"""The outbox on disk: one SQLite file that several processes share.

Every append is one commit, so what was accepted survives every end of the process; a synced one survives a power cut
too. The file holds no API key, only a fingerprint that tells whose key an event needs. It is readable by its owner
alone.
"""

from __future__ import annotations

import errno
import hashlib
import logging
import os
import stat
import sys
import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from orchestra.sdk._outbox import Head, Held, plan_eviction
from orchestra.sdk._process import owner_is_dead, owner_token
from orchestra.sdk._protocol import Event, Kind
from orchestra.sdk.errors import SpoolError
from orchestra.sdk.limits import Caps

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Generator, Iterable, Sequence

__all__ = ["DeadLetter", "OpenRun", "Row", "Spool", "default_spool_dir", "key_fingerprint"]

logger = logging.getLogger(__name__)
T = TypeVar("T")

BUSY_S = 5.0
"""How long one process waits for another's commit; a commit takes a millisecond."""
LEASE_S = 30.0
"""How long a line stays claimed by a holder that cannot be checked (another container) or stands still. A holder that
lives gives its claim back earlier: it starts no attempt that could outlast the lease."""
SCHEMA_VERSION = 3
CHECKPOINT_BYTES = 8 * 1024 * 1024
"""The log is folded into the file beyond this size where nobody waits; beyond four times as much, in any commit."""
_PAGE_BYTES = 4_096

_SCHEMA = """
CREATE TABLE IF NOT EXISTS events(
  id INTEGER PRIMARY KEY AUTOINCREMENT, run TEXT NOT NULL, kind INTEGER NOT NULL, url TEXT NOT NULL,
  key TEXT NOT NULL, body BLOB NOT NULL, size INTEGER NOT NULL, created REAL NOT NULL,
  attempts INTEGER NOT NULL DEFAULT 0, error TEXT NOT NULL DEFAULT '');
DROP INDEX IF EXISTS events_by_run;
CREATE INDEX IF NOT EXISTS events_by_line ON events(run, url, key, id);
CREATE TABLE IF NOT EXISTS dead(
  id INTEGER PRIMARY KEY, run TEXT NOT NULL, kind INTEGER NOT NULL, url TEXT NOT NULL, key TEXT NOT NULL,
  body BLOB NOT NULL, created REAL NOT NULL, died REAL NOT NULL, reason TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS leases(run TEXT PRIMARY KEY, owner TEXT NOT NULL, until REAL NOT NULL);
CREATE TABLE IF NOT EXISTS runs(
  run TEXT NOT NULL, owner TEXT NOT NULL, name TEXT NOT NULL, url TEXT NOT NULL, key TEXT NOT NULL,
  started REAL NOT NULL, PRIMARY KEY(run, owner));
CREATE TABLE IF NOT EXISTS dropped(kind INTEGER PRIMARY KEY, count INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS totals(one INTEGER PRIMARY KEY, count INTEGER NOT NULL, bytes INTEGER NOT NULL);
INSERT OR REPLACE INTO totals SELECT 1, COUNT(*), COALESCE(SUM(size), 0) FROM events;
CREATE TRIGGER IF NOT EXISTS counted_in AFTER INSERT ON events BEGIN
  UPDATE totals SET count = count + 1, bytes = bytes + NEW.size; END;
CREATE TRIGGER IF NOT EXISTS counted_out AFTER DELETE ON events BEGIN
  UPDATE totals SET count = count - 1, bytes = bytes - OLD.size; END;
"""


@dataclass(frozen=True, slots=True)
class Row:
    """One undelivered event."""

    id: int
    run: str
    kind: Kind
    url: str
    key: str
    body: bytes
    created_s: float
    attempts: int
    error: str


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One event that the receiver refused for good."""

    id: int
    run: str
    kind: Kind
    url: str
    body: bytes
    created_s: float
    died_s: float
    reason: str


@dataclass(frozen=True, slots=True)
class OpenRun:
    """A task run that has started and has no terminal status yet."""

    run: str
    owner: str
    name: str
    url: str
    key: str
    started_s: float


def key_fingerprint(api_key: str) -> str:
    """Twelve hexadecimal digits that tell keys apart and cannot be turned back into one."""
    return hashlib.sha256(b"orchestra outbox\0" + api_key.encode()).hexdigest()[:12]


def default_spool_dir() -> Path:
    """Where the outbox lives: ORCHESTRA_SPOOL_DIR, the user's state folder, or a private temporary one."""
    chosen = os.environ.get("ORCHESTRA_SPOOL_DIR")
    if chosen:
        return Path(chosen)
    state = os.environ.get("XDG_STATE_HOME")
    home = Path(state) if state else Path(os.path.expanduser("~")) / ".local" / "state"  # noqa: PTH111  never raises
    candidate = home / "orchestra"
    if home.is_absolute() and _can_hold(candidate):
        return candidate
    uid = os.getuid() if hasattr(os, "getuid") else 0
    import tempfile  # noqa: PLC0415  six milliseconds

    return Path(tempfile.gettempdir()) / f"orchestra-{uid}"


def _can_hold(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError:
        return False
    return os.access(folder, os.W_OK | os.X_OK)


class Spool:
    """The outbox file, or a twin of it in memory.

    Calls may come from any thread; one lock serialises them. No connection is ever carried through a fork.

    Args:
        folder: Where ``outbox.db`` is, or None for memory.
        caps: What it may hold.
        owner: The name of this holder; made when left out.

    Raises:
        SpoolError: The folder or the file cannot be used.
    """

    def __init__(self, folder: Path | None, *, caps: Caps | None = None, owner: str | None = None) -> None:
        self.folder = folder
        self.path = folder / "outbox.db" if folder is not None else None
        self.caps = caps or Caps()
        self.owner = owner or owner_token()
        self.lock = threading.Lock()
        self.broken: Path | None = None
        self._connection: sqlite3.Connection | None = None
        self._look_again_at = 0
        with self.lock:
            self._open()

    @property
    def durable(self) -> bool:
        """Whether what is appended survives this process."""
        return self.path is not None

    # -- opening and closing -------------------------------------------------

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            import sqlite3  # noqa: PLC0415  nine milliseconds, and only for who reports

            try:
                self._connection = self._connect()
            except sqlite3.DatabaseError as error:
                if not _is_corrupt(error):
                    raise SpoolError(
                        f"the outbox {self.path} cannot be opened: {error}", busy=_is_busy(error)
                    ) from error
                self._set_aside()
                self._connection = self._connect()
        return self._connection

    def _connect(self) -> sqlite3.Connection:
        import sqlite3  # noqa: PLC0415

        if self.path is not None:
            _make_private(self.path)
        connection = sqlite3.connect(
            str(self.path or ":memory:"), timeout=BUSY_S, isolation_level=None, check_same_thread=False
        )
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")
            connection.execute(f"PRAGMA wal_autocheckpoint={4 * CHECKPOINT_BYTES // _PAGE_BYTES}")
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            if version > SCHEMA_VERSION:
                raise SpoolError(
                    f"the outbox {self.path} was written by a newer version", hint="upgrade orca-orchestra"
                )
            if version < SCHEMA_VERSION:
                connection.executescript(
                    f"BEGIN IMMEDIATE;{_SCHEMA}PRAGMA user_version={SCHEMA_VERSION};COMMIT;"
                )
        except BaseException:
            connection.close()
            raise
        return connection

    def _set_aside(self) -> None:
        """Keep a file that SQLite refuses under another name: it may still be read by other means."""
        assert self.path is not None
        self.broken = self.path.with_name(f"outbox.damaged-{time.time_ns()}.db")
        for suffix in ("", "-wal", "-shm"):
            with suppress(FileNotFoundError):
                os.replace(f"{self.path}{suffix}", f"{self.broken}{suffix}")  # noqa: PTH105
        logger.error(
            "the outbox %s was damaged; it is kept as %s and a new one begins", self.path, self.broken
        )

    def close(self) -> None:
        """Close the file; the next call opens it again. What is only in memory is gone."""
        with self.lock:
            self.close_locked()
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def close_locked(self) -> None:
        """Close the file while the caller holds the lock (before a fork)."""
        if self._connection is not None and self.durable:
            self._connection.close()
            self._connection = None

    def after_fork(self) -> None:
        """In the child: a new lock and a new owner's name; the connection was closed before the fork."""
        self.lock = threading.Lock()
        self.owner = owner_token()

    @contextmanager
    def _transaction(self, *, sync: bool = False) -> Generator[sqlite3.Connection]:
        """One commit. Only with ``sync`` is it on the platter when it returns.

        What was accepted must be; a lease or an acknowledgement that a power cut takes away costs a repetition.
        """
        import sqlite3  # noqa: PLC0415

        with self.lock:
            try:
                connection = self._open()
                connection.execute(f"PRAGMA synchronous={'FULL' if sync else 'NORMAL'}")
                connection.execute("BEGIN IMMEDIATE")
                try:
                    yield connection
                    connection.execute("COMMIT")
                except BaseException:
                    with suppress(sqlite3.Error):
                        connection.execute("ROLLBACK")
                    raise
            except sqlite3.DatabaseError as error:
                raise self._failed(error) from error

    def _query(self, sql: str, arguments: Sequence[object] = ()) -> list[Any]:
        import sqlite3  # noqa: PLC0415

        with self.lock:
            try:
                return self._open().execute(sql, arguments).fetchall()
            except sqlite3.DatabaseError as error:
                raise self._failed(error) from error

    def _failed(self, error: sqlite3.DatabaseError) -> SpoolError:
        """What to raise; a damaged file is put aside, so that the next call begins a new one."""
        if _is_corrupt(error) and self.durable:
            self.close_locked()
            self._set_aside()
        return SpoolError(f"the outbox {self.path or 'in memory'} failed: {error}", busy=_is_busy(error))

    # -- writing -------------------------------------------------------------

    def append(
        self,
        entries: Sequence[tuple[Event, str, str]],
        *,
        now_s: float,
        opened: Sequence[OpenRun] = (),
        closed: Sequence[str] = (),
        sync: bool = True,
        before_commit: Callable[[list[int]], None] | None = None,
    ) -> list[int]:
        """Store events in one commit and return their ids, which grow.

        Args:
            entries: Event, address, key fingerprint.
            now_s: The wall clock.
            opened: Task runs that start with these events.
            closed: Task runs that end with them.
            sync: Whether a power cut right after the return takes nothing; without it `rest` syncs later.
            before_commit: Told the ids while nobody else can see the events yet.

        Raises:
            SpoolError: Nothing was stored: the disk is full or not writable.
        """
        with self._transaction(sync=sync) as db:
            ids: list[int] = []
            for event, url, key in entries:
                cursor = db.execute(
                    "INSERT INTO events(run, kind, url, key, body, size, created) VALUES(?,?,?,?,?,?,?)",
                    (event.run, int(event.kind), url, key, event.body, len(event.body), now_s),
                )
                ids.append(int(cursor.lastrowid or 0))
            db.executemany(
                "INSERT OR REPLACE INTO runs(run, owner, name, url, key, started) VALUES(?,?,?,?,?,?)",
                [(r.run, r.owner, r.name, r.url, r.key, r.started_s) for r in opened],
            )
            db.executemany("DELETE FROM runs WHERE run = ?", [(run,) for run in closed])
            if before_commit is not None:
                before_commit(ids)
        return ids

    def ack(self, ids: Iterable[int]) -> None:
        """Forget delivered events."""
        with self._transaction() as db:
            db.executemany("DELETE FROM events WHERE id = ?", [(i,) for i in ids])

    def bury(self, row: Row, reason: str, *, now_s: float) -> None:
        """Move an event that was refused for good to the dead letters."""
        with self._transaction(sync=True) as db:
            db.execute("DELETE FROM events WHERE id = ?", (row.id,))
            db.execute(
                "INSERT OR REPLACE INTO dead(id, run, kind, url, key, body, created, died, reason)"
                " VALUES(?,?,?,?,?,?,?,?,?)",
                (row.id, row.run, int(row.kind), row.url, row.key, row.body, row.created_s, now_s, reason),
            )
            db.execute(
                "DELETE FROM dead WHERE id IN"
                " (SELECT id FROM dead WHERE kind <> ? ORDER BY id DESC LIMIT -1 OFFSET ?)",
                (int(Kind.TERMINAL), self.caps.dead_max),
            )

    def rest(self, *, fold: bool = True) -> None:
        """What would keep callers waiting: sync what was appended, and fold a long log into the file.

        Args:
            fold: Whether nobody is reporting just now. Syncing holds nobody up, folding does.

        Raises:
            SpoolError: The disk does not take it.
        """
        if self.path is None:
            return
        log = f"{self.path}-wal"
        try:
            # SQLite locks other files than its log, so that closing this descriptor takes no lock away.
            fd = os.open(log, os.O_RDWR | getattr(os, "O_NOFOLLOW", 0))
        except FileNotFoundError:
            return
        except OSError as error:
            raise SpoolError(f"the outbox {self.path} cannot be synced: {error}") from error
        try:
            os.fsync(fd)
            size = os.fstat(fd).st_size
        except OSError as error:
            raise SpoolError(f"the outbox {self.path} cannot be synced: {error}") from error
        finally:
            os.close(fd)
        if fold and size > CHECKPOINT_BYTES:
            self._query("PRAGMA wal_checkpoint(PASSIVE)")  # the one kind that waits for nobody

    def note(self, row_id: int, attempts: int, error: str) -> None:
        """Keep why an event is still here."""
        with self._transaction() as db:
            db.execute("UPDATE events SET attempts = ?, error = ? WHERE id = ?", (attempts, error, row_id))

    def revive(self, *, now_s: float) -> int:
        """Put all dead letters back in the line and return how many there were."""
        with self._transaction(sync=True) as db:
            cursor = db.execute(
                "INSERT INTO events(run, kind, url, key, body, size, created)"
                " SELECT run, kind, url, key, body, LENGTH(body), ? FROM dead ORDER BY id",
                (now_s,),
            )
            db.execute("DELETE FROM dead")
            return max(cursor.rowcount, 0)

    def enforce_caps(self, *, now_s: float) -> int:
        """Drop what the caps do not allow and return how many events that were."""
        if not self._exceeds(now_s):
            return 0
        self._look_again_at = self.counts()[0] + 512  # where ends alone are too much, nothing can be dropped
        rows = self._query("SELECT id, kind, size, created FROM events")
        ids = plan_eviction([Held(i, Kind(k), s, c) for i, k, s, c in rows], self.caps, now_s=now_s)
        if ids:
            self._look_again_at = 0
            kinds = {row[0]: row[1] for row in rows}
            with self._transaction() as db:
                for i in ids:
                    db.execute("DELETE FROM events WHERE id = ?", (i,))
                    db.execute(
                        "INSERT INTO dropped(kind, count) VALUES(?, 1)"
                        " ON CONFLICT(kind) DO UPDATE SET count = count + 1",
                        (kinds[i],),
                    )
            logger.warning(
                "the outbox is at its limit: %d events were dropped, none of them a final status", len(ids)
            )
        return len(ids)

    def _exceeds(self, now_s: float) -> bool:
        """Whether the caps do not hold, without a look at every event."""
        count, size = self.counts()
        if count < self._look_again_at:
            return False
        if count > self.caps.rows_max or size > self.caps.bytes_max:
            return True
        # Ends are kept however old they are; they must not lead to a look at everything each time.
        oldest = self._query(
            "SELECT created FROM events WHERE kind <> ? ORDER BY id LIMIT 1", (int(Kind.TERMINAL),)
        )
        return bool(oldest) and now_s - oldest[0][0] > self.caps.age_s_max

    # -- reading and claiming ------------------------------------------------

    def heads(self, keys: Sequence[str], *, limit: int = 1_000) -> list[Head]:
        """The first event of each line, where it needs one of ``keys``; oldest first."""
        marks = ",".join("?" * len(keys))
        rows = self._query(
            f"SELECT run, url, key, MIN(id) FROM events WHERE key IN ({marks})"  # noqa: S608
            " GROUP BY run, url, key ORDER BY 4 LIMIT ?",
            (*keys, limit),
        )
        return [Head(*row) for row in rows]

    def claim(self, line: str, *, now: Callable[[], float]) -> bool:
        """Take the right to deliver the events of a line; False while another living holder has it.

        Args:
            line: The line.
            now: The wall clock, read when nobody else can claim. A time from before the wait for that could be older
                than the lease that is found then.
        """
        with self._transaction() as db:
            now_s = now()
            held = db.execute("SELECT owner, until FROM leases WHERE run = ?", (line,)).fetchone()
            if held is not None and held[0] != self.owner:
                # A lease that ends later than any can was written before the clock was set back.
                holds = now_s < held[1] <= now_s + LEASE_S and not owner_is_dead(held[0])
                if holds:
                    return False
            db.execute(
                "INSERT OR REPLACE INTO leases(run, owner, until) VALUES(?,?,?)",
                (line, self.owner, now_s + LEASE_S),
            )
            return True

    def release(self, line: str, *, acked: Iterable[int] = ()) -> None:
        """Forget delivered events and give the right to deliver a line back."""
        with self._transaction() as db:
            db.executemany("DELETE FROM events WHERE id = ?", [(i,) for i in acked])
            db.execute("DELETE FROM leases WHERE run = ? AND owner = ?", (line, self.owner))

    def rows(self, run: str | None = None, *, limit: int = 64) -> list[Row]:
        """Undelivered events in order, of one run or of all."""
        where = "" if run is None else "WHERE run = ?"
        return self._rows(where, () if run is None else (run,), limit)

    def line(self, head: Head, *, limit: int = 64) -> list[Row]:
        """Undelivered events of the line that ``head`` is the first of, in order."""
        return self._rows("WHERE run = ? AND url = ? AND key = ?", (head.run, head.route, head.key), limit)

    def _rows(self, where: str, arguments: tuple[str, ...], limit: int) -> list[Row]:
        found = self._query(
            "SELECT id, run, kind, url, key, body, created, attempts, error FROM events"  # noqa: S608
            f" {where} ORDER BY id LIMIT ?",
            (*arguments, limit),
        )
        return [Row(i, r, Kind(k), u, key, bytes(b), c, a, e) for i, r, k, u, key, b, c, a, e in found]

    def present(self, ids: Iterable[int]) -> set[int]:
        """Which of these events are still undelivered."""
        wanted = list(ids)
        return {row[0] for i in range(0, len(wanted), 500) for row in self._present(wanted[i : i + 500])}

    def _present(self, ids: list[int]) -> list[Any]:
        return self._query(f"SELECT id FROM events WHERE id IN ({','.join('?' * len(ids))})", ids)  # noqa: S608

    def is_dead(self, row_id: int) -> bool:
        """Whether the event ended among the dead letters."""
        return bool(self._query("SELECT 1 FROM dead WHERE id = ?", (row_id,)))

    def dead_letters(self, *, limit: int = 1_000) -> list[DeadLetter]:
        """Events that were refused for good, oldest first."""
        found = self._query(
            "SELECT id, run, kind, url, body, created, died, reason FROM dead ORDER BY id LIMIT ?", (limit,)
        )
        return [DeadLetter(i, r, Kind(k), u, bytes(b), c, d, why) for i, r, k, u, b, c, d, why in found]

    def dropped(self) -> dict[str, int]:
        """How many events of each kind the caps have dropped."""
        return {
            Kind(kind).name: count
            for kind, count in self._query("SELECT kind, count FROM dropped ORDER BY kind")
        }

    def counts(self) -> tuple[int, int]:
        """Number of undelivered events and their size in bytes."""
        row = self._query("SELECT count, bytes FROM totals")[0]
        return int(row[0]), int(row[1])

    def open_runs(self) -> list[OpenRun]:
        """Task runs without a terminal status, whoever started them."""
        return [OpenRun(*row) for row in self._query("SELECT run, owner, name, url, key, started FROM runs")]

    def adopt(self, run: OpenRun, event: Event, *, now_s: float) -> bool:
        """End the run of a dead process with ``event``; False when another process was faster."""
        with self._transaction(sync=True) as db:
            gone = db.execute("DELETE FROM runs WHERE run = ? AND owner = ?", (run.run, run.owner)).rowcount
            if gone != 1:
                return False
            db.execute(
                "INSERT INTO events(run, kind, url, key, body, size, created) VALUES(?,?,?,?,?,?,?)",
                (event.run, int(event.kind), run.url, run.key, event.body, len(event.body), now_s),
            )
            return True


def _is_corrupt(error: Exception) -> bool:
    text = str(error)
    return "malformed" in text or "not a database" in text


def _is_busy(error: Exception) -> bool:
    text = str(error)
    return "locked" in text or "busy" in text


def _make_private(path: Path) -> None:
    """Create the folder (0700) and the file (0600), and refuse a folder of somebody else."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        # Only one that does not exist: closing any descriptor of a file drops all locks that the process has on it,
        # those of another connection to the same outbox included.
        with suppress(FileExistsError):
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        if path.is_symlink():
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
        if sys.platform != "win32":
            for place in (path, path.parent):
                found = place.stat()
                if found.st_uid not in {os.geteuid(), 0}:
                    raise SpoolError(f"{place} belongs to another user", hint="set ORCHESTRA_SPOOL_DIR")
            if stat.S_IMODE(path.stat().st_mode) != 0o600:
                path.chmod(0o600)
    except SpoolError:
        raise
    except OSError as error:
        raise SpoolError(
            f"the outbox {path} cannot be created: {error}", hint="set ORCHESTRA_SPOOL_DIR"
        ) from error
