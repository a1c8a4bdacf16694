"""The pages of names: every public name of every module, with its parameters and its first line."""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
from enum import Enum
from pathlib import Path
from types import FunctionType, GenericAlias
from typing import Any

from reference_text import code, doc_of, first_line, table
from workspace_checks import MODULES, owner

__all__ = ["pages", "public_modules"]

INDEX = """\
# Names

The public names of every package. Names are public when they stand in a module's `__all__` and no part of the module's
name begins with an underscore; `help(name)` says everything.

```python
from orca.processor import Processor
from orca.statemachine import OrcaMachine
from orchestra.sdk import OrchestraSDK
```
"""
PAGE = """\
# Names of orca-{package}

{summary}

Each name stands where it is defined first; a module that hands on names of others lists them below its table.
"""
DEFAULT_CHARS_MAX = 40
VALUE_CHARS_MAX = 90


def public_modules(package: str) -> list[str]:
    """The names of a package's public modules, the roots first."""
    found: list[str] = []
    for root in MODULES[package]:
        module = importlib.import_module(root)
        inner = pkgutil.walk_packages(module.__path__, f"{root}.")
        names = (one.name for one in inner if not one.name.endswith("__main__"))
        found += [root, *sorted(name for name in names if not _private(name))]
    return found


def _private(name: str) -> bool:
    return any(part.startswith("_") for part in name.split("."))


def pages(root: Path) -> dict[str, str]:
    """The index and one page for each package, by the name of the file."""
    found = {f"names-{package}.md": _page(root, package) for package in MODULES}
    lines = [INDEX]
    for package in MODULES:
        lines.append(f"## [orca-{package}](names-{package}.md)\n")
        rows = [(code(name), _module_line(name)) for name in public_modules(package)]
        lines += [*table(("module", "what it is"), rows), ""]
    return {"names.md": "\n".join(lines).rstrip() + "\n", **found}


def _module_line(name: str) -> str:
    return first_line(importlib.import_module(name).__doc__)


def _page(root: Path, package: str) -> str:
    places: set[str] = set()
    sections: list[str] = []
    reader = _Sources(root)
    for name in public_modules(package):
        module = importlib.import_module(name)
        public = sorted(getattr(module, "__all__", ()), key=lambda one: (one.lower(), one))
        own, others = [], []
        for one in public:
            value = getattr(module, one)
            place = f"{id(value)} {one}"  # small numbers are one object wherever they stand
            if place in places:
                others.append(one)
                continue
            places.add(place)
            own.append((_written(one, value), _line(reader, name, one, value)))
        if not own and not others:
            continue
        sections += [f"## {name}\n", f"{_module_line(name)}\n", *table(("name", ""), own)]
        sections += [""] if own else []
        sections += [f"Also here: {', '.join(map(code, others))}.\n"] if others else []
    summary = " ".join(_module_line(one) for one in MODULES[package])
    return PAGE.format(package=package, summary=summary) + "\n" + "\n".join(sections).rstrip() + "\n"


def _written(name: str, value: Any) -> str:
    """A name as a call is written, where it is one."""
    return code(f"{name}{_parameters(value)}")


def _parameters(value: Any) -> str:
    function = _constructor(value) if isinstance(value, type) else value
    if not isinstance(function, FunctionType):
        return ""
    parameters = list(inspect.signature(function).parameters.values())
    shown = parameters[1:] if isinstance(value, type) else parameters
    bare = [
        one.replace(annotation=one.empty, default=_default(one.default))
        for one in shown
        if not one.name.startswith("_")
    ]
    return str(inspect.Signature(bare))


def _constructor(kind: type) -> Any:
    """The constructor that a class of ours has; enumerations, errors and protocols are not called like that."""
    if issubclass(kind, (Enum, BaseException)) or getattr(kind, "_is_protocol", False):
        return None
    own = (one for one in kind.__mro__ if owner(str(one.__module__)) and "__init__" in one.__dict__)
    return next((one.__dict__["__init__"] for one in own), None)


class _Shown:
    """A default that prints as given."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return self.text


def _default(value: Any) -> Any:
    if value is inspect.Parameter.empty:
        return value
    if isinstance(value, Enum):
        return _Shown(f"{type(value).__name__}.{value.name}")
    plain = value is None or isinstance(value, (bool, int, float, str)) or value in ((), [], {})
    return value if plain and len(repr(value)) <= DEFAULT_CHARS_MAX else _Shown("...")


def _line(reader: _Sources, module: str, name: str, value: Any) -> str:
    descriptor = getattr(value, "DESCRIPTOR", None)
    if descriptor is not None and hasattr(descriptor, "full_name"):
        kind = "Message" if isinstance(value, type) else "Values"
        return f"{kind} `{descriptor.full_name}` of the wire."
    # On Python 3.10 an alias such as `tuple[int, str]` passes for a class.
    kinds = (type, FunctionType)
    if isinstance(value, kinds) and not isinstance(value, GenericAlias) and doc_of(value):
        return doc_of(value)
    return reader.said_of(module, name)


class _Sources:
    """What stands in the sources beside constants and aliases: the text below or the comment above."""

    def __init__(self, root: Path) -> None:
        self.folders = sorted(root.glob("packages/*/src"))
        self.trees: dict[str, tuple[ast.Module, list[str]]] = {}

    def said_of(self, module: str, name: str) -> str:
        """The first line about a name, followed to where it is assigned."""
        for _ in range(8):  # as many modules hand it on
            read = self._read(module)
            if read is None:
                return ""
            tree, lines = read
            said, source = _find(tree, lines, name)
            if source is None:
                return said
            module, name = source
        return ""

    def _read(self, module: str) -> tuple[ast.Module, list[str]] | None:
        if module not in self.trees:
            bases = [folder.joinpath(*module.split(".")) for folder in self.folders]
            paths = [path for base in bases for path in (base / "__init__.py", base.with_suffix(".py"))]
            found = next((path for path in paths if path.exists()), None)
            if found is None:
                return None
            text = found.read_text("utf-8")
            self.trees[module] = ast.parse(text), text.splitlines()
        return self.trees[module]


def _find(tree: ast.Module, lines: list[str], name: str) -> tuple[str, tuple[str, str] | None]:
    """What is said of a name in a module, or the module and name that it comes from."""
    body = [inner for node in tree.body for inner in (node.body if isinstance(node, ast.If) else [node])]
    for node, after in zip(body, [*body[1:], None], strict=True):
        if isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                if (alias.asname or alias.name) == name:
                    return "", (node.module, alias.name)
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and node.name == name:
            return first_line(ast.get_docstring(node)), None
        if isinstance(node, (ast.Assign, ast.AnnAssign)) and name in _assigned(node):
            return _beside(node, after, lines), None
    return "", None


def _assigned(node: ast.Assign | ast.AnnAssign) -> list[str]:
    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
    return [target.id for target in targets if isinstance(target, ast.Name)]


def _beside(node: ast.Assign | ast.AnnAssign, after: ast.stmt | None, lines: list[str]) -> str:
    """The text below an assignment, or else the comment above it, or else what is assigned when it is short."""
    if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant):
        return first_line(str(after.value.value))
    above: list[str] = []
    for line in reversed(lines[: node.lineno - 1]):
        if not line.startswith("#") or line.startswith("# ---"):
            break
        above.insert(0, line.lstrip("#: "))
    if above:
        return first_line(" ".join(above))
    source = "" if node.value is None else ast.get_source_segment("\n".join(lines), node.value) or ""
    short = " ".join(source.split())
    return code(short) if short and len(short) <= VALUE_CHARS_MAX and "`" not in short else ""
