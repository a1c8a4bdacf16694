"""The page of settings: environment variables found in the sources, fields of the core's settings, keys of files."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from dataclasses import MISSING, fields
from pathlib import Path, PurePath
from typing import Any

from orca.orchestrator.settings import CoreSettings, DatabaseUrl
from orca.processor.discovery import ProjectFile
from reference_text import code, first_line, table
from workspace_checks import MODULES, sources

__all__ = ["page", "variables_read"]

HEAD = """\
# Settings

What can be set from outside a program. Arguments in code come before all of them.

## Where the core is, and where a processor listens

The first source that says it counts: an argument, the environment, `orca.json`, `.orca/core.json` (written by
`orca start`), each file looked for from the working directory upwards.
"""
PROJECT = """\
The keys of `orca.json`:
"""
EXAMPLE = """\
```python
from orca.processor.discovery import find_core, find_processor

environ = {"ORCASERVER": "grpc://localhost:32770", "HOST": "172.18.0.1", "PORT": "50505"}
assert find_core(environ=environ).target == "localhost:32770"
place = find_processor(environ=environ)
assert (place.bind, place.advertise(50505)) == ("0.0.0.0:50505", "172.18.0.1:50505")
```

## The core

Fields of `orca.orchestrator.settings.CoreSettings`; each can be set by the variable beside it, and `orca start --help`
shows those that are options too.
"""
CORE_EXAMPLE = """\
```python
from orca.orchestrator.settings import from_environ

assert from_environ({"ORCA_CORE_PORT": "40000", "ORCA_CORE_SYNCHRONOUS": "NORMAL"}).port == 40_000
```
"""
OWN = """\
## Settings of your own programs

A class derived from `orca.common.config.Settings` reads its fields from arguments, `ORCA_` and the field's name in
capitals (another prefix is `env_prefix`), `.env` when asked for, the nearest `orca.json`, and `[tool.orca]` in
`pyproject.toml`; `explain()` says where each value came from. See
[settings](../topics/common-configuration.md).
"""

# What the variables mean, by the part that reads them. The sources say which there are: one that is missing here, or
# that nothing reads any more, is an error.
DISCOVERY = {
    "ORCA_CORE": "the core, `grpc://host:port` or `host:port`; `grpcs://` for TLS",
    "ORCASERVER": "the same, in the words of the first releases",
    "ORCA_TOKEN": "the bearer token towards the core",
    "PROCESSOR_ADDRESS": "`host:port` of the processor, as the core reaches it",
    "PROCESSOR_PORT": "the port, when `PROCESSOR_ADDRESS` is a host alone",
    "PROCESSOR_EXTERNAL_PORT": "another port than that for the core to dial",
    "HOST": "the processor's host, in the words of the first releases",
    "PORT": "the processor's port, in the words of the first releases",
    "ENV": "`production` asks for TLS",
    "ORCA_TLS_CA": "PEM file of certificates to trust",
    "ORCA_TLS_CERT": "PEM file of the own certificate",
    "ORCA_TLS_KEY": "PEM file of its key",
}
TASKS = {
    "ORCHESTRA_TASK_RUN_ID": "the task run; set by the platform",
    "ORCHESTRA_WEBHOOK_URL": "where events go; the public address when it is not set",
    "ORCHESTRA_API_KEY": "the API key, when the program gives none",
    "ORCHESTRA_API_URL": "the platform API, for questions whether a task was cancelled",
    "ORCHESTRA_SPOOL_DIR": "the outbox; else `orchestra` in the user's state folder",
    "ORCHESTRA_TERMINAL_BUDGET_S": "`orchestra run`: seconds to wait for the acknowledgement of the final status",
    "ORCHESTRA_OUTPUT": "set by `orchestra run`: the file into which the program writes `name=value` lines",
    "ORCHESTRA_STATUS_FILE": "set by `orchestra run`: where a decorated function inside leaves its own final status",
    "ORCHESTRA_WRAPPED_TASK_RUN_ID": "set by `orchestra run`: the task run that it reports already",
    "XDG_STATE_HOME": "the user's state folder; `~/.local/state` when it is not set",
    "HTTP_PROXY": "the proxy for `http://` addresses; also in small letters, and `ALL_PROXY` for both",
    "HTTPS_PROXY": "the proxy for `https://` addresses",
    "NO_PROXY": "hosts that are reached without a proxy",
    "SSL_CERT_FILE": "PEM file of certificates to trust; also `REQUESTS_CA_BUNDLE` and `CURL_CA_BUNDLE`",
    "SSL_CERT_DIR": "folder of such files",
}
COMMANDS = {
    "NO_COLOR": "any value turns colour off",
    "TERM": "`dumb` turns colour off",
    "ORCA_DEBUG": "any value adds the traceback to errors",
    "SHELL": "the shell that completion is printed for, unless one is named",
    "ORCA_FAILPOINT": "for tests: ends the core at a named place, as `accept.after_commit:exit9`",
}
# Texts in capitals that look like variables: codes of errors, an XML namespace, a constant's name; what CGI sets.
NOT_VARIABLES = {"ORCA_ERROR", "ORCHESTRA_ERROR", "ORCA_NAMESPACE", "REQUEST_METHOD", "no_proxy"}
# Names that are put together where they are read, so that the sources do not spell them.
COMPOSED = {
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "ORCA_TLS_CA",
    "ORCA_TLS_CERT",
    "ORCA_TLS_KEY",
}
SHAPE = re.compile(r"(ORCASERVER|(ORCA|ORCHESTRA|PROCESSOR)_[A-Z][A-Z0-9_]*[A-Z0-9])")
ENVIRONMENTS = {"env", "environ", "getenv"}


def page(root: Path) -> str:
    """The whole page.

    Raises:
        SystemExit: The sources read a variable that is not described here, or the other way round.
    """
    _compare(variables_read(root))
    lines = [HEAD, *_described(DISCOVERY), "", PROJECT, *_project(), "", EXAMPLE, *_core(), "", CORE_EXAMPLE]
    lines += ["## Tasks\n", *_described(TASKS)]
    lines += ["| `<INTEGRATION>__<CONNECTION_ID>__<FIELD>` | linked connections; set by the platform |", ""]
    return "\n".join([*lines, "## All commands\n", *_described(COMMANDS), "", OWN]).rstrip() + "\n"


def _described(variables: dict[str, str]) -> list[str]:
    return table(("variable", "meaning"), [(code(name), meaning) for name, meaning in variables.items()])


def _compare(found: dict[str, str]) -> None:
    known = {**DISCOVERY, **TASKS, **COMMANDS}
    core = {f"ORCA_CORE_{entry.name.upper()}" for entry in fields(CoreSettings)}
    faults = [
        f"{place}: reads {name}, which tests/support/reference_settings.py does not describe"
        for name, place in found.items()
        if name not in {*known, *core, *NOT_VARIABLES} and not name.endswith("_")
    ]
    unread = set(known) - set(found) - COMPOSED
    faults += [f"{name} is described, and nothing reads it" for name in sorted(unread)]
    faults += [
        f"{place}: puts names together that begin with {name}, and none of them is described"
        for name, place in found.items()
        if name.endswith("_") and not any(one.startswith(name) for one in known)
    ]
    if faults:
        raise SystemExit("\n".join(faults))


def variables_read(root: Path) -> dict[str, str]:
    """Environment variables that the sources name, each with one place; a name that is put together ends in ``_``."""
    found: dict[str, str] = {}
    for package in MODULES:
        if package == "compat":  # its names are those of the published package's attributes
            continue
        for path, tree in sources(root, package):
            for line, name in _names(tree):
                found.setdefault(name, f"{path.relative_to(root)}:{line}")
    return found


def _names(tree: ast.Module) -> Iterator[tuple[int, str]]:
    docs = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docs:
            if SHAPE.fullmatch(node.value) and not _is_exported(tree, node):
                yield node.lineno, node.value
        elif isinstance(node, ast.JoinedStr) and node.values and isinstance(node.values[0], ast.Constant):
            prefix = str(node.values[0].value)
            if SHAPE.fullmatch(prefix.rstrip("_")) and prefix.endswith("_") and prefix != "ORCA_CORE_":
                yield node.lineno, prefix
        yield from _of_environment(node)


def _is_exported(tree: ast.Module, wanted: ast.Constant) -> bool:
    """Whether a text stands in ``__all__``."""
    return any(
        isinstance(node, ast.Assign)
        and any(isinstance(target, ast.Name) and target.id == "__all__" for target in node.targets)
        and any(one is wanted for one in ast.walk(node.value))
        for node in tree.body
    )


def _of_environment(node: ast.AST) -> Iterator[tuple[int, str]]:
    """``environ.get("X")``, ``environ["X"]`` and ``"X" in environ``, whatever the variable is called."""
    asked: list[ast.expr] = []
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args:
        if node.func.attr in ("get", "getenv") and _is_environment(node.func):
            asked = [node.args[0]]
    elif isinstance(node, ast.Subscript) and _is_environment(node.value):
        asked = [node.slice]
    elif isinstance(node, ast.Compare) and any(_is_environment(one) for one in node.comparators):
        asked = [node.left]
    for one in asked:
        if isinstance(one, ast.Constant) and isinstance(one.value, str):
            yield one.lineno, one.value


def _is_environment(node: ast.expr) -> bool:
    names = {one.id for one in ast.walk(node) if isinstance(one, ast.Name)}
    names |= {one.attr for one in ast.walk(node) if isinstance(one, ast.Attribute)}
    return bool(names & ENVIRONMENTS)


def _attributes(kind: type) -> dict[str, str]:
    """What a class says of its attributes in its docstring."""
    text = inspect.cleandoc(kind.__doc__ or "").partition("Attributes:")[2]
    found: dict[str, str] = {}
    name = ""
    for line in text.splitlines():
        begun = re.fullmatch(r" {4}(\w+): (.*)", line)
        if begun:
            name = begun[1]
            found[name] = begun[2]
        elif name and line.startswith(" " * 8):
            found[name] += f" {line.strip()}"
        elif line.strip():
            break
    return {name: first_line(said) for name, said in found.items()}


def _core() -> list[str]:
    said = _attributes(CoreSettings)
    rows = []
    for entry in fields(CoreSettings):
        default = entry.default if entry.default is not MISSING else entry.default_factory()  # type: ignore[misc]
        shown, settable = _default(default)
        variable = code(f"ORCA_CORE_{entry.name.upper()}") if settable else "in code only"
        rows.append((code(entry.name), variable, shown, said[entry.name]))
    return table(("field", "variable", "default", "meaning"), rows)


def _default(value: Any) -> tuple[str, bool]:
    """A default as it is shown, and whether a variable can set it."""
    if isinstance(value, PurePath):
        return code(value.as_posix()), True
    if isinstance(value, DatabaseUrl):
        return code(value) if value else "", True
    if isinstance(value, bool):
        return "on" if value else "off", True
    if isinstance(value, (int, float)):
        return code(f"{value:_}"), True
    if isinstance(value, (str, tuple)):
        return code(value) if value else "", True
    return code(value), False


def _project() -> list[str]:
    said = _attributes(ProjectFile)
    rows = []
    for line in said.values():
        key = re.match(r"`(\w+)`(.*)", line)
        if key:
            rows.append((code(key[1]), KEYS[key[1]]))
    return table(("key", "meaning"), rows)


KEYS = {
    "projectName": "the project that the processor belongs to",
    "orcaConnectionString": "the core",
    "processorPort": "the port to bind",
    "processorConnectionString": "what the core is told",
}
