"""Logging for applications, and the context that libraries bind.

Libraries log through ``logging.getLogger(__name__)`` and configure nothing. An application calls
`configure_logging` once; structlog is imported there and nowhere else. What `bind_context` binds is part of
every record below it, in this thread and in the tasks started from it; `carry_context` and `ContextExecutor`
take it along to other threads.
"""

from __future__ import annotations

import copy
import logging
import sys
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextvars import ContextVar, Token, copy_context
from functools import partial, wraps
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, ParamSpec, TextIO, TypeVar, final

from orca.common._records import RESERVED, redact_record
from orca.common.errors import UsageError
from orca.common.redact import Redactor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from types import TracebackType

    _StreamHandler = logging.StreamHandler[TextIO]
else:
    _StreamHandler = logging.StreamHandler  # Python 3.10 has no parameter there

__all__ = [
    "ContextExecutor",
    "ContextFilter",
    "RedactionFilter",
    "bind_context",
    "carry_context",
    "configure_logging",
    "current_context",
]

P = ParamSpec("P")
T = TypeVar("T")

_EMPTY: Mapping[str, object] = MappingProxyType({})
_context: ContextVar[Mapping[str, object]] = ContextVar("orca_log_context", default=_EMPTY)


@final
class bind_context:  # noqa: N801  reads as a verb, like contextlib's own
    """Bind values to all records logged in this block, and in the tasks that are started in it.

    An inner block adds to the outer one and wins over it.

    Args:
        values: By convention ``exec_id``, ``window``, ``task_run``, ``machine``; other names are fine.

    Raises:
        UsageError: A name belongs to every log record already, such as ``name`` or ``message``.

    Example:
        >>> with bind_context(exec_id="e1"), bind_context(window="w7"):
        ...     dict(current_context())
        {'exec_id': 'e1', 'window': 'w7'}
        >>> dict(current_context())
        {}
    """

    __slots__ = ("_token", "_values")

    def __init__(self, **values: object) -> None:
        taken = RESERVED.intersection(values)
        if taken:
            raise UsageError(f"bind_context: {', '.join(sorted(taken))} belongs to every log record already")
        self._values = values
        self._token: Token[Mapping[str, object]] | None = None

    def __enter__(self) -> None:
        self._token = _context.set(MappingProxyType({**_context.get(), **self._values}))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._token is not None
        _context.reset(self._token)


def current_context() -> Mapping[str, object]:
    """Return what is bound here; it cannot be changed."""
    return _context.get()


def carry_context(fn: Callable[P, T]) -> Callable[P, T]:
    """Return ``fn`` such that it runs, in whatever thread, with the context variables of this moment.

    Example:
        >>> import threading
        >>> with bind_context(task_run="t1"):
        ...     thread = threading.Thread(target=carry_context(lambda: print(dict(current_context()))))
        >>> thread.start(); thread.join()
        {'task_run': 't1'}
    """
    moment = copy_context()

    @wraps(fn)
    def carried(*args: P.args, **kwargs: P.kwargs) -> T:
        # A context can be entered once at a time; a copy lets ``fn`` run in several threads at once.
        return moment.copy().run(fn, *args, **kwargs)

    return carried


class ContextExecutor(Executor):
    """Another executor whose jobs run with the context of the moment they were submitted.

    Threads get all context variables. Other executors (processes, clusters) get what `bind_context` bound,
    which must be picklable then.

    Args:
        inner: The executor that does the work; `shutdown` ends it.

    Example:
        >>> with ContextExecutor(ThreadPoolExecutor(1)) as pool, bind_context(machine="door"):
        ...     pool.submit(lambda: dict(current_context())).result()
        {'machine': 'door'}
    """

    def __init__(self, inner: Executor) -> None:
        self._inner = inner

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Start ``fn(*args, **kwargs)``."""
        if isinstance(self._inner, ThreadPoolExecutor):
            return self._inner.submit(copy_context().run, partial(fn, *args, **kwargs))
        return self._inner.submit(_run_with, dict(_context.get()), partial(fn, *args, **kwargs))

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Shut the inner executor down."""
        self._inner.shutdown(wait=wait, cancel_futures=cancel_futures)


def _run_with(values: dict[str, object], job: Callable[[], T]) -> T:
    with bind_context(**values):
        return job()


class ContextFilter(logging.Filter):
    """Gives each record the bound values as attributes; a record's own ``extra`` wins."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Add to the record and let it pass."""
        for name, value in _context.get().items():
            record.__dict__.setdefault(name, value)
        return True


class RedactionFilter(logging.Filter):
    """Masks secrets in a record's message, arguments, exception, stack and extra fields.

    A record without secrets stays as it is. For applications with handlers of their own; `configure_logging`
    has it built in.

    Args:
        secrets: Values to mask wherever they stand, besides what `orca.common.redact` knows by itself.

    Example:
        >>> record = logging.makeLogRecord({"msg": "GET %s", "args": ("http://me:pw@host/",)})
        >>> RedactionFilter().filter(record), record.getMessage()
        (True, 'GET http://***@host/')
    """

    def __init__(self, secrets: Iterable[Any] = ()) -> None:
        super().__init__()
        self._redact = Redactor(map(_reveal, secrets))

    def filter(self, record: logging.LogRecord) -> bool:
        """Mask the record and let it pass."""
        redact_record(record, self._redact)
        return True


class _Handler(_StreamHandler):
    """Writes records with their context and without their secrets; other handlers see them unchanged."""

    def __init__(self, stream: TextIO, redaction: RedactionFilter) -> None:
        super().__init__(stream)
        self._redaction = redaction
        self._context = ContextFilter()

    def emit(self, record: logging.LogRecord) -> None:
        own = copy.copy(record)
        self._context.filter(own)
        self._redaction.filter(own)
        super().emit(own)


def configure_logging(
    format: Literal["console", "json"] = "console",  # noqa: A002  the word that everybody uses
    level: int | str = "INFO",
    *,
    redact: Iterable[Any] = (),
    stream: TextIO | None = None,
) -> logging.Handler:
    """Send what is logged to a stream; for applications, never for libraries.

    A second call replaces the first. Handlers of others stay. Loggers of structlog end here too.

    Args:
        format: ``console`` for people, ``json`` for one JSON object per line.
        level: The least level that is written: a name in any case, or a number.
        redact: Values to mask wherever they stand, as text or ``SecretStr``; see `Settings.secrets`.
        stream: Where to; standard error when None.

    Returns:
        The handler that was added to the root logger; remove it to undo.

    Raises:
        UsageError: There is no such format or level.
    """
    if format not in ("console", "json"):
        raise UsageError(f"configure_logging: format is {format!r}: give 'console' or 'json'")
    number = _level(level)
    from orca.common import _structlog  # noqa: PLC0415  structlog costs 200 ms

    out = sys.stderr if stream is None else stream
    handler = _Handler(out, RedactionFilter(redact))
    handler.setFormatter(_structlog.make_formatter(format, out))
    root = logging.getLogger()
    for old in [each for each in root.handlers if isinstance(each, _Handler)]:
        root.removeHandler(old)
        old.close()
    root.addHandler(handler)
    root.setLevel(number)
    return handler


def _level(level: int | str) -> int:
    if isinstance(level, int):
        return level
    number = getattr(logging, level.upper(), None)
    if not isinstance(number, int):
        raise UsageError(
            f"configure_logging: level is {level!r}: give debug, info, warning, error, critical or a number"
        )
    return number


def _reveal(secret: Any) -> str:
    return str(secret.get_secret_value() if hasattr(secret, "get_secret_value") else secret)
