"""The error tree that every orca package grows from.

    OrcaError                   code, hint, retryable, exit_code
    ├── ConfigError             also ValueError   usage (exit 2)
    ├── UsageError              also ValueError   usage (exit 2)
    ├── UnreachableError        also ConnectionError   exit 3, retryable
    ├── DeadlineError           also TimeoutError      retryable
    └── ...                     each package adds its own

An error says what happened (the message), carries the facts as attributes, and ends in the command or the
change that helps (``hint``). Each class also derives from the builtin that a caller would catch.
"""

from __future__ import annotations

from typing import ClassVar

__all__ = ["ConfigError", "DeadlineError", "OrcaError", "UnreachableError", "UsageError"]


class OrcaError(Exception):
    """The root of all errors that orca packages raise on purpose.

    Args:
        message: What happened, naming the place.
        hint: What to do about it; ends in a command where one helps. May be empty.

    Attributes:
        code: A stable name in capitals, for machines and for the reference page.
        retryable: Whether the same call may succeed later with nothing changed.
        exit_code: What a command line ends with: 1 it failed, 2 usage, 3 core not reachable.

    Example:
        >>> try:
        ...     raise OrcaError("the store is newer than this program", hint="upgrade orca-orchestrator")
        ... except OrcaError as error:
        ...     print(error)
        the store is newer than this program
          hint: upgrade orca-orchestrator
    """

    code: ClassVar[str] = "ORCA_ERROR"
    retryable: ClassVar[bool] = False
    exit_code: ClassVar[int] = 1

    def __init__(self, message: str = "", *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n  hint: {self.hint}" if self.hint else self.message

    def to_json(self) -> dict[str, object]:
        """Return what a program needs to know of the error; a subclass adds its facts.

        Example:
            >>> OrcaError("the store is full").to_json()
            {'code': 'ORCA_ERROR', 'message': 'the store is full', 'hint': '', 'retryable': False}
        """
        return {"code": self.code, "message": self.message, "hint": self.hint, "retryable": self.retryable}


class UsageError(OrcaError, ValueError):
    """A caller passed something that can never work; the message names it and the accepted form."""

    code = "USAGE"
    exit_code = 2


class ConfigError(OrcaError, ValueError):
    """A setting is missing or has a wrong form; the message lists every fault with its source."""

    code = "CONFIG"
    exit_code = 2


class UnreachableError(OrcaError, ConnectionError):
    """A server did not answer; trying again later may succeed."""

    code = "UNREACHABLE"
    retryable = True
    exit_code = 3


class DeadlineError(OrcaError, TimeoutError):
    """A call did not finish within its deadline."""

    code = "DEADLINE"
    retryable = True
