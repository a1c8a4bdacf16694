from __future__ import annotations

import asyncio
import concurrent.futures
import contextvars
import io
import json
import logging
import os
import subprocess
import sys
import threading
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from typing import TYPE_CHECKING, Any

import common_jobs
import pytest
import structlog
import trio

from orca.common.config import SecretStr
from orca.common.errors import UsageError
from orca.common.logging import (
    ContextExecutor,
    ContextFilter,
    RedactionFilter,
    bind_context,
    carry_context,
    configure_logging,
    current_context,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

logger = logging.getLogger("orca.test.logging")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _root_as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def json_lines(log: Callable[[], object], **options: Any) -> list[dict[str, Any]]:
    out = io.StringIO()
    configure_logging("json", "DEBUG", stream=out, **options)
    log()
    return [json.loads(line) for line in out.getvalue().splitlines()]


def console_text(log: Callable[[], object], *, out: io.StringIO | None = None, **options: Any) -> str:
    out = out or io.StringIO()
    configure_logging("console", "debug", stream=out, **options)
    log()
    return out.getvalue()


# --- configuring ---------------------------------------------------------------------------------------------


def test_import_adds_no_handler_and_no_structlog() -> None:
    text = (
        "import logging, sys, orca.common.logging as ours\n"
        "assert logging.getLogger().handlers == [] and logging.getLogger('orca').handlers == []\n"
        "assert 'structlog' not in sys.modules and logging.getLogger().level == logging.WARNING\n"
    )
    subprocess.run([sys.executable, "-c", text], check=True, timeout=60)


def test_a_second_call_replaces_the_first_and_leaves_other_handlers() -> None:
    root = logging.getLogger()
    other = logging.NullHandler()
    root.addHandler(other)
    first = configure_logging(stream=io.StringIO())
    second = configure_logging(stream=io.StringIO())
    assert first not in root.handlers
    assert second in root.handlers
    assert other in root.handlers


def test_standard_error_is_the_default(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging()
    logger.info("seen")
    logger.debug("not seen")
    captured = capsys.readouterr()
    assert "seen" in captured.err
    assert "not seen" not in captured.err
    assert captured.out == ""


@pytest.mark.parametrize(("level", "number"), [("debug", 10), ("Warning", 30), (35, 35)])
def test_levels(level: int | str, number: int) -> None:
    configure_logging(level=level, stream=io.StringIO())
    assert logging.getLogger().level == number


def test_wrong_options_name_the_accepted_ones() -> None:
    with pytest.raises(UsageError, match="'loud': give debug, info, warning, error, critical or a number"):
        configure_logging(level="loud")
    with pytest.raises(UsageError, match="level is 'Logger'"):
        configure_logging(level="Logger")
    with pytest.raises(UsageError, match="format is 'xml': give 'console' or 'json'"):
        configure_logging("xml")  # type: ignore[arg-type]


# --- what a line holds ---------------------------------------------------------------------------------------


def test_json_has_time_level_logger_message_context_and_extra() -> None:
    def log() -> None:
        with bind_context(exec_id="e1", window="w1", task_run="t1", machine="door"):
            logger.info("stored %d windows", 3, extra={"took_ms": 1.5, "level": "mine", "obj": object})

    (line,) = json_lines(log)
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "level": "info",
        "logger": "orca.test.logging",
        "message": "stored 3 windows",
        "exec_id": "e1",
        "window": "w1",
        "task_run": "t1",
        "machine": "door",
        "took_ms": 1.5,
        "obj": "<class 'object'>",
    }


def test_an_exception_and_a_stack_are_part_of_the_line() -> None:
    def log() -> None:
        try:
            raise KeyError("threshold")
        except KeyError:
            logger.exception("failed", stack_info=True)
        logger.error("no exception", exc_info=True)  # noqa: LOG014  the point of it

    first, second = json_lines(log)
    assert first["exception"].endswith("KeyError: 'threshold'")
    assert first["stack"].startswith("Stack (most recent call last)")
    assert "NoneType" in second["exception"]
    text = console_text(log)
    assert "KeyError: 'threshold'" in text
    assert "Stack (most recent call last)" in text


def test_local_variables_are_never_shown() -> None:
    def log() -> None:
        hidden = "a local" + " variable"
        try:
            raise ValueError("x")
        except ValueError:
            logger.exception(hidden[:1])
            structlog.get_logger("own").exception("b")

    for text in (console_text(log), console_text(log, out=Terminal()), json.dumps(json_lines(log))):
        assert "a local variable" not in text


def test_loggers_of_structlog_end_in_the_same_stream() -> None:
    def log() -> None:
        own = structlog.get_logger("own").bind(port=1)
        with bind_context(exec_id="e1"):
            own.info("ready", token="s3cr3t-token")
        own.debug("with %s", "argument")
        try:
            raise ValueError("s3cr3t-token")
        except ValueError:
            own.exception("failed")

    first, second, third = json_lines(log, redact=["s3cr3t-token"])
    assert first.pop("timestamp")
    assert first == {
        "level": "info",
        "logger": "own",
        "message": "ready",
        "exec_id": "e1",
        "port": 1,
        "token": "***",
    }
    assert second["message"] == "with argument"
    assert third["exception"].endswith("ValueError: ***")


def test_colour_is_for_terminals(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert "\x1b[" in console_text(lambda: logger.info("x"), out=Terminal())
    assert "\x1b[" not in console_text(lambda: logger.info("x"))


def test_what_is_logged_cannot_repaint_the_terminal() -> None:
    text = console_text(lambda: logger.info("a\x1b[2Jb\rc\x9b\n\td", extra={"e": "\x07"}))
    assert "a\\x1b[2Jb\\x0dc\\x9b\n\td" in text
    assert "\\x07" in text
    assert "\x1b" not in text


# --- secrets -------------------------------------------------------------------------------------------------


class Holder:
    def __str__(self) -> str:
        return "holds s3cr3t-value"


class Broken:
    def __str__(self) -> str:
        raise RuntimeError("no text")


def chained() -> None:
    try:
        try:
            raise ValueError("inner s3cr3t-value")
        except ValueError as error:
            raise RuntimeError("outer grpc://me:s3cr3t-value@core") from error
    except RuntimeError:
        logger.exception("chain")


@pytest.mark.parametrize(
    "log",
    [
        lambda: logger.info("plain s3cr3t-value"),
        lambda: logger.info("argument %s", "s3cr3t-value"),
        lambda: logger.info("argument %r", {"deep": [("s3cr3t-value",)]}),
        lambda: logger.info("by name %(password)s %(n)d", {"password": "s3cr3t-value", "n": 1}),
        lambda: logger.info("object %s", Holder()),
        lambda: logger.info("split %s%s", "s3cr3t", "-value"),
        lambda: logger.info("extra", extra={"note": "s3cr3t-value"}),
        lambda: logger.info("extra", extra={"deep": {"a": {"note": ["s3cr3t-value"]}}}),
        lambda: logger.info("extra", extra={"api_key": "s3cr3t-value"}),
        lambda: logger.info("extra", extra={"holder": Holder()}),
        lambda: logger.info("stack", stack_info=True, extra={"s": "s3cr3t-value"}),
        lambda: structlog.get_logger().info("own", note={"a": "s3cr3t-value"}),
        chained,
    ],
)
def test_a_secret_appears_nowhere(log: Callable[[], None]) -> None:
    for secret in ("s3cr3t-value", SecretStr("s3cr3t-value")):
        for text in (json.dumps(json_lines(log, redact=[secret])), console_text(log, redact=[secret])):
            assert "s3cr3t-value" not in text
            assert "***" in text


def test_a_wrong_log_call_is_shown_and_masked_too() -> None:
    out = io.StringIO()
    handler = configure_logging("json", stream=out, redact=["s3cr3t-value"])
    handler.handle(logging.makeLogRecord({"msg": "wrong %d", "args": ("s3cr3t-value",)}))
    line = json.loads(out.getvalue())
    assert line["message"].startswith("'wrong %d' % ('***',) (TypeError: ")


def test_secrets_are_known_without_being_told() -> None:
    def log() -> None:
        logger.info("grpc://me:pw@core Authorization: Bearer abcdef password=%s", "pw")

    assert json_lines(log)[0]["message"] == "grpc://***@core Authorization: Bearer *** password=***"


def test_other_handlers_see_the_record_as_it_was() -> None:
    seen: list[logging.LogRecord] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            seen.append(record)

    keep = Keep()
    logger.addHandler(keep)
    try:
        with bind_context(exec_id="e1"):
            json_lines(lambda: logger.info("value %s", "s3cr3t-value"), redact=["s3cr3t-value"])
    finally:
        logger.removeHandler(keep)
    assert seen[0].args == ("s3cr3t-value",)
    assert not hasattr(seen[0], "exec_id")


def test_the_filters_serve_handlers_of_others() -> None:
    out = io.StringIO()
    handler = logging.StreamHandler(out)
    handler.setFormatter(logging.Formatter("%(exec_id)s %(message)s"))
    handler.addFilter(ContextFilter())
    handler.addFilter(RedactionFilter(["s3cr3t-value"]))
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        with bind_context(exec_id="e1"):
            logger.info("has %s", "s3cr3t-value")
            logger.info("mine", extra={"exec_id": "e2"})
            try:
                raise ValueError("s3cr3t-value")
            except ValueError:
                logger.exception("failed")
    finally:
        logger.removeHandler(handler)
        logger.setLevel(logging.NOTSET)
    text = out.getvalue()
    assert text.startswith("e1 has ***\ne2 mine\ne1 failed\nTraceback")
    assert text.endswith("ValueError: ***\n")


def test_a_record_without_secrets_stays_as_it_is() -> None:
    error = ValueError("x")
    deep: list[Any] = [{"a": (1, "b", None, 2.5, True)}]
    record = logging.makeLogRecord(
        {
            "msg": "%s %d",
            "args": (deep, 3),
            "exc_info": (ValueError, error, None),
            "tokens": 3,
            "secret": None,
        }
    )
    args, broken = record.args, Broken()
    record.broken = broken
    assert RedactionFilter(["s3cr3t-value"]).filter(record)
    assert record.args is args
    assert record.exc_info == (ValueError, error, None)
    assert record.exc_text is None
    assert (record.tokens, record.secret, record.broken) == (3, None, broken)  # type: ignore[attr-defined]


def test_a_text_that_another_handler_made_of_the_exception_is_masked() -> None:
    record = logging.makeLogRecord({"exc_text": "ValueError: s3cr3t-value", "stack_info": "at s3cr3t-value"})
    RedactionFilter(["s3cr3t-value"]).filter(record)
    assert (record.exc_text, record.stack_info) == ("ValueError: ***", "at ***")


def test_a_value_deeper_than_the_limit_is_masked_as_one_text() -> None:
    deep: Any = "s3cr3t-value"
    for _ in range(50):
        deep = [deep]
    cycle: list[Any] = ["s3cr3t-value"]
    cycle.append(cycle)
    for value in (deep, cycle):
        record = logging.makeLogRecord({"value": value})
        RedactionFilter(["s3cr3t-value"]).filter(record)
        assert "s3cr3t" not in repr(record.value)  # type: ignore[attr-defined]


# --- context -------------------------------------------------------------------------------------------------


def seen() -> dict[str, object]:
    return dict(current_context())


def test_blocks_nest_and_end() -> None:
    with bind_context(exec_id="e1", window="w1"):
        with bind_context(window="w2"):
            assert seen() == {"exec_id": "e1", "window": "w2"}
        assert seen() == {"exec_id": "e1", "window": "w1"}
    assert seen() == {}


def test_a_block_ends_with_an_exception_too() -> None:
    with pytest.raises(KeyError), bind_context(exec_id="e1"):
        raise KeyError
    assert seen() == {}


def test_names_of_every_record_cannot_be_bound() -> None:
    with pytest.raises(UsageError, match="message, name belongs"):
        bind_context(name="x", message="y", exec_id="z")


def test_tasks_have_the_context_of_their_start() -> None:
    async def under_asyncio() -> None:
        with bind_context(exec_id="a"):
            task = asyncio.create_task(asyncio.sleep(0, seen))
            inside = asyncio.create_task(_seen_later())
            thread = asyncio.to_thread(seen)
            assert await thread == {"exec_id": "a"}
        assert await inside == {"exec_id": "a"}
        await task
        assert seen() == {}

    async def under_trio() -> None:
        found: list[dict[str, object]] = []

        async def child() -> None:
            await trio.lowlevel.checkpoint()
            found.append(seen())

        async with trio.open_nursery() as nursery:
            with bind_context(exec_id="t"):
                nursery.start_soon(child)
        found.append(await trio.to_thread.run_sync(seen))
        assert found == [{"exec_id": "t"}, {}]

    asyncio.run(under_asyncio())
    trio.run(under_trio)


async def _seen_later() -> dict[str, object]:
    await asyncio.sleep(0)
    return seen()


def test_concurrent_tasks_do_not_mix() -> None:
    async def work(name: str) -> str:
        with bind_context(exec_id=name):
            await asyncio.sleep(0)
            return str(seen()["exec_id"])

    async def main() -> list[str]:
        return await asyncio.gather(*(work(str(number)) for number in range(50)))

    assert asyncio.run(main()) == [str(number) for number in range(50)]


def test_a_plain_thread_starts_empty_and_a_carried_function_does_not() -> None:
    found: list[dict[str, object]] = []
    with bind_context(exec_id="e1"):
        carried = carry_context(lambda: found.append(seen()))
        threads = [threading.Thread(target=carried) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert found == [{"exec_id": "e1"}] * 4


def test_an_executor_of_threads_gets_all_context_variables() -> None:
    other: contextvars.ContextVar[int] = contextvars.ContextVar("other", default=0)

    def job(first: int, *, second: int) -> tuple[int, int, dict[str, object]]:
        return first + second, other.get(), seen()

    with ContextExecutor(ThreadPoolExecutor(2)) as pool, bind_context(exec_id="e1"):
        other.set(5)
        assert pool.submit(job, 1, second=2).result(30) == (3, 5, {"exec_id": "e1"})
        assert list(pool.map(lambda _: seen(), range(3))) == [{"exec_id": "e1"}] * 3

        async def main() -> dict[str, object]:
            return await asyncio.get_running_loop().run_in_executor(pool, seen)

        assert asyncio.run(main()) == {"exec_id": "e1"}
    with pytest.raises(RuntimeError):
        pool.submit(seen)


def test_an_executor_of_processes_gets_what_was_bound() -> None:
    inner = ProcessPoolExecutor(1, mp_context=get_context("spawn"))
    with ContextExecutor(inner) as pool, bind_context(exec_id="e1"):
        pid, context = pool.submit(common_jobs.pid_and_context).result(60)
    assert context == {"exec_id": "e1"}
    assert pid != os.getpid()


def test_a_job_that_waits_is_cancelled_at_shutdown() -> None:
    pool = ContextExecutor(ThreadPoolExecutor(1))
    started, release = threading.Event(), threading.Event()

    def block() -> None:
        started.set()
        release.wait(30)

    running = pool.submit(block)
    assert started.wait(30)
    waiting = pool.submit(seen)
    pool.shutdown(wait=False, cancel_futures=True)
    release.set()
    running.result(30)
    with pytest.raises(concurrent.futures.CancelledError):
        waiting.result(30)


def test_any_other_executor_gets_what_was_bound() -> None:
    class Inline(concurrent.futures.Executor):
        """Keeps jobs until they are wanted, as a remote one would."""

        def __init__(self) -> None:
            self.jobs: list[Callable[[], None]] = []

        def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Any:
            future: concurrent.futures.Future[Any] = concurrent.futures.Future()
            self.jobs.append(lambda: future.set_result(fn(*args, **kwargs)))
            return future

    inner = Inline()
    with bind_context(exec_id="e1"):
        future = ContextExecutor(inner).submit(lambda word: (word, seen()), word="ho")
    inner.jobs[0]()
    assert future.result(1) == ("ho", {"exec_id": "e1"})
    assert seen() == {}
