"""Places where a test can end the process: ``ORCA_FAILPOINT=name:exit9``, or ``:exit9:3`` at the third pass.

Without the variable a failpoint costs one comparison.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from orca.common.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["NAMES", "Failpoints", "hit"]

# Every commit boundary: before and after each kind of transaction, and around what is sent.
NAMES = (
    "accept.before_commit",
    "accept.after_commit",
    "record.before_commit",
    "record.after_commit",
    "register.before_commit",
    "register.after_commit",
    "dispatch.before_send",
    "dispatch.after_send",
    "result.received",
)


class Failpoints:
    """The failpoints of one environment.

    Example:
        >>> points = Failpoints({"ORCA_FAILPOINT": "accept.after_commit:exit9:2"})
        >>> points.active
        'accept.after_commit'
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.active = ""
        self._left = 0
        text = environ.get("ORCA_FAILPOINT", "")
        if text:
            name, _, rest = text.partition(":")
            action, _, count = rest.partition(":")
            if name not in NAMES or action != "exit9" or not (count or "1").isdigit():
                message = f"ORCA_FAILPOINT={text} is not NAME:exit9 or NAME:exit9:COUNT"
                raise ConfigError(message, hint="names: " + ", ".join(NAMES))
            self.active = name
            self._left = int(count or "1")

    def hit(self, name: str) -> None:
        """End the process with status 9, as a crash would: nothing is flushed, nothing is closed."""
        if self.active and self.active == name:
            self._left -= 1
            if self._left <= 0:
                os._exit(9)


_process = Failpoints(os.environ)
hit = _process.hit
