from __future__ import annotations

import pytest

from orca.common import errors
from orca.common.errors import ConfigError, DeadlineError, OrcaError, UnreachableError, UsageError


def test_an_error_says_what_happened_and_what_helps() -> None:
    error = OrcaError("the store is newer", hint="upgrade orca-orchestrator")
    assert str(error) == "the store is newer\n  hint: upgrade orca-orchestrator"
    assert (error.message, error.hint) == ("the store is newer", "upgrade orca-orchestrator")
    assert str(OrcaError("plain")) == "plain"


@pytest.mark.parametrize(
    ("kind", "builtin", "code", "retryable", "exit_code"),
    [
        (OrcaError, Exception, "ORCA_ERROR", False, 1),
        (UsageError, ValueError, "USAGE", False, 2),
        (ConfigError, ValueError, "CONFIG", False, 2),
        (UnreachableError, ConnectionError, "UNREACHABLE", True, 3),
        (DeadlineError, TimeoutError, "DEADLINE", True, 1),
    ],
)
def test_each_error_is_also_what_a_caller_would_catch(
    kind: type[OrcaError], builtin: type[Exception], code: str, retryable: bool, exit_code: int
) -> None:
    error = kind("x")
    assert isinstance(error, OrcaError)
    assert isinstance(error, builtin)
    assert (kind.code, kind.retryable, kind.exit_code) == (code, retryable, exit_code)


def test_every_public_error_stands_in_the_tree_of_the_module() -> None:
    assert errors.__doc__ is not None
    for name in errors.__all__:
        assert name in errors.__doc__
