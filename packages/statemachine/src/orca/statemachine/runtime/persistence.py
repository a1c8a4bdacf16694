"""Where snapshots are kept: the two published protocols, and files.

A snapshot is written with a checksum at its end. A file that was cut off or changed is noticed, and the snapshot
before it is used; a file is never half new.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import shutil
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol, cast, runtime_checkable

from orca.statemachine.engine import SnapshotError
from orca.statemachine.runtime._text import is_writable, not_writable
from orca.statemachine.runtime.types import ConcurrentUpdateError, RunIdError

try:
    import fcntl
except ImportError:  # pragma: no cover - Windows
    fcntl = None  # type: ignore[assignment]

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping

__all__ = [
    "AsyncPersistenceAdapter",
    "FilePersistence",
    "PersistenceAdapter",
    "check_run_id",
    "decode",
    "dumps",
    "encode",
    "encode_entry",
    "sealed",
]

log = logging.getLogger(__name__)

_RUN_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:@+-]{0,199}")
_MARK: Final = ',"checksum":"'
_TAIL: Final = len(_MARK) + 32 + len('"}')


@runtime_checkable
class PersistenceAdapter(Protocol):
    """A store whose methods block."""

    def save(self, run_id: str, snapshot: dict[str, Any]) -> None:
        """Keep a snapshot in place of the one before."""
        ...

    def load(self, run_id: str) -> dict[str, Any] | None:
        """The snapshot of a run, or None."""
        ...

    def exists(self, run_id: str) -> bool:
        """Whether a run has a snapshot."""
        ...


@runtime_checkable
class AsyncPersistenceAdapter(Protocol):
    """A store whose methods are awaited."""

    async def save(self, run_id: str, snapshot: dict[str, Any]) -> None:
        """Keep a snapshot in place of the one before."""
        ...

    async def load(self, run_id: str) -> dict[str, Any] | None:
        """The snapshot of a run, or None."""
        ...

    async def exists(self, run_id: str) -> bool:
        """Whether a run has a snapshot."""
        ...


def _make_dumps() -> Callable[[object], str]:
    """Compact JSON that refuses what is not finite.

    ``JSONEncoder.encode`` makes its inner encoder anew for every call, which costs more than a small snapshot does;
    where the C encoder is there, one is made for good. It looks for no circles: nothing circular gets here.
    """
    plain = json.JSONEncoder(separators=(",", ":"), allow_nan=False, ensure_ascii=False)
    make = getattr(json.encoder, "c_make_encoder", None)
    text = getattr(json.encoder, "c_encode_basestring", None)
    if make is None or text is None:
        return plain.encode
    pieces = make(None, plain.default, text, None, ":", ",", False, False, False)
    return lambda value: "".join(pieces(value, 0))


dumps: Final = _make_dumps()


def check_run_id(run_id: str) -> str:
    """A run id that may become part of a path.

    Raises:
        RunIdError: It is empty, too long, begins with a dot, or has other characters than letters, digits and
            ``. _ : @ + -``.

    Example:
        >>> check_run_id("exp-001")
        'exp-001'
    """
    if not _RUN_ID.fullmatch(run_id):
        raise RunIdError(
            f"{run_id!r} cannot be a run id",
            hint="use at most 200 letters, digits and . _ : @ + -, beginning with a letter or digit",
        )
    return run_id


def encode(snapshot: Mapping[str, Any]) -> str:
    """A snapshot as one line of JSON that ends in its checksum.

    Raises:
        TypeError: It holds a value that is not JSON.
        ValueNotJsonError: It holds text that UTF-8 has no form for; names the place.
        ValueError: It holds a number that is not finite.
    """
    text = dumps(snapshot)
    try:
        return sealed(text)
    except UnicodeEncodeError:
        raise not_writable(str(snapshot.get("machine", "")), snapshot) from None


def encode_entry(machine: str, entry: Mapping[str, Any]) -> str:
    """A journal entry as one line of JSON; raises as `encode` does.

    Args:
        machine: Whose entry it is, for the error.
        entry: What happened.
    """
    text = dumps(entry)
    if not is_writable(text):
        raise not_writable(machine, entry)
    return text


def sealed(text: str) -> str:
    """A JSON object with its checksum as its last member.

    Raises:
        UnicodeEncodeError: It holds text that UTF-8 has no form for.
    """
    return f'{text[:-1]}{_MARK}{_checksum(text, "strict")}"}}'


def decode(text: str, what: str) -> dict[str, Any]:
    """The opposite of `encode`; JSON without a checksum, as older programs wrote it, is taken as it is.

    Raises:
        SnapshotError: It is no JSON object, or the checksum does not fit.
    """
    try:
        loaded = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise SnapshotError(f"{what} is not JSON: {error}", hint="it was cut off or changed") from error
    if not isinstance(loaded, dict):
        raise SnapshotError(f"{what} is not a JSON object")
    snapshot = cast("dict[str, Any]", loaded)
    checksum = snapshot.pop("checksum", None)
    if checksum is None:
        if "schema" in snapshot:
            raise SnapshotError(f"{what} has lost its checksum", hint="it was changed")
        return snapshot
    body = text.rstrip()
    if body[-_TAIL:] != f'{_MARK}{checksum}"}}' or _checksum(body[:-_TAIL] + "}") != checksum:
        raise SnapshotError(f"{what} does not fit its checksum", hint="it was changed")
    return snapshot


def _checksum(text: str, errors: str = "surrogatepass") -> str:
    return hashlib.blake2b(text.encode("utf-8", errors), digest_size=16).hexdigest()


class FilePersistence:
    """Snapshots as files ``{base_dir}/{run_id}.json``.

    Each save writes a new file, syncs it and puts it in place in one step; the one before is kept beside it as
    ``{run_id}.previous.json``. Where snapshots are numbered, as those of machines are, of two writers of one run, in
    whatever processes, one gets `ConcurrentUpdateError`.

    Args:
        base_dir: The folder; made at the first save.
        fsync: Whether a save waits until the disk has it. Without, a power cut may lose the newest saves.

    Example:
        >>> import tempfile
        >>> store = FilePersistence(tempfile.mkdtemp())
        >>> store.save("run-1", {"state": "pending"})
        >>> store.load("run-1"), store.exists("run-2")
        ({'state': 'pending'}, False)
    """

    def __init__(self, base_dir: str | Path, *, fsync: bool = True) -> None:
        self._base = Path(base_dir)
        self._fsync = fsync

    def path(self, run_id: str) -> Path:
        """The file of a run.

        Raises:
            RunIdError: The id could lead out of the folder.
        """
        return self._base / f"{check_run_id(run_id)}.json"

    def _previous(self, run_id: str) -> Path:
        return self._base / f"{check_run_id(run_id)}.previous.json"

    def save(self, run_id: str, snapshot: Mapping[str, Any]) -> None:
        """Keep a snapshot; the caller goes on when it is on disk.

        Raises:
            ConcurrentUpdateError: The snapshot has a ``sequence``, and the stored one is not the number before.
            SnapshotError: It has one, and what is stored is damaged throughout.
            ValueNotJsonError: The snapshot holds text that UTF-8 has no form for.
        """
        target = self.path(run_id)
        text = encode(snapshot)
        self._base.mkdir(parents=True, exist_ok=True)
        with self._locked():
            if "sequence" in snapshot:
                self._check_sequence(run_id, int(snapshot["sequence"] or 0))
            self._put(run_id, target, text)

    @contextmanager
    def _locked(self) -> Generator[None, None, None]:
        """One writer in the folder at a time; the lock goes with its process, however that ends."""
        if fcntl is None:  # pragma: no cover - Windows cannot lock a folder
            yield
            return
        descriptor = os.open(self._base, os.O_RDONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def _check_sequence(self, run_id: str, sequence: int) -> None:
        stored = self.load(run_id)
        found = None if stored is None else int(stored.get("sequence") or 0)
        if found is not None and found != sequence - 1:
            raise ConcurrentUpdateError(run_id, sequence - 1, found)

    def _put(self, run_id: str, target: Path, text: str) -> None:
        fresh = self._base / f".{run_id}.{os.getpid()}.new"
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                if self._fsync:
                    os.fsync(file.fileno())
            if target.exists():
                # Linked, not moved away: who reads meanwhile always finds the run under its name.
                older = fresh.with_suffix(".old")
                older.unlink(missing_ok=True)
                _link(target, older)
                older.replace(self._previous(run_id))
            fresh.replace(target)
        except BaseException:
            fresh.unlink(missing_ok=True)
            raise
        if self._fsync and fcntl is not None:
            self._sync_folder()

    def _sync_folder(self) -> None:
        descriptor = os.open(self._base, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def load(self, run_id: str) -> dict[str, Any] | None:
        """The newest snapshot that is whole, or None when the run has none.

        Raises:
            SnapshotError: There are files, but none is whole.
        """
        damage: list[SnapshotError] = []
        for path in (self.path(run_id), self._previous(run_id)):
            if not path.exists():
                continue
            try:
                found = decode(path.read_text(encoding="utf-8", errors="surrogateescape"), str(path))
            except SnapshotError as error:
                damage.append(error)
                log.warning("%s; trying the snapshot before it", error.message)
            else:
                return found
        if damage:
            raise damage[0]
        return None

    def exists(self, run_id: str) -> bool:
        """Whether a run has a snapshot."""
        return self.path(run_id).exists() or self._previous(run_id).exists()


def _link(source: Path, target: Path) -> None:
    """Give a file a second name; where the file system knows none, copy it."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
