"""Where settings come from: variables, ``.env``, ``orca.json`` and ``pyproject.toml``, each with its line.

The standard parsers give values without places, so the places are found by a second, forgiving pass over the
text: it only has to be right about documents that the real parser has accepted.
"""

from __future__ import annotations

import json
import re
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

if sys.version_info >= (3, 11):
    import tomllib
else:  # pragma: no cover  one interpreter takes one of the two
    import tomli as tomllib

__all__ = ["FILE_SIZE_MAX", "Document", "find_upwards", "read_dotenv", "read_json", "read_pyproject"]

#: A settings file of more bytes than this is refused: it is something else.
FILE_SIZE_MAX = 1_000_000

KeyPath = tuple[str, ...]

_JSON_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\]:,]')
_DOTENV_LINE = re.compile(r"(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=\s*(.*)")
_TOML_HEADER = re.compile(r"\s*\[\[?\s*([^\[\]]+?)\s*\]\]?\s*(?:#.*)?$")
_TOML_KEY = re.compile(
    r"""\s*((?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*')(?:\s*\.\s*(?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*'))*)\s*="""
)


@dataclass(frozen=True, slots=True)
class Document:
    """What one file says, and where.

    Attributes:
        path: The file.
        values: What it says, as nested dictionaries.
        lines: The line of each key, by its path from the top, counted from 1.
        faults: What is wrong with the file itself, each naming file and line.
    """

    path: Path
    values: Mapping[str, Any] = field(default_factory=dict[str, Any])
    lines: Mapping[KeyPath, int] = field(default_factory=dict[KeyPath, int])
    faults: tuple[str, ...] = ()

    def place(self, keys: KeyPath) -> str:
        """Return ``file:line`` of a key, or of the nearest key around it."""
        for end in range(len(keys), 0, -1):
            line = self.lines.get(keys[:end])
            if line is not None:
                return f"{self.path}:{line}"
        return str(self.path)

    def section(self, keys: KeyPath) -> Mapping[str, Any]:
        """Return the dictionary at a path; empty when there is none."""
        values: Any = self.values
        for key in keys:
            values = cast("Mapping[str, Any]", values).get(key) if isinstance(values, dict) else None
        return cast("Mapping[str, Any]", values) if isinstance(values, dict) else {}


def find_upwards(name: str, start: Path) -> Iterator[Path]:
    """Yield the files called ``name`` in ``start`` and its parents, the nearest first."""
    for folder in (start, *start.parents):
        path = folder / name
        if path.is_file():
            yield path


def read_json(path: Path) -> Document:
    """Read a JSON file whose top is an object."""
    text, fault = _read(path)
    if fault:
        return Document(path, faults=(fault,))
    try:
        values: object = json.loads(text)
    except json.JSONDecodeError as error:
        return Document(path, faults=(f"{path}:{error.lineno}: not JSON: {error.msg}",))
    except RecursionError:
        return Document(path, faults=(f"{path}: nested too deeply",))
    except ValueError as error:  # a number of thousands of digits
        return Document(path, faults=(f"{path}: {error}",))
    if not isinstance(values, dict):
        return Document(path, faults=(f"{path}:1: give an object: {{...}}",))
    return Document(path, cast("dict[str, Any]", values), dict(_json_lines(text)))


def read_pyproject(path: Path) -> Document:
    """Read the table ``[tool.orca]`` of a ``pyproject.toml``; its keys are the top of the document."""
    text, fault = _read(path)
    if fault:
        return Document(path, faults=(fault,))
    try:
        values: dict[str, Any] = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # TOMLDecodeError is one, and so are too many digits
        return Document(path, faults=(f"{path}: not TOML: {error}",))
    lines = {keys[2:]: line for keys, line in _toml_lines(text) if keys[:2] == ("tool", "orca")}
    return Document(path, Document(path, values).section(("tool", "orca")), lines)


def read_dotenv(path: Path) -> Document:
    """Read ``NAME=value`` lines; quotes around a value are taken off, ``#`` begins a comment line."""
    text, fault = _read(path)
    if fault:
        return Document(path, faults=(fault,))
    values: dict[str, str] = {}
    lines: dict[KeyPath, int] = {}
    faults: list[str] = []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        match = _DOTENV_LINE.fullmatch(line.strip())
        if match is None:
            # The line itself may hold a secret, so it is not shown.
            faults.append(f"{path}:{number}: give NAME=value")
            continue
        name, value = match.groups()
        if len(value) > 1 and value[0] == value[-1] and value[0] in "'\"":
            value = value[1:-1]
        else:
            value = re.split(r"\s#", value, maxsplit=1)[0].rstrip()
        values[name] = value
        lines[(name,)] = number
    return Document(path, values, lines, tuple(faults))


def _read(path: Path) -> tuple[str, str]:
    """Return a file's text and what is wrong with it."""
    try:
        if path.stat().st_size > FILE_SIZE_MAX:
            return "", f"{path}: more than {FILE_SIZE_MAX} bytes"
        return path.read_text(encoding="utf-8"), ""
    except UnicodeDecodeError as error:
        return "", f"{path}: not UTF-8 at byte {error.start}"
    except OSError as error:
        return "", f"{path}: {error.strerror}"


def _json_lines(text: str) -> Iterator[tuple[KeyPath, int]]:
    """Yield the path and line of each object key in a valid JSON text; keys inside arrays are left out."""
    path: list[str | None] = []  # the key that each open object or array is the value of
    key: str | None = None
    line, seen = 1, 0
    last = ""
    for match in _JSON_TOKEN.finditer(text):
        mark = match.group()
        line += text.count("\n", seen, match.start())
        seen = match.start()
        if mark in "{[":
            path.append(key if mark == "{" else None)
            key = None
        elif mark in "}]":
            path.pop()
        elif mark == ":":
            key = json.loads(last)
            keys = [*path[1:], key]
            if None not in keys:
                yield tuple(cast("list[str]", keys)), line
        elif mark == ",":
            key = None
        last = mark


def _toml_lines(text: str) -> Iterator[tuple[KeyPath, int]]:
    """Yield the path and line of each table and key in a valid TOML text."""
    table: KeyPath = ()
    for number, line in enumerate(text.splitlines(), start=1):
        header = _TOML_HEADER.match(line)
        if header:
            table = _toml_path(header.group(1))
            yield table, number
            continue
        key = _TOML_KEY.match(line)
        if key:
            yield (*table, *_toml_path(key.group(1))), number


def _toml_path(dotted: str) -> KeyPath:
    return tuple(part.strip("\"'") for part in re.findall(r"[A-Za-z0-9_-]+|\"[^\"]*\"|'[^']*'", dotted))
