from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from orca.common import _sources
from orca.common._sources import Document, find_upwards, read_dotenv, read_json, read_pyproject

if TYPE_CHECKING:
    from pathlib import Path


def write(tmp_path: Path, text: str | bytes, name: str = "file") -> Path:
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_every_key_of_a_json_object_has_its_line(tmp_path: Path) -> None:
    text = '{\n"a": 1,\n"b": {"c": [{"hidden": 1}, "x:y"],\n  "d\\n": {\n    "e{": null}},\n\n'
    text += '"f": "{\\"g\\": 1}"}'
    document = read_json(write(tmp_path, text))
    assert document.values == json.loads(text)
    assert dict(document.lines) == {
        ("a",): 2,
        ("b",): 3,
        ("b", "c"): 3,
        ("b", "d\n"): 4,
        ("b", "d\n", "e{"): 5,
        ("f",): 7,
    }


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ('{\n"a": }', ":2: not JSON: Expecting value"),
        ("[]", ":1: give an object: {...}"),
        (b"\xff", ": not UTF-8 at byte 0"),
        ("[" * 100_000, ": nested too deeply"),
        ("x" * (_sources.FILE_SIZE_MAX + 1), ": more than 1000000 bytes"),
    ],
    ids=["syntax", "array", "bytes", "deep", "large"],
)
def test_a_bad_json_file_is_a_fault(text: str | bytes, fault: str, tmp_path: Path) -> None:
    path = write(tmp_path, text)
    document = read_json(path)
    assert document.faults == (f"{path}{fault}",)
    assert document.values == {}


def test_a_number_of_thousands_of_digits_is_a_fault(tmp_path: Path) -> None:
    digits = "1" * 5000
    for document in (
        read_json(write(tmp_path, f'{{"port": {digits}}}', "a")),
        read_pyproject(write(tmp_path, f"[tool.orca]\nport = {digits}\n", "b")),
    ):
        (fault,) = document.faults
        assert "Exceeds the limit (4300" in fault


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    assert read_json(tmp_path).faults == (f"{tmp_path}: Is a directory",)
    assert read_pyproject(tmp_path).faults == (f"{tmp_path}: Is a directory",)


def test_every_key_of_a_toml_table_has_its_line(tmp_path: Path) -> None:
    text = (
        "[project]\nname = 'x'\n[tool.orca] # ours\nport = 1\ncore.host = 'a' # dotted\n\n"
        "[tool.orca.'store x']\npath = 'p'\n[[tool.orca.many]]\nn = 1\n[tool.ruff]\nport = 2\n"
        '[ tool . orca . late ]\n"quoted key" = 1\n'
    )
    document = read_pyproject(write(tmp_path, text))
    assert dict(document.lines) == {
        (): 3,
        ("port",): 4,
        ("core", "host"): 5,
        ("store x",): 7,
        ("store x", "path"): 8,
        ("many",): 9,
        ("many", "n"): 10,
        ("late",): 13,
        ("late", "quoted key"): 14,
    }
    assert document.section(("core",)) == {"host": "a"}


def test_place_falls_back_to_what_is_around(tmp_path: Path) -> None:
    document = Document(tmp_path, {}, {("a",): 3})
    assert document.place(("a", "b", "c")) == f"{tmp_path}:3"
    assert document.place(("z",)) == str(tmp_path)


def test_a_section_that_is_none_is_empty(tmp_path: Path) -> None:
    document = Document(tmp_path, {"a": {"b": {"c": 1}}, "x": 1})
    assert document.section(("a", "b")) == {"c": 1}
    assert document.section(("a", "b", "c")) == {}
    assert document.section(("x", "y", "z")) == {}
    assert document.section(("absent",)) == {}


def test_dotenv_lines(tmp_path: Path) -> None:
    text = (
        "# comment\n\nA=1\nexport B = two words # comment\nC='# no comment'\nD=\"q\"\nE=\nF='\nG=a#b\n"
        "  # indented\nnot a line\n1X=2\n"
    )
    path = write(tmp_path, text)
    document = read_dotenv(path)
    assert document.values == {
        "A": "1",
        "B": "two words",
        "C": "# no comment",
        "D": "q",
        "E": "",
        "F": "'",
        "G": "a#b",
    }
    assert document.lines[("C",)] == 5
    assert document.faults == (f"{path}:11: give NAME=value", f"{path}:12: give NAME=value")


def test_files_are_found_upwards_nearest_first(tmp_path: Path) -> None:
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    (tmp_path / "f").touch()
    (inner / "f").touch()
    (tmp_path / "a" / "f").mkdir()
    assert list(find_upwards("f", inner))[:2] == [inner / "f", tmp_path / "f"]
