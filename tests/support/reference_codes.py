"""The page of codes: errors with their builtins and exit codes, and the findings of the state machine language."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from pathlib import Path

from orca.common.errors import OrcaError
from orca.statemachine.catalogue import entries
from orca.statemachine.codes import LOAD_CODES
from orca.statemachine.verify import VERIFY_CODES
from reference_text import code, doc_of, table
from workspace_checks import MODULES, owner

__all__ = ["page"]

HEAD = """\
# Error and diagnostic codes

Every error that these packages raise on purpose derives from `orca.common.errors.OrcaError` and from the builtin that a
caller would catch. It has a `code`, a `hint` that says what to do, `retryable`, and the exit code that a command ends
with.

```python
from orca.common.errors import OrcaError, UnreachableError

error = UnreachableError("nobody answers", hint="start it: orca start")
assert isinstance(error, OrcaError) and isinstance(error, ConnectionError)
assert (error.code, error.retryable, error.exit_code) == ("UNREACHABLE", True, 3)
```
"""
FINDINGS = """\
## Findings of state machines

`orca machine explain CODE` says what each means, with a text that yields it and the same text mended; the same stands
in [diagnostics](statemachine-diagnostics.md).
"""


def page(root: Path) -> str:
    """The whole page."""
    lines = [HEAD]
    for package in MODULES:
        rows = [_row(kind) for kind in _errors(package)]
        if rows:
            heads = ("code", "class", "also", "exit", "again", "meaning")
            lines += [f"## Errors of {MODULES[package][0]}\n", *table(heads, rows), ""]
    lines.append(FINDINGS)
    for title, codes in (("While a text is read", LOAD_CODES), ("By the verifier", VERIFY_CODES)):
        known = entries()
        rows_ = [(code(one), severity, known[one].title) for one, severity in codes.items()]
        lines += [f"### {title}\n", *table(("code", "severity", "meaning"), rows_), ""]
    return "\n".join(lines).rstrip() + "\n"


def _errors(package: str) -> list[type[OrcaError]]:
    """The errors that a package defines, wherever they stand: a user meets their codes."""
    for root in MODULES[package]:
        module = importlib.import_module(root)
        for one in pkgutil.walk_packages(module.__path__, f"{root}."):
            if not one.name.endswith("__main__"):
                importlib.import_module(one.name)
    found = {kind.__qualname__: kind for kind in _below(OrcaError) if owner(kind.__module__) == package}
    return sorted(found.values(), key=lambda kind: (kind.code, kind.__name__))


def _below(kind: type[OrcaError]) -> Iterator[type[OrcaError]]:
    yield kind
    for inner in kind.__subclasses__():
        yield from _below(inner)


def _row(kind: type[OrcaError]) -> tuple[str, ...]:
    builtin = [one.__name__ for one in kind.__mro__ if one.__module__ == "builtins" and one is not object]
    also = next((one for one in builtin if one not in ("Exception", "BaseException")), "")
    again = "yes" if kind.retryable else "no"
    return (
        code(kind.code),
        code(kind.__name__),
        code(also) if also else "",
        str(kind.exit_code),
        again,
        doc_of(kind),
    )
