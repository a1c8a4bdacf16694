"""The side of the job: start the watching process and tell it what is being watched."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from typing import TYPE_CHECKING

from orchestra.sdk._process import process_start

if TYPE_CHECKING:
    from pathlib import Path

    from orchestra.sdk._courier import Route

__all__ = ["Supervision"]

logger = logging.getLogger(__name__)

GONE_S = 5.0
"""How long the end of a run waits for its watching process to go, which may not even have begun."""


class Supervision:
    """One watching process for one run.

    The API key goes through the pipe, never into arguments or a file.

    Args:
        run: The task run.
        route: Where it is reported.
        name: The function or block, for the message.
        folder: The outbox, or None.
        deliver_s: How long the watching process may try to deliver.
        because: A signal that came before, for the message.
    """

    def __init__(
        self,
        run: str,
        route: Route,
        name: str,
        folder: Path | None,
        *,
        deliver_s: float,
        because: str = "",
    ) -> None:
        self._pid = os.getpid()
        self._process: subprocess.Popen[bytes] | None = None
        facts = {
            "parent": self._pid,
            "parent_start": process_start(self._pid),
            "run": run,
            "url": route.url,
            "api_key": route.api_key,
            "name": name,
            "folder": str(folder) if folder is not None else None,
            "deliver_s": deliver_s,
            "because": because,
        }
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "orchestra.sdk._supervisor"],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                cwd="/",
                start_new_session=True,  # Ctrl-C in the terminal must not reach it
                env=_environment(),
            )
            assert self._process.stdin is not None
            self._process.stdin.write(json.dumps(facts).encode() + b"\n")
            self._process.stdin.flush()
        except (OSError, ValueError) as error:
            logger.warning("the supervisor cannot be started (%s); a killed run is reported later", error)

    def done(self) -> None:
        """The run has a terminal status in the outbox: the watching process may go."""
        process = self._process
        if process is None or os.getpid() != self._pid:
            return
        self._process = None
        try:
            assert process.stdin is not None
            process.stdin.write(b"done\n")
            process.stdin.close()
        except (OSError, ValueError):
            logger.debug("the supervisor is gone already")
        try:
            process.wait(GONE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _environment() -> dict[str, str]:
    """What the watching process needs: where Python and proxies are, not the secrets of the job."""
    kept = ("PATH", "HOME", "LANG", "LC_ALL", "PYTHONPATH", "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE",
            "CURL_CA_BUNDLE", "TMPDIR", "SYSTEMROOT")  # fmt: skip
    chosen = {name: os.environ[name] for name in kept if name in os.environ}
    chosen.update({name: value for name, value in os.environ.items() if name.lower().endswith("_proxy")})
    chosen["PYTHONPATH"] = os.pathsep.join([*(p for p in sys.path if p), chosen.get("PYTHONPATH", "")])
    return chosen
