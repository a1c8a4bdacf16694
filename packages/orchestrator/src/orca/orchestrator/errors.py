"""What the orchestrator raises.

OrcaError
├── PlanError           registrations that cannot become a DAG; ``problems`` lists all of them
├── InvalidFieldError   a request with wrong fields; ``faults`` lists all of them
├── NotFoundError       also LookupError
├── ConflictError       the thing exists already in another form
├── AccessError         also PermissionError: wrong or missing token, or a network that may not be dialled
├── StoreError
│   ├── StoreFullError      no space left; what was accepted stays accepted
│   ├── StoreNewerError     written by a newer version: refused, untouched
│   ├── FencedError         a result of an attempt that no longer holds its run
│   └── OutdatedPlanError   registrations changed elsewhere since the window was planned
├── LimitError          a named bound was reached
└── RunningError        another core holds this folder
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from orca.common.errors import OrcaError

__all__ = [
    "AccessError",
    "ConflictError",
    "FencedError",
    "FieldFault",
    "InvalidFieldError",
    "LimitError",
    "NotFoundError",
    "OutdatedPlanError",
    "PlanError",
    "Problem",
    "RunningError",
    "StoreError",
    "StoreFullError",
    "StoreNewerError",
]


@dataclass(frozen=True, slots=True)
class Problem:
    """One reason why registrations cannot be planned.

    Attributes:
        kind: ``cycle``, ``missing``, ``ambiguous``, ``version``, ``cross-window-type``, ``window-type`` or
            ``duplicate``.
        message: Both sides by name, and the path where there is one.
        algorithm: The algorithm that has the problem, as ``Name_1.0.0``.
    """

    kind: str
    message: str
    algorithm: str = ""


class PlanError(OrcaError, ValueError):
    """Registrations that cannot become a DAG.

    Attributes:
        problems: All of them, not only the first.
    """

    code: ClassVar[str] = "PLAN"

    def __init__(self, problems: tuple[Problem, ...], *, hint: str = "") -> None:
        super().__init__("; ".join(problem.message for problem in problems), hint=hint)
        self.problems = problems


@dataclass(frozen=True, slots=True)
class FieldFault:
    """One wrong field of a request."""

    field: str
    description: str


class InvalidFieldError(OrcaError, ValueError):
    """A request whose fields break a rule.

    Attributes:
        faults: Every wrong field, with the rule.
    """

    code: ClassVar[str] = "INVALID_FIELD"
    exit_code: ClassVar[int] = 2

    def __init__(self, faults: tuple[FieldFault, ...], *, hint: str = "") -> None:
        super().__init__("; ".join(f"{fault.field}: {fault.description}" for fault in faults), hint=hint)
        self.faults = faults


class NotFoundError(OrcaError, LookupError):
    """What was asked for is not in the store."""

    code: ClassVar[str] = "NOT_FOUND"


class ConflictError(OrcaError):
    """The thing exists already, in another form, or its state forbids the step."""

    code: ClassVar[str] = "CONFLICT"


class AccessError(OrcaError, PermissionError):
    """A missing, wrong or too narrow token, or a network that may not be dialled."""

    code: ClassVar[str] = "ACCESS"


class LimitError(OrcaError):
    """A named bound was reached; nothing was stored."""

    code: ClassVar[str] = "LIMIT"
    retryable: ClassVar[bool] = True


class StoreError(OrcaError):
    """The store could not do what it was asked."""

    code: ClassVar[str] = "STORE"


class StoreFullError(StoreError):
    """No space is left; what was acknowledged before stays, reads go on."""

    code: ClassVar[str] = "STORE_FULL"
    retryable: ClassVar[bool] = True


class StoreNewerError(StoreError):
    """The store was written by a newer version; it was not touched."""

    code: ClassVar[str] = "STORE_NEWER"


class FencedError(StoreError):
    """The run is held by a newer attempt or another replica; the late result was refused."""

    code: ClassVar[str] = "FENCED"


class OutdatedPlanError(StoreError):
    """Another replica took a registration since the window was planned; the core plans it again."""

    code: ClassVar[str] = "OUTDATED_PLAN"
    retryable: ClassVar[bool] = True


class RunningError(OrcaError):
    """Another core holds this folder."""

    code: ClassVar[str] = "RUNNING"
