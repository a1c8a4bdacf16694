"""For every suite: signals that the caller ignores (nohup, jobs in the background) are not ignored in tests.

What is ignored stays ignored over exec, so that programs which the tests start and interrupt would never notice.
"""

from __future__ import annotations

import signal


def pytest_configure() -> None:
    """Give the signals that tests send their default handlers back, before any process is started."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGHUP, signal.SIGTERM):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
