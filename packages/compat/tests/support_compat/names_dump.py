"""Print the public names of packages as JSON, by dotted name: functions and methods with parameters, the rest by kind.

It runs in environments that hold a published release, so it uses the standard library only.
"""

from __future__ import annotations

import ast
import enum
import importlib
import inspect
import json
import pkgutil
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

NO_DEFAULT = "required"


def shown(value: Any) -> str:
    """A default as text that does not depend on where it lies in memory."""
    if isinstance(value, enum.Enum):
        return f"{type(value).__name__}.{value.name}"
    if value is None or isinstance(value, (bool, int, float, str, tuple, list, dict)):
        return repr(value)
    return type(value).__name__


def parameters(value: Any, *, bound: bool) -> list[list[str]] | None:
    """Name, kind and default of each parameter; None when there is no signature."""
    try:
        found = list(inspect.signature(value).parameters.values())
    except (TypeError, ValueError):
        return None
    return [
        [one.name, one.kind.name, NO_DEFAULT if one.default is one.empty else shown(one.default)]
        for one in (found[1:] if bound else found)
    ]


def assigned(module: ModuleType) -> set[str]:
    """What the module itself assigns, for constants and aliases do not know where they come from."""
    tree = ast.parse(Path(str(module.__file__)).read_text("utf-8"))
    targets = [
        target
        for node in tree.body
        if isinstance(node, (ast.Assign, ast.AnnAssign))
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
    ]
    return {target.id for target in targets if isinstance(target, ast.Name)}


def describe(value: Any) -> dict[str, Any]:
    """What can be done with a name."""
    if isinstance(value, type):
        return {"kind": "class", "parameters": class_parameters(value)}
    if inspect.isroutine(value):
        return {"kind": "function", "parameters": parameters(value, bound=False)}
    return constant(value)


def constant(value: Any) -> dict[str, Any]:
    """A value, with what it is where that can be said in one word."""
    plain = isinstance(value, (bool, int, float, str)) and not isinstance(value, enum.Enum)
    return {"kind": "value", "value": repr(value)} if plain else {"kind": "value"}


def class_parameters(value: type) -> list[list[str]] | None:
    """The parameters of a constructor, where the class has one of its own."""
    if issubclass(value, enum.Enum) or ("_is_protocol" in vars(value) and vars(value)["_is_protocol"]):
        return None
    init = value.__init__  # type: ignore[misc]
    if not inspect.isfunction(init):
        return None
    return parameters(init, bound=True)


def members(name: str, value: type) -> dict[str, dict[str, Any]]:
    """Public methods, properties and values of a class, inherited ones of the same package included."""
    found: dict[str, dict[str, Any]] = {}
    root = value.__module__.split(".")[0]
    for base in reversed(value.__mro__):
        if base.__module__.split(".")[0] != root:
            continue
        for key, raw in vars(base).items():
            if not key.startswith("_"):
                found[f"{name}.{key}"] = member(value, key, raw)
        for key in getattr(base, "__annotations__", {}):
            if not key.startswith("_"):
                found[f"{name}.{key}"] = {"kind": "value"}
    return found


def member(holder: type, key: str, raw: Any) -> dict[str, Any]:
    """One entry of a class."""
    if issubclass(holder, enum.Enum) and key in holder.__members__:
        return constant(holder.__members__[key].value)
    if isinstance(raw, staticmethod):
        return {"kind": "function", "parameters": parameters(raw.__func__, bound=False)}
    if isinstance(raw, classmethod):
        return {"kind": "function", "parameters": parameters(raw.__func__, bound=True)}
    if inspect.isfunction(raw):
        return {"kind": "function", "parameters": parameters(raw, bound=True)}
    return {"kind": "value"}


def dump(root: str) -> dict[str, dict[str, Any]]:
    """Everything public below a package."""
    package = importlib.import_module(root)
    modules = {root: package}
    for info in pkgutil.walk_packages(package.__path__, f"{root}."):
        if not any(part.startswith("_") for part in info.name.split(".")):
            modules[info.name] = importlib.import_module(info.name)
    found: dict[str, dict[str, Any]] = {}
    for name, module in modules.items():
        found[name] = {"kind": "module"}
        own = assigned(module)
        listed = set(getattr(module, "__all__", ()))
        for key, value in vars(module).items():
            made_here = str(getattr(value, "__module__", "")).split(".")[0] == root
            if key.startswith("_") or isinstance(value, ModuleType):
                continue
            if key in own or key in listed or made_here:
                found[f"{name}.{key}"] = describe(value)
                if isinstance(value, type) and made_here:
                    found |= members(f"{name}.{key}", value)
    return found


def ask(names: list[str]) -> dict[str, dict[str, Any]]:
    """What these names are here: attribute by attribute, so that it does not matter how they came to be there."""
    found: dict[str, dict[str, Any]] = {}
    for name in names:
        parts = name.split(".")
        for cut in range(len(parts), 0, -1):
            try:
                value: Any = importlib.import_module(".".join(parts[:cut]))
            except ImportError:
                continue
            break
        else:
            continue
        holder: Any = None
        for part in parts[cut:]:
            holder = value
            if not hasattr(value, part) and part not in annotated(value):
                break
            value = (
                inspect.getattr_static(value, part, None) if isinstance(value, type) else getattr(value, part)
            )
        else:
            if cut == len(parts):
                found[name] = {"kind": "module"}
            else:
                held = isinstance(holder, type)
                found[name] = member(holder, parts[-1], value) if held else describe(value)
    return found


def annotated(value: Any) -> set[str]:
    """Fields that instances have and the class does not, and what constructors set."""
    if not isinstance(value, type):
        return set()
    found = {key for base in value.__mro__ for key in getattr(base, "__annotations__", {})}
    for base in value.__mro__:
        found |= {slot for slot in getattr(base, "__slots__", ()) if isinstance(slot, str)}
    return found


def main() -> None:
    """``dump PACKAGE`` or, with names as JSON on standard input, ``ask``."""
    found = ask(json.load(sys.stdin)) if sys.argv[1] == "ask" else dump(sys.argv[2])
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()
