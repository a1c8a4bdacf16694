"""Typed Python for the handlers of a machine, and JSON schema of its context and events; always the same text."""

from __future__ import annotations

import keyword
import re
from typing import TYPE_CHECKING, Any, Final

from orca.statemachine.model import thaw

if TYPE_CHECKING:
    from collections.abc import Iterator

    from orca.statemachine.model import ActionSignature, EffectDef, MachineDef, TypeRef

__all__ = ["json_schema", "python_stubs", "python_type"]

_PYTHON: Final = {
    "int": "int",
    "decimal": "float",
    "bool": "bool",
    "string": "str",
    "list": "list[Any]",
    "map": "dict[str, Any]",
    "record": "dict[str, Any]",
    "enum": "str",
}
_SCHEMA: Final = {
    "int": "integer",
    "decimal": "number",
    "bool": "boolean",
    "string": "string",
    "enum": "string",
}


def python_type(kind: TypeRef | None) -> str:
    """A type of the language as a Python annotation.

    Example:
        >>> from orca.statemachine.model import TypeRef
        >>> python_type(TypeRef("list", (TypeRef("int"),), optional=True))
        'list[int] | None'
    """
    if kind is None:
        return "Any"
    name = kind.kind
    if name == "list" and len(kind.args) == 1:
        text = f"list[{python_type(kind.args[0])}]"
    elif name == "map" and len(kind.args) == 2:
        text = f"dict[str, {python_type(kind.args[1])}]"
    elif kind.choices:
        text = f"Literal[{', '.join(repr(choice) for choice in kind.choices)}]"
    else:
        text = _PYTHON.get(name, "Any")
    return f"{text} | None" if kind.optional and text != "Any" else text


def python_stubs(machine: MachineDef) -> str:
    """A Python module with the types of the context and of effects, and a function for each handler.

    The functions raise ``NotImplementedError``; ``register(machine)`` hands them to an ``OrcaMachine``.
    """
    parts = [_header(machine), *_typed_dicts(machine)]
    actions = [_action(machine, item) for item in machine.actions]
    used = {item.effect_type: None for item in machine.actions if item.effect_type is not None}
    declared = {item.name: item for item in machine.effects}
    names = [*declared, *(name for name in used if name not in declared)]
    effects = [_effect(machine, name, declared.get(name)) for name in names]
    parts.extend([*actions, *effects, _register(machine, names)])
    return "\n\n\n".join(parts) + "\n"


def _header(machine: MachineDef) -> str:
    return (
        f'"""Handlers of the state machine {machine.name}."""\n\n'
        "from __future__ import annotations\n\n"
        "from typing import Any, Literal, TypedDict\n\n"
        "from orca.statemachine import Effect, EffectResult, OrcaMachine\n\n"
        '__all__ = ["register"]\n\n'
        f"Event = {_literal(machine)}"
    )


def _literal(machine: MachineDef) -> str:
    names = event_names(machine)
    return f"Literal[{', '.join(repr(name) for name in names)}]" if names else "str"


def event_names(machine: MachineDef) -> list[str]:
    """The declared events, or those that transitions use when none is declared."""
    used = (row.event for row in machine.transitions if row.event is not None)
    return list(machine.events) or list(dict.fromkeys(used))


def _typed_dicts(machine: MachineDef) -> Iterator[str]:
    fields = [(item.name, python_type(item.type), item.has_default) for item in machine.fields]
    # A field without a default is null until something sets it.
    rows = [
        (name, kind if given or kind.endswith(("None", "Any")) else f"{kind} | None")
        for name, kind, given in fields
    ]
    yield _typed_dict(f"{class_name(machine.name)}Context", rows)
    for effect in machine.effects:
        for part, kind in (("Input", effect.input), ("Output", effect.output)):
            if kind is not None and kind.members:
                rows = [(name, python_type(member)) for name, member in kind.members]
                yield _typed_dict(f"{class_name(effect.name)}{part}", rows)


def _typed_dict(name: str, rows: list[tuple[str, str]]) -> str:
    # The functional form takes every name, Python's keywords too.
    body = "".join(f"        {field!r}: {quoted(kind)},\n" for field, kind in rows)
    return f"{name} = TypedDict(\n    {name!r},\n    {{\n{body}    }},\n    total=False,\n)"


def quoted(kind: str) -> str:
    """An annotation that Python 3.10 does not evaluate."""
    return f'"{kind}"'


def _action(machine: MachineDef, action: ActionSignature) -> str:
    context = f"{class_name(machine.name)}Context"
    effect = f"\n\n    Runs the effect {action.effect_type} afterwards." if action.effect_type else ""
    return (
        f"def {function_name(action.name)}(ctx: {context}, event: dict[str, Any]) -> {context} | None:\n"
        f'    """Action `{action.name}`: what it returns is merged into the context.{effect}\n    """\n'
        f'    raise NotImplementedError("{action.name}")'
    ).replace('context.\n    """', 'context."""')


def _effect(machine: MachineDef, name: str, effect: EffectDef | None) -> str:
    del machine
    given = f" Input: {effect.input}." if effect is not None and effect.input is not None else ""
    output = f" Output: {effect.output}." if effect is not None and effect.output is not None else ""
    return (
        f"async def {function_name('effect_' + name)}(effect: Effect) -> EffectResult:\n"
        f'    """Effect `{name}`.{given}{output}"""\n'
        f'    raise NotImplementedError("{name}")'
    )


def _register(machine: MachineDef, effects: list[str]) -> str:
    lines = [f'    machine.action("{item.name}")({function_name(item.name)})' for item in machine.actions]
    lines.extend(f'    machine.effect("{name}")({function_name("effect_" + name)})' for name in effects)
    body = "\n".join(lines) or "    del machine"
    return f'def register(machine: OrcaMachine) -> None:\n    """Hand every handler to a machine."""\n{body}'


def class_name(name: str) -> str:
    """A name as a class is called."""
    text = "".join(part[:1].upper() + part[1:] for part in re.split(r"_+", name))
    return text or "Machine"


def function_name(name: str) -> str:
    """A name as a function is called; one that Python keeps for itself gets a line behind."""
    text = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower() if not name.isupper() else name.lower()
    return f"{text}_" if keyword.iskeyword(text) or text in {"register", "event"} else text


def json_schema(machine: MachineDef) -> dict[str, Any]:
    """JSON schema of the context and of the names of events.

    Source: JSON Schema, draft 2020-12.
    """
    properties: dict[str, Any] = {}
    for item in machine.fields:
        schema = _schema(item.type)
        if item.has_default:
            schema = {**schema, "default": thaw(item.default)}
        properties[item.name] = schema
    names = event_names(machine)
    event: dict[str, Any] = {"type": "string"}
    if names:
        event["enum"] = names
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": machine.name,
        "$defs": {
            "context": {"type": "object", "properties": properties, "additionalProperties": False},
            "event": {
                "type": "object",
                "properties": {"type": event, "payload": {"type": "object"}},
                "required": ["type"],
            },
        },
    }


def _schema(kind: TypeRef) -> dict[str, Any]:
    name = kind.kind
    found: dict[str, Any] = {}
    if name == "list":
        found = {"type": "array"}
        if len(kind.args) == 1:
            found["items"] = _schema(kind.args[0])
    elif name in {"map", "record"}:
        found = {"type": "object"}
        if len(kind.args) == 2:
            found["additionalProperties"] = _schema(kind.args[1])
        if kind.members:
            found["properties"] = {member: _schema(inner) for member, inner in kind.members}
    elif name in _SCHEMA:
        found = {"type": _SCHEMA[name]}
        if kind.choices:
            found["enum"] = list(kind.choices)
    if kind.optional and found:
        return {"anyOf": [found, {"type": "null"}]}
    return found
