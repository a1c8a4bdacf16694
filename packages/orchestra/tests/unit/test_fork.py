"""A fork at the worst moments: while another thread imports, looks a name up, or delivers."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import textwrap
import threading
import time

import httpcore
import pytest

from orchestra.sdk._fork import Gate, import_gate
from orchestra.sdk._http import resolve

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")


def run(source: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(source)],
        env={**os.environ, **env}, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


def test_a_fork_waits_for_an_import_and_the_child_can_import_too(tmp_path):
    """Without the gate the child stands still in the import lock that no thread of it holds."""
    (tmp_path / "slow_module.py").write_text(
        "import builtins\nbuiltins.importing.set()\nassert builtins.go_on.wait(30)\nVALUE = 5\n"
    )
    done = run(
        """
        import builtins, os, signal, sys, threading
        from orchestra.sdk._fork import import_gate
        builtins.importing, builtins.go_on = threading.Event(), threading.Event()
        def load():
            with import_gate:
                import slow_module
        thread = threading.Thread(target=load)
        thread.start()
        assert builtins.importing.wait(30)
        # The fork must be waiting by then; if it is not, the import is cut in two and the child is ended by its alarm.
        threading.Timer(0.3, builtins.go_on.set).start()
        pid = os.fork()
        if not pid:
            signal.alarm(60)
            import slow_module
            with import_gate:
                os._exit(slow_module.VALUE)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 5
        thread.join()
        with import_gate:
            pass
        """,
        PYTHONPATH=os.pathsep.join([str(tmp_path), *sys.path]),
    )
    assert done.returncode == 0, done.stderr


def test_what_a_first_delivery_loads_is_loaded_in_one_go():
    """A lazy import later on, in the delivering thread, is one that a fork can cut in two."""
    done = run(
        f"""
        import sys
        sys.path[:0] = {sys.path!r}
        from orchestra.sdk.testing import WebhookServer
        from orchestra.sdk._http import WebhookTransport
        with WebhookServer() as server:
            before = set(sys.modules)
            port = server.url.rpartition(":")[2]
            assert WebhookTransport().post(f"http://127.0.0.1:{{port}}", "k", b"{{}}").reason.startswith("HTTP 422")
            assert WebhookTransport().post(f"http://localhost:{{port}}", "k", b"{{}}").reason.startswith("HTTP 422")
        assert set(sys.modules) == before, set(sys.modules) - before
        """
    )
    assert done.returncode == 0, done.stderr


def test_a_fork_does_not_wait_for_ever():
    gate = Gate(wait_s=0.05)
    thread = threading.Thread(target=gate.__enter__)  # and never leaves
    thread.start()
    thread.join()
    gate.before_fork()
    gate.after_fork_in_parent()  # it was not entered, so there is nothing to leave
    gate.before_fork()
    gate.after_fork_in_child()
    with gate:  # the child's is open whoever holds the parent's
        pass


def test_a_signal_handler_may_report_while_its_thread_imports():
    with import_gate, import_gate:
        pass


def test_a_name_server_that_hangs_holds_neither_the_attempt_nor_a_fork(monkeypatch):
    asked, answer = threading.Semaphore(0), threading.Event()
    real = socket.getaddrinfo

    def slow(host, *arguments, **options):
        asked.release()
        assert answer.wait(30)
        return real("127.0.0.1", *arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    for _ in range(3):
        with pytest.raises(httpcore.ConnectTimeout, match=r"no name server answered for webhook\.invalid"):
            resolve("webhook.invalid", 80, 0.05)
    started = time.monotonic()
    pid = os.fork()
    if not pid:
        os._exit(0)
    assert time.monotonic() - started < 20.0  # the name server is silent for 30
    os.waitpid(pid, 0)
    answer.set()
    assert resolve("webhook.invalid", 80, 30.0) == ["127.0.0.1"]
    assert asked.acquire(blocking=False)
    assert not asked.acquire(blocking=False) or not asked.acquire(
        blocking=False
    )  # three waits shared one lookup


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_an_address_needs_no_lookup(monkeypatch, address):
    monkeypatch.delattr(socket, "getaddrinfo")
    assert resolve(address, 80, 1.0) == [address]


@pytest.mark.parametrize("host", ["no-such-host.invalid", "x" * 64 + ".invalid"])
def test_an_unknown_name_is_a_failed_attempt(host):
    with pytest.raises(httpcore.ConnectError, match="is not known"):
        resolve(host, 80, 30.0)
