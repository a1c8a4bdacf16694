from __future__ import annotations

from typing import Any

import pytest
from pydantic import TypeAdapter

from orca.common._faults import accepted_form


@pytest.mark.parametrize(
    ("node", "form"),
    [
        ({"type": "integer", "minimum": 1, "maximum": 9}, "a whole number from 1 to 9"),
        ({"type": "number", "exclusiveMinimum": 0.0, "maximum": 0.5}, "a number above 0 to 0.5"),
        ({"const": "a"}, "a"),
        ({"enum": ["a", 1]}, "one of a, 1"),
        ({"type": "array"}, "a list"),
        ({"type": "array", "items": {"type": "number"}, "minItems": 2}, "a list of a number at least 2"),
        ({"anyOf": [{"type": "string", "format": "path"}, {"type": "null"}]}, "a path or nothing"),
        ({"$ref": "#/$defs/Mode"}, "one of fast"),
        ({"type": "string", "format": "unheard-of", "pattern": "^a$"}, "text that matches ^a$"),
        ({}, "any value"),
    ],
)
def test_a_schema_in_words(node: dict[str, Any], form: str) -> None:
    schema = {"$defs": {"Mode": {"enum": ["fast"]}}}
    assert accepted_form(node, schema) == form
    assert accepted_form(node, schema, description="why") == f"{form} (why)"


def test_what_pydantic_writes_is_understood() -> None:
    for kind, form in [(int, "a whole number"), (bool, "true or false"), (dict[str, int], "an object")]:
        schema = TypeAdapter(kind).json_schema()
        assert accepted_form(schema, schema) == form
