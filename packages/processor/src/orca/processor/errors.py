# ruff: noqa: N818 - the published names have no suffix, and ours go with them
"""The errors of this package.

OrcaError
├── BaseOrcaException                    everything below; the name that the published SDK uses
│   ├── InvalidAlgorithmArgument         also ValueError    a name, version, parameter or option
│   ├── InvalidAlgorithmReturnType       also TypeError     a return annotation
│   ├── InvalidWindowArgument            also ValueError
│   ├── InvalidMetadataFieldArgument     also ValueError
│   ├── InvalidDependency                also ValueError
│   ├── BrokenRemoteAlgorithmStubs       also ValueError
│   ├── InvalidDefinitions               all of the above   every mistake of a processor at once
│   ├── MissingEnvVar, BadEnvVar, BadConfigFile             also ConfigError (exit 2)
│   ├── ConversionError                  also ValueError    a value that the wire cannot carry
│   ├── ExecutionError                   also RuntimeError  an algorithm failed (in tests and local runs)
│   └── CoreError                        an answer of the core other than OK
│       ├── InvalidRequest               also ValueError    INVALID_ARGUMENT, OUT_OF_RANGE
│       ├── NotFound                     also LookupError   NOT_FOUND
│       ├── AlreadyExists                ALREADY_EXISTS
│       ├── FailedPrecondition           FAILED_PRECONDITION
│       ├── ResourceExhausted            RESOURCE_EXHAUSTED, retryable
│       ├── NotAllowed                   also PermissionError   UNAUTHENTICATED, PERMISSION_DENIED
│       └── NotOffered                   also NotImplementedError   UNIMPLEMENTED
├── CoreUnreachable                      BaseOrcaException and UnreachableError (exit 3, retryable)
└── CoreTimeout                          BaseOrcaException and DeadlineError (retryable)
"""

from __future__ import annotations

from dataclasses import dataclass

from orca.common.errors import ConfigError, DeadlineError, OrcaError, UnreachableError

__all__ = [
    "AlreadyExists",
    "BadConfigFile",
    "BadEnvVar",
    "BaseOrcaException",
    "BrokenRemoteAlgorithmStubs",
    "ConversionError",
    "CoreError",
    "CoreTimeout",
    "CoreUnreachable",
    "ExecutionError",
    "FailedPrecondition",
    "Fault",
    "InvalidAlgorithmArgument",
    "InvalidAlgorithmReturnType",
    "InvalidDefinitions",
    "InvalidDependency",
    "InvalidMetadataFieldArgument",
    "InvalidRequest",
    "InvalidWindowArgument",
    "MissingEnvVar",
    "NotAllowed",
    "NotFound",
    "NotOffered",
    "ResourceExhausted",
]


class BaseOrcaException(OrcaError):
    """The root of what this package raises on purpose."""

    code = "PROCESSOR"


class InvalidAlgorithmArgument(BaseOrcaException, ValueError):
    """An argument of ``@proc.algorithm``, or a parameter of the function, is not right."""

    code = "INVALID_ALGORITHM"
    exit_code = 2


class InvalidAlgorithmReturnType(BaseOrcaException, TypeError):
    """An algorithm's return annotation is nothing that can be sent."""

    code = "INVALID_RETURN_TYPE"
    exit_code = 2


class InvalidWindowArgument(BaseOrcaException, ValueError):
    """A window or a window type is not right."""

    code = "INVALID_WINDOW"
    exit_code = 2


class InvalidMetadataFieldArgument(BaseOrcaException, ValueError):
    """A metadata field is not right."""

    code = "INVALID_METADATA_FIELD"
    exit_code = 2


class InvalidDependency(BaseOrcaException, ValueError):
    """A dependency names nothing that is registered, or asks for something that cannot be."""

    code = "INVALID_DEPENDENCY"
    exit_code = 2


class BrokenRemoteAlgorithmStubs(BaseOrcaException, ValueError):
    """A stub of ``orca sync`` has no usable metadata."""

    code = "BROKEN_STUBS"
    exit_code = 2


@dataclass(frozen=True, slots=True)
class Fault:
    """One mistake in a definition.

    Attributes:
        error: The error as it would be raised alone.
        file: The file where the function is defined; empty when unknown.
        line: The line there, from 1; 0 when unknown.
    """

    error: BaseOrcaException
    file: str = ""
    line: int = 0

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}: " if self.file else ""
        hint = f" ({self.error.hint})" if self.error.hint else ""
        return f"{place}{self.error.message}{hint}"


class InvalidDefinitions(
    InvalidAlgorithmArgument,
    InvalidAlgorithmReturnType,
    InvalidWindowArgument,
    InvalidMetadataFieldArgument,
    InvalidDependency,
    BrokenRemoteAlgorithmStubs,
):
    """All mistakes of a processor, each with its file and line.

    It is caught by the name of every single mistake, because any of them may be inside.

    Attributes:
        faults: The mistakes in the order of the definitions.
    """

    code = "INVALID_DEFINITIONS"

    def __init__(self, processor: str, faults: tuple[Fault, ...]) -> None:
        count = "one mistake" if len(faults) == 1 else f"{len(faults)} mistakes"
        lines = "\n".join(f"  {fault}" for fault in faults)
        super().__init__(f"processor '{processor}' has {count}:\n{lines}")
        self.faults = faults


class MissingEnvVar(BaseOrcaException, ConfigError):
    """No source says where something is; the message lists the sources."""

    code = "MISSING_SETTING"
    exit_code = 2


class BadEnvVar(BaseOrcaException, ConfigError):
    """An environment variable has a wrong form."""

    code = "BAD_SETTING"
    exit_code = 2


class BadConfigFile(BaseOrcaException, ConfigError):
    """orca.json or .orca/core.json cannot be used; the message lists every fault."""

    code = "BAD_CONFIG_FILE"
    exit_code = 2


class ConversionError(BaseOrcaException, ValueError):
    """A value that the wire cannot carry.

    Attributes:
        path: Where in the value, such as ``$.readings[3]``.
    """

    code = "CONVERSION"

    def __init__(self, message: str, *, path: str = "$", hint: str = "") -> None:
        super().__init__(f"{path}: {message}", hint=hint)
        self.path = path


class ExecutionError(BaseOrcaException, RuntimeError):
    """An algorithm failed.

    Attributes:
        kind: One of ``wire.ERROR_KINDS``.
        details: All that is known: type, message, stack_trace, file, line, function, source.
    """

    code = "EXECUTION"

    def __init__(self, message: str, *, kind: str, details: dict[str, object], hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.kind = kind
        self.details = details


class CoreError(BaseOrcaException):
    """The core answered with an error.

    Attributes:
        status: The gRPC status name, such as ``NOT_FOUND``.
        details: What the core said.
    """

    code = "CORE"

    def __init__(self, message: str, *, status: str, details: str = "", hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.status = status
        self.details = details


class InvalidRequest(CoreError, ValueError):
    """The core refused the request's content."""

    code = "INVALID_REQUEST"


class NotFound(CoreError, LookupError):
    """The core knows nothing of that name or id."""

    code = "NOT_FOUND"


class AlreadyExists(CoreError):
    """Something else has that name."""

    code = "ALREADY_EXISTS"


class FailedPrecondition(CoreError):
    """The core's state does not allow it."""

    code = "FAILED_PRECONDITION"


class ResourceExhausted(CoreError):
    """A limit of the core is reached: size, rate or space."""

    code = "RESOURCE_EXHAUSTED"
    retryable = True


class NotAllowed(CoreError, PermissionError):
    """The token is missing, wrong, or has not the scope."""

    code = "NOT_ALLOWED"


class NotOffered(CoreError, NotImplementedError):
    """This core does not have that call."""

    code = "NOT_OFFERED"


class CoreUnreachable(BaseOrcaException, UnreachableError):
    """The core did not answer."""

    code = "CORE_UNREACHABLE"
    exit_code = 3


class CoreTimeout(BaseOrcaException, DeadlineError):
    """The core did not answer in time."""

    code = "CORE_TIMEOUT"
