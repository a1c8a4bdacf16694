"""Processes that run one algorithm at a time, so that one that dies or hangs fails alone.

``concurrent.futures.ProcessPoolExecutor`` breaks as a whole when one worker dies, and cannot stop a running call.
:class:`ProcessExecutor` gives every worker its own pipe: a crash fails one call, and cancelling a running call ends
its process. Calls travel between our own processes in the way of :mod:`multiprocessing`, so functions must be
importable by name from the processor's module.
"""

from __future__ import annotations

import threading
from collections import deque
from concurrent.futures import Executor, Future
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from multiprocessing.connection import Connection

__all__ = ["CALLS_MAX", "ProcessExecutor", "RayExecutor", "WorkerLost", "submit"]

T = TypeVar("T")

CALLS_MAX: Final = 100_000
"""Calls that may wait: a processor's parts hold fewer, and beyond it a caller should be told, not memory eaten."""

JOIN_S: Final = 5.0
"""How long a worker may take to end by itself before it is killed."""


class WorkerLost(RuntimeError):  # noqa: N818 - says what happened
    """The process that ran a call ended before the call did.

    Attributes:
        exit_code: Its exit code; negative numbers are signals.
    """

    def __init__(self, exit_code: int | None) -> None:
        cause = (
            f"signal {-exit_code}" if exit_code is not None and exit_code < 0 else f"exit code {exit_code}"
        )
        super().__init__(f"the worker process ended ({cause})")
        self.exit_code = exit_code


def _work(pipe: Connection) -> None:  # pragma: no cover - runs in the worker, where coverage does not look
    """A worker's life: one call in, one answer out, until the pipe closes."""
    while True:
        try:
            function, arguments, keywords = pipe.recv()
        except (EOFError, OSError):
            return
        try:
            answer = (True, function(*arguments, **keywords))
        except BaseException as error:
            if isinstance(error, (SystemExit, KeyboardInterrupt)):
                raise
            answer = (False, (error, _frames(error)))
        try:
            pipe.send(answer)
        except Exception as error:  # noqa: BLE001 - a value or error that cannot travel
            pipe.send((False, (TypeError(f"the result cannot leave its process: {error}"), "")))
        # While it waits for the next call, it would keep the last one's windows and results.
        del function, arguments, keywords, answer


def _frames(error: BaseException) -> str:
    import traceback  # noqa: PLC0415

    return "".join(traceback.format_exception(type(error), error, error.__traceback__))


class RemoteTraceback(Exception):  # noqa: N818 - a cause that only carries text
    """The traceback of an error in another process, as its cause."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text


class _Call:
    __slots__ = ("arguments", "function", "future", "keywords", "turn")

    def __init__(self, function: Any, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> None:
        self.function, self.arguments, self.keywords = function, arguments, keywords
        self.future: _Future = _Future()
        # Names this call to whoever may end its process, without keeping its arguments.
        self.turn = object()


class _Future(Future[Any]):
    """A future whose cancel() also ends a running call."""

    kill: Callable[[], None] | None = None
    doomed = False

    def cancel(self) -> bool:
        if super().cancel():
            return True
        if self.done():
            return False
        # Before looking: a call whose process is only starting is ended by the thread that starts it.
        self.doomed = True
        kill = self.kill
        if kill is not None:
            kill()
        return True


class _Worker:
    """A process and the thread that feeds it."""

    def __init__(self, owner: ProcessExecutor, number: int) -> None:
        self.owner = owner
        self.process: Any = None
        self.pipe: Any = None
        self.lock = threading.Lock()
        self.current: object = None
        self.thread = threading.Thread(target=self.run, name=f"orca-process-{number}", daemon=True)

    def start_process(self) -> None:
        # Half of this module's users never start a process, and multiprocessing is large.
        import multiprocessing  # noqa: PLC0415

        context = multiprocessing.get_context("spawn")
        self.pipe, inner = context.Pipe()
        self.process = context.Process(target=_work, args=(inner,), daemon=True)
        self.process.start()
        inner.close()

    def run(self) -> None:
        while (call := self.owner.next_call()) is not None:
            if call.future.set_running_or_notify_cancel():
                self.one(call)
            # While it waits for the next call, it would keep the last one's arguments and result.
            del call
        self.stop()

    def one(self, call: _Call) -> None:
        try:
            if self.process is None or not self.process.is_alive():
                self.start_process()
            self.current = turn = call.turn
            call.future.kill = lambda: self.kill(turn)
            if call.future.doomed:
                self.kill(turn)
            self.pipe.send((call.function, call.arguments, call.keywords))
        except ConnectionError:
            self.lost(call)
            return
        except (OSError, ValueError, TypeError, AttributeError, ImportError) as error:
            self.end_process()
            call.future.set_exception(TypeError(f"the call cannot enter another process: {error}"))
            return
        except Exception as error:  # noqa: BLE001 - whatever a user's object raises on its way
            self.end_process()
            call.future.set_exception(error)
            return
        self.answer(call)

    def answer(self, call: _Call) -> None:
        # Waiting for the process as well as the pipe: a grandchild may hold the pipe's other end open.
        from multiprocessing.connection import wait  # noqa: PLC0415

        ready = wait([self.pipe, self.process.sentinel])
        try:
            if self.pipe not in ready and not self.pipe.poll():
                raise EOFError
            good, value = self.pipe.recv()
        except (EOFError, OSError):
            self.lost(call)
            return
        with self.lock:
            self.current = None
        if good:
            call.future.set_result(value)
        else:
            error, text = value
            error.__cause__ = RemoteTraceback(text)
            call.future.set_exception(error)

    def kill(self, turn: object) -> None:
        """End the process, if it still is at this call and not at a later one."""
        with self.lock:
            if self.current is turn and self.process is not None:
                self.process.kill()

    def lost(self, call: _Call) -> None:
        self.process.join(JOIN_S)
        exit_code = self.process.exitcode
        self.end_process()
        call.future.set_exception(WorkerLost(exit_code))

    def end_process(self) -> None:
        with self.lock:
            self.current = None
        if self.process is not None:
            self.pipe.close()
            self.process.kill()
            self.process.join(JOIN_S)
            self.process = None

    def stop(self) -> None:
        if self.process is None:
            return
        self.pipe.close()
        self.process.join(JOIN_S)
        self.end_process()


class ProcessExecutor(Executor):
    """A ``concurrent.futures.Executor`` of worker processes that fail one by one.

    Args:
        max_workers: Processes at most; they start with the first calls.

    Raises:
        ValueError: ``max_workers`` is below 1.
    """

    def __init__(self, max_workers: int = 1) -> None:
        if max_workers < 1:
            raise ValueError(f"max_workers is {max_workers}, and one process is the least")
        self._max = max_workers
        self._calls: deque[_Call] = deque()
        self._changed = threading.Condition()
        self._workers: list[_Worker] = []
        self._idle = 0
        self._closed = False

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        """Run ``fn(*args, **kwargs)`` in a worker process.

        Raises:
            RuntimeError: The executor is shut down, or ``CALLS_MAX`` calls wait.
        """
        call = _Call(fn, args, kwargs)
        with self._changed:
            if self._closed:
                raise RuntimeError("the executor is shut down")
            if len(self._calls) >= CALLS_MAX:
                raise RuntimeError(f"{CALLS_MAX} calls wait already")
            self._calls.append(call)
            if self._idle < len(self._calls) and len(self._workers) < self._max:
                worker = _Worker(self, len(self._workers))
                self._workers.append(worker)
                worker.thread.start()
            self._changed.notify()
        return call.future

    def next_call(self) -> _Call | None:
        """For workers: the next call, or None when it is over."""
        with self._changed:
            self._idle += 1
            self._changed.wait_for(lambda: self._calls or self._closed)
            self._idle -= 1
            return self._calls.popleft() if self._calls else None

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End the workers after what they are doing.

        Args:
            wait: Return when all have ended.
            cancel_futures: Drop calls that have not begun.
        """
        with self._changed:
            self._closed = True
            dropped = list(self._calls) if cancel_futures else []
            if cancel_futures:
                self._calls.clear()
            self._changed.notify_all()
        for call in dropped:
            call.future.cancel()
        if wait:
            for worker in self._workers:
                worker.thread.join()


class RayExecutor(Executor):
    """A ``concurrent.futures.Executor`` whose calls are tasks of Ray, which must be initialised.

    Cancelling a running call ends its worker process, so that an algorithm that hangs fails alone; nothing is tried
    again by Ray, because the core does that.

    Args:
        options: Options of each task, such as ``num_cpus`` or ``num_gpus``.

    Raises:
        ImportError: Ray is not installed.

    Example:
        .. code-block:: python

            ray.init()
            proc = Processor("images", executor=RayExecutor(num_cpus=2))
    """

    def __init__(self, **options: Any) -> None:
        self._ray: Any = import_module("ray")
        self._options = {"max_retries": 0, **options}
        self._tasks: dict[Any, Any] = {}

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        """Run ``fn(*args, **kwargs)`` as a task."""
        task = self._tasks.get(fn)
        if task is None:
            task = self._tasks[fn] = self._ray.remote(**self._options)(fn)
        reference = task.remote(*args, **kwargs)
        future = _Future()
        future.set_running_or_notify_cancel()
        future.kill = lambda: self._ray.cancel(reference, force=True)
        done: Future[Any] = reference.future()
        done.add_done_callback(lambda ended: _settle(ended, future))
        return future


def submit(executor: Executor, function: Callable[..., T], keywords: Mapping[str, Any]) -> Future[T]:
    """Run ``function(**keywords)`` once on whatever executor a user has chosen.

    Dask's takes parameters such as ``key``, ``workers`` and ``priority`` for options of its own, and calls of equal
    arguments for one call, whose first answer or failure all of them get.

    Args:
        executor: Any ``concurrent.futures.Executor``.
        function: What to run; executors of processes need it to be importable by name.
        keywords: Its arguments.

    Raises:
        Exception: The executor takes no more calls, in its own words.
    """
    if isinstance(executor, (ProcessExecutor, RayExecutor)):
        return executor.submit(function, **keywords)
    options: dict[str, Any] = {}
    if type(executor).__module__.partition(".")[0] == "distributed":
        options["pure"] = False
    return executor.submit(partial(function, **keywords), **options)


def _settle(done: Future[Any], future: Future[Any]) -> None:
    error = done.exception()
    if error is None:
        future.set_result(done.result())
        return
    # A task's own error stands inside of Ray's.
    cause = getattr(error, "cause", None)
    if isinstance(cause, Exception):
        cause.__cause__ = RemoteTraceback(str(error))
        error = cause
    future.set_exception(error)
