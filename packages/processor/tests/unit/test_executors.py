"""Worker processes that wait for their next call keep nothing of the last one."""

from __future__ import annotations

import gc
import socket
import threading
import weakref
from collections.abc import Iterator

import pytest
from keeping_jobs import Thing, result, watched

from orca.processor.executors import ProcessExecutor


@pytest.fixture
def executor() -> Iterator[ProcessExecutor]:
    with ProcessExecutor(1) as made:
        yield made


@pytest.fixture
def no_collector() -> Iterator[None]:
    """Nothing but the last reference going away may free an object."""
    gc.disable()
    yield
    gc.enable()


def test_an_idle_feeder_keeps_neither_arguments_nor_result(
    executor: ProcessExecutor, no_collector: None
) -> None:
    given, got = threading.Event(), threading.Event()
    thing = Thing()
    future = executor.submit(result, thing)
    value = future.result(60)
    assert value is not thing
    seen = [weakref.ref(thing, lambda _: given.set()), weakref.ref(value, lambda _: got.set())]
    del thing
    assert given.wait(60), gc.get_referrers(seen[0]())
    del future, value
    assert got.wait(60), gc.get_referrers(seen[1]())


def test_an_idle_process_keeps_neither_arguments_nor_result(executor: ProcessExecutor) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(60)
        port = server.getsockname()[1]
        assert executor.submit(watched, Thing(), port).result(60) == port
        server.accept()[0].close()
