"""Python modules that name what a core knows: window types, metadata fields, and algorithms of other processors.

The text depends on nothing but the core's answer, sorted; names that are no Python identifiers become some, and all
texts are written as escaped literals, so that nothing a processor calls itself can become code.
"""

from __future__ import annotations

import keyword
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from orca.processor.model import MetadataField, WindowType
    from orca.processor.specs import AlgorithmSpec, ProcessorSpec

__all__ = ["RemoteStub", "identifier", "render", "write"]

HEADER = (
    '"""{}\n\nWritten by `orca sync`: do not edit, run it again.\n"""\n\nfrom __future__ import annotations\n'
)


class RemoteStub:
    """Stands for an algorithm of another processor in ``depends_on``, ``Dep`` and ``get_result``.

    Args:
        Name: The algorithm's name.
        Version: The algorithm's version.
        ProcessorName: Who runs it.
        ProcessorRuntime: What that processor runs on.
    """

    __orca_is_remote__ = True

    def __init__(self, *, Name: str, Version: str, ProcessorName: str, ProcessorRuntime: str) -> None:  # noqa: N803 - the published keys
        self.__orca_metadata__ = {
            "Name": Name,
            "Version": Version,
            "ProcessorName": ProcessorName,
            "ProcessorRuntime": ProcessorRuntime,
        }
        self.__name__ = f"{Name}_{Version}"

    def __repr__(self) -> str:
        return f"RemoteStub({self.__name__})"

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """It runs on its own processor only.

        Raises:
            NotImplementedError: Always.
        """
        raise NotImplementedError(
            f"{self.__name__} runs on processor {self.__orca_metadata__['ProcessorName']!r}"
        )


def identifier(text: str, taken: set[str]) -> str:
    """A Python identifier for any text, different from those in ``taken``, to which it is added.

    Example:
        >>> taken: set[str] = set()
        >>> [identifier(text, taken) for text in ("asset-id", "asset id", "class", "1st")]
        ['asset_id', 'asset_id_2', 'class_', '_1st']
    """
    name = re.sub(r"[^A-Za-z0-9_]", "_", text) or "_"
    if name[0].isdigit():
        name = f"_{name}"
    if keyword.iskeyword(name) or keyword.issoftkeyword(name):
        name = f"{name}_"
    found, count = name, 1
    while found in taken:
        count += 1
        found = f"{name}_{count}"
    taken.add(found)
    return found


def _order(version: str) -> tuple[int, ...]:
    return tuple(int(part) if part.isdecimal() else 0 for part in version.split("."))


def render(processors: Iterable[ProcessorSpec]) -> dict[str, str]:
    """The files of the registry by name."""
    pairs = sorted(
        ((algorithm, processor) for processor in processors for algorithm in processor.algorithms),
        key=lambda pair: (pair[0].name, _order(pair[0].version), pair[1].project, pair[1].name),
    )
    types = {(one.window_type.name, one.window_type.version): one.window_type for one, _ in reversed(pairs)}
    window_types = [types[key] for key in sorted(types, key=lambda key: (key[0], _order(key[1])))]
    fields, field_names = _fields(window_types)
    return {
        "__init__.py": HEADER.format("What the core knows."),
        "metadata_fields.py": fields,
        "window_types.py": _window_types(window_types, field_names),
        "algorithms.py": _algorithms(pairs),
    }


def _literal(text: str) -> str:
    return ascii(text)


def _fields(window_types: list[WindowType]) -> tuple[str, dict[MetadataField, str]]:
    taken = {"MetadataField", "annotations"}
    found = sorted(
        {one for kind in window_types for one in kind.metadataFields},
        key=lambda one: (one.name, one.description),
    )
    names = {one: identifier(one.name, taken) for one in found}
    lines = [HEADER.format("Metadata fields.")]
    if found:
        lines.append("\nfrom orca.processor import MetadataField\n\n")
    for one, name in names.items():
        flags = f", no_store={one.no_store}, filter={one.filter}"
        lines.append(
            f"{name} = MetadataField({_literal(one.name)}, {_literal(one.description or one.name)}{flags})\n"
        )
    return "".join(lines), names


def _window_types(window_types: list[WindowType], fields: dict[MetadataField, str]) -> str:
    taken = {"WindowType", "metadata_fields", "annotations"}
    lines = [HEADER.format("Window types.")]
    if window_types:
        used = any(one.metadataFields for one in window_types)
        # A relative import, because nobody knows where the registry's folder lies.
        lines.append("\nfrom orca.processor import WindowType\n\n")
        lines += ["from . import metadata_fields\n\n"] if used else []
    names = {one: identifier(f"{one.name}_{one.version}", taken) for one in window_types}
    for one, name in names.items():
        inner = ", ".join(f"metadata_fields.{fields[field]}" for field in one.metadataFields)
        arguments = ", ".join(_literal(text) for text in (one.name, one.version, one.description))
        lines.append(f"{name} = WindowType({arguments}, ({inner}{',' if inner else ''}))\n")
    for short, newest in sorted({one.name: names[one] for one in window_types}.items()):
        lines.append(f"{identifier(short, taken)} = {newest}\n")
    return "".join(lines)


def _algorithms(pairs: list[tuple[AlgorithmSpec, ProcessorSpec]]) -> str:
    taken = {"RemoteStub", "annotations"}
    lines = [HEADER.format("Algorithms of other processors.")]
    if pairs:
        lines.append("\nfrom orca.processor import RemoteStub\n\n")
    newest: dict[str, str] = {}
    for algorithm, processor in pairs:
        name = identifier(f"{algorithm.name}_{algorithm.version}", taken)
        newest[algorithm.name] = name
        arguments = {
            "Name": algorithm.name,
            "Version": algorithm.version,
            "ProcessorName": processor.name,
            "ProcessorRuntime": processor.runtime,
        }
        inner = "".join(f"    {key}={_literal(value)},\n" for key, value in arguments.items())
        lines.append(f"{name} = RemoteStub(\n{inner})\n")
    for short, name in sorted(newest.items()):
        lines.append(f"{identifier(short, taken)} = {name}\n")
    return "".join(lines)


def write(folder: Path, processors: Iterable[ProcessorSpec]) -> list[Path]:
    """Write the registry's files into ``folder``, and return those that changed."""
    folder.mkdir(parents=True, exist_ok=True)
    changed: list[Path] = []
    for name, text in render(processors).items():
        path = folder / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8", newline="\n")
            changed.append(path)
    return changed
