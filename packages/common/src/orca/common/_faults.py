"""The accepted form of a setting in words, from the JSON schema that pydantic makes of it."""

from __future__ import annotations

from typing import Any, cast

__all__ = ["accepted_form"]

_FORMATS = {
    "password": "text (kept secret)",
    "path": "a path",
    "file-path": "the path of a file that exists",
    "directory-path": "the path of a folder that exists",
    "uri": "a URL",
    "duration": "seconds, or an ISO 8601 duration such as PT1M30S",
    "date-time": "a moment such as 2026-01-31T12:00:00Z",
    "date": "a date such as 2026-01-31",
    "time": "a time such as 12:00:00",
    "ipvanyaddress": "an IP address",
    "uuid": "a UUID",
}
_TYPES = {
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "null": "nothing",
    "object": "an object",
}
_LIMITS = {
    "minimum": "from {}",
    "exclusiveMinimum": "above {}",
    "maximum": "to {}",
    "exclusiveMaximum": "below {}",
    "minLength": "of at least {} characters",
    "maxLength": "of at most {} characters",
    "minItems": "at least {}",
    "maxItems": "at most {}",
    "pattern": "that matches {}",
}


def accepted_form(node: dict[str, Any], schema: dict[str, Any], *, description: str | None = None) -> str:
    """Say in words what a JSON schema accepts.

    Args:
        node: The schema of one value.
        schema: The whole document, which references point into.
        description: What the setting means, put behind the form.
    """
    form = _form(node, schema)
    return f"{form} ({description})" if description else form


def _form(node: dict[str, Any], schema: dict[str, Any]) -> str:
    if "$ref" in node:
        name = str(node["$ref"]).rpartition("/")[2]
        return _form(schema["$defs"][name], schema)
    for several in ("anyOf", "oneOf", "allOf"):
        if several in node:
            return " or ".join(
                _form(choice, schema) for choice in cast("list[dict[str, Any]]", node[several])
            )
    if "enum" in node:
        return "one of " + ", ".join(map(str, cast("list[object]", node["enum"])))
    if "const" in node:
        return str(node["const"])
    kind = str(node.get("type", ""))
    if kind == "array":
        items = cast("dict[str, Any]", node.get("items", {}))
        form = f"a list of {_form(items, schema)}" if items else "a list"
    else:
        form = _FORMATS.get(str(node.get("format", "")), _TYPES.get(kind, "any value"))
    return " ".join([form, *(text.format(_short(node[key])) for key, text in _LIMITS.items() if key in node)])


def _short(limit: object) -> object:
    # Pydantic writes the same limit as 1 or as 1.0, depending on its version.
    return int(limit) if isinstance(limit, float) and limit.is_integer() else limit
