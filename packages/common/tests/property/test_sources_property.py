"""Any text gives values or faults, never an exception, and every key is where its line says."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from hypothesis import given
from hypothesis import strategies as st

from orca.common._sources import Document, read_dotenv, read_json, read_pyproject

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=15,
)
objects = st.dictionaries(st.text(max_size=6), values, max_size=5)
spaces = st.sampled_from([None, 0, 1, 4])


def read(reader: Callable[[Path], Document], content: bytes) -> Document:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "file"
        path.write_bytes(content)
        return reader(path)


def paths(value: Any, above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield (*above, key)
            yield from paths(inner, (*above, key))


@given(value=objects, indent=spaces, ascii_only=st.booleans())
def test_every_key_of_an_object_has_its_line(
    value: dict[str, Any], indent: int | None, ascii_only: bool
) -> None:
    text = json.dumps(value, indent=indent, ensure_ascii=ascii_only)
    document = read(read_json, text.encode("utf-8", "surrogatepass"))
    if document.faults:
        # Only a lone surrogate cannot be written as UTF-8.
        assert "not UTF-8" in document.faults[0]
        return
    assert document.values == value
    assert set(document.lines) == set(paths(value))
    lines = text.split("\n")
    for keys, line in document.lines.items():
        assert json.dumps(keys[-1], ensure_ascii=ascii_only) in lines[line - 1]


@given(st.binary(max_size=200) | st.text('{}[]":,\\\n ab=#.\'"1', max_size=80).map(str.encode))
def test_no_text_breaks_a_reader(content: bytes) -> None:
    for reader in (read_json, read_pyproject, read_dotenv):
        document = read(reader, content)
        for keys, line in document.lines.items():
            assert line >= 1
            assert document.place(keys).endswith(f":{line}")
