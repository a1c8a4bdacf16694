"""What `orchestra.sdk` raises.

OrcaError
├── OrchestraError
│   ├── MissingEnvironmentKeysError     also LookupError: ``missing_keys``
│   ├── NoEnvironmentVariablesFoundError   also LookupError
│   ├── LinkedConnectionNotFoundError   also LookupError
│   ├── OutputError                     also ValueError: a value that JSON cannot carry, ``path``
│   ├── TaskCancelledError              the platform asked this task run to stop
│   ├── SpoolError                      also OSError: the outbox on disk cannot be used
│   └── PlatformError                   an answer of the platform API, ``status_code``, ``detail``
│       └── PlatformAccessError         also PermissionError: 401 or 403
└── UsageError (orca.common)            a status or an option that cannot be understood
"""

from __future__ import annotations

from orca.common.errors import DeadlineError, OrcaError, UnreachableError, UsageError

__all__ = [
    "DeadlineError",
    "LinkedConnectionNotFoundError",
    "MissingEnvironmentKeysError",
    "NoEnvironmentVariablesFoundError",
    "OrcaError",
    "OrchestraError",
    "OutputError",
    "PlatformAccessError",
    "PlatformError",
    "SpoolError",
    "TaskCancelledError",
    "UnreachableError",
    "UsageError",
]


class OrchestraError(OrcaError):
    """The root of the errors of this package."""

    code = "ORCHESTRA_ERROR"


class MissingEnvironmentKeysError(OrchestraError, LookupError):
    """Environment variables that are needed are not set; ``missing_keys`` names them."""

    code = "MISSING_ENVIRONMENT"

    def __init__(self, missing_keys: set[str]) -> None:
        names = ", ".join(sorted(missing_keys))
        super().__init__(f"Missing environment variables: {names}", hint=f"export {names}")
        self.missing_keys = missing_keys


class NoEnvironmentVariablesFoundError(OrchestraError, LookupError):
    """The process has no environment variables at all."""

    code = "NO_ENVIRONMENT"

    def __init__(self, message: str = "No environment variables loaded") -> None:
        super().__init__(message)


class LinkedConnectionNotFoundError(OrchestraError, LookupError):
    """No linked connection, or more than one, fits what was asked for; the message names the candidates."""

    code = "LINKED_CONNECTION_NOT_FOUND"


class OutputError(OrchestraError, ValueError):
    """An output cannot be carried by JSON.

    Attributes:
        path: Where in the value the fault is, such as ``rows[3].price``.
    """

    code = "OUTPUT_INVALID"
    exit_code = 2

    def __init__(self, message: str, *, path: str = "", hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.path = path


class TaskCancelledError(OrchestraError):
    """The platform asked this task run to stop; raised by `Task.raise_if_cancelled`."""

    code = "TASK_CANCELLED"


class SpoolError(OrchestraError, OSError):
    """The outbox on disk cannot be opened, read or written.

    Attributes:
        busy: Whether another process held it for all the time that one waits; trying again may help.
    """

    code = "SPOOL"

    def __init__(self, message: str, *, busy: bool = False, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.busy = busy


class PlatformError(OrchestraError):
    """The platform API answered with an error.

    Attributes:
        status_code: The HTTP status.
        detail: The ``detail`` of the answer: a text, or the list of a 422.
        retry_after_s: What the answer asked to wait, if it did.
    """

    code = "PLATFORM"

    def __init__(
        self,
        message: str,
        *,
        status_code: int = 0,
        detail: object = None,
        retry_after_s: float | None = None,
        hint: str = "",
    ) -> None:
        super().__init__(message, hint=hint)
        self.status_code = status_code
        self.detail = detail
        self.retry_after_s = retry_after_s


class PlatformAccessError(PlatformError, PermissionError):
    """The platform refused the API key (401), or the plan has no API access (403)."""

    code = "PLATFORM_ACCESS"
