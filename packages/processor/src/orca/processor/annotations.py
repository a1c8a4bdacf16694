"""What annotations mean: the form of a result, and how a dependency's value becomes what a parameter asks for."""

# pyright: reportUnknownArgumentType=false, reportUnknownVariableType=false, reportUnknownMemberType=false

from __future__ import annotations

import array
import dataclasses
import datetime as dt
import enum
import types
import typing
from collections import abc
from decimal import Decimal
from typing import Any, Final, Union, cast, get_args, get_origin

from orca.processor.convert import EXACT_KEY
from orca.processor.errors import InvalidAlgorithmReturnType
from orca.processor.model import ArrayResult, NoneResult, ResultKind, StructResult, ValueResult
from orca.processor.params import DependencyResult, DependencyResultRow

if typing.TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["UNSET", "InputError", "reader_for", "result_kind"]

UNSET: Final = object()
"""No annotation was written."""

DEPTH_MAX: Final = 20
"""How deep the fields of a result type are looked into; a type that holds itself is deeper than that."""

_CLASSES: Final[dict[Any, ResultKind]] = {
    StructResult: ResultKind.STRUCT,
    ValueResult: ResultKind.VALUE,
    ArrayResult: ResultKind.ARRAY,
    NoneResult: ResultKind.NONE,
    type(None): ResultKind.NONE,
    float: ResultKind.VALUE,
    int: ResultKind.VALUE,
    bool: ResultKind.VALUE,
    Decimal: ResultKind.VALUE,
    dict: ResultKind.STRUCT,
    list: ResultKind.ARRAY,
    tuple: ResultKind.ARRAY,
    array.array: ResultKind.ARRAY,
}
_ARRAYS: Final = (list, tuple, abc.Sequence, abc.Iterable, abc.Collection)
_UNSENDABLE: Final = (bytes, bytearray, memoryview, complex, types.FunctionType)
_HINT: Final = "annotate float, int, bool, list[float], a numpy array, dict, a dataclass, a model, or None"


class InputError(ValueError):
    """A dependency's value has not the form that a parameter asks for."""


def result_kind(annotation: Any) -> ResultKind:
    """The form in which results of this annotation are sent.

    Args:
        annotation: As ``typing.get_type_hints`` gives it, or ``UNSET``.

    Returns:
        ``NOT_SPECIFIED`` when only the value can tell: no annotation, ``Any``, or a union of several forms.

    Raises:
        InvalidAlgorithmReturnType: Nothing of that type can be sent.
    """
    annotation = _bare(annotation)
    if annotation is UNSET or annotation is Any or annotation is object:
        return ResultKind.NOT_SPECIFIED
    if get_origin(annotation) in {Union, types.UnionType}:
        kinds = {result_kind(one) for one in get_args(annotation) if one is not type(None)}
        return kinds.pop() if len(kinds) == 1 else ResultKind.NOT_SPECIFIED
    origin = get_origin(annotation) or annotation
    if origin in _ARRAYS and get_args(annotation):
        return _array_kind(annotation)
    known = _CLASSES.get(origin) if isinstance(origin, type) else None
    if known is not None:
        _check(annotation, 0)
        return known
    if _is_numpy(origin):
        return ResultKind.ARRAY if origin.__name__ == "ndarray" else ResultKind.VALUE
    if _is_record(origin) or (isinstance(origin, type) and issubclass(origin, abc.Mapping)):
        _check(annotation, 0)
        return ResultKind.STRUCT
    raise InvalidAlgorithmReturnType(f"results of type {_text(annotation)} cannot be sent", hint=_HINT)


def _array_kind(annotation: Any) -> ResultKind:
    if getattr(get_origin(annotation), "_fields", None):
        return ResultKind.STRUCT
    for item in get_args(annotation):
        if item is Ellipsis:
            continue
        if result_kind(item) not in {ResultKind.VALUE, ResultKind.NOT_SPECIFIED}:
            hint = "an array holds numbers; return a dict for anything else"
            raise InvalidAlgorithmReturnType(f"results of type {_text(annotation)} cannot be sent", hint=hint)
    return ResultKind.ARRAY


def _bare(annotation: Any) -> Any:
    """Without Annotated, NewType and named aliases."""
    for _ in range(DEPTH_MAX):
        alias = get_origin(annotation) or annotation
        if type(alias).__name__ == "TypeAliasType":
            # What an alias's own parameters stand for does not change the form of a result.
            annotation = alias.__value__
            continue
        if hasattr(annotation, "__metadata__"):
            annotation = annotation.__origin__
        elif hasattr(annotation, "__supertype__"):
            annotation = annotation.__supertype__
        elif annotation is None:
            return type(None)
        else:
            break
    return annotation


def _text(annotation: Any) -> str:
    return (
        annotation.__name__ if isinstance(annotation, type) and not get_args(annotation) else str(annotation)
    )


def _is_numpy(kind: Any) -> bool:
    module = getattr(kind, "__module__", "") or ""
    return isinstance(kind, type) and module.partition(".")[0] == "numpy"


def _is_record(kind: Any) -> bool:
    """A dataclass, a TypedDict, a NamedTuple or a pydantic model."""
    if not isinstance(kind, type):
        return False
    named = issubclass(kind, tuple) and hasattr(kind, "_fields")
    return (
        named or dataclasses.is_dataclass(kind) or typing.is_typeddict(kind) or hasattr(kind, "model_fields")
    )


def _check(annotation: Any, depth: int) -> None:
    """Look for parts of a type that no struct holds.

    Raises:
        InvalidAlgorithmReturnType: There is one; the message names its place.
    """
    annotation = _bare(annotation)
    if depth > DEPTH_MAX or annotation is Any:
        return
    origin = get_origin(annotation) or annotation
    if origin is dict and get_args(annotation) and get_args(annotation)[0] is not str:
        raise InvalidAlgorithmReturnType(f"{_text(annotation)} has keys that are no text", hint=_HINT)
    for inner in get_args(annotation):
        if isinstance(inner, type) or get_origin(inner):
            _check(inner, depth + 1)
    if isinstance(origin, type) and issubclass(origin, _UNSENDABLE) and not issubclass(origin, enum.Enum):
        raise InvalidAlgorithmReturnType(f"{_text(annotation)} cannot be sent in a struct", hint=_HINT)
    if _is_record(origin):
        for name, hint in _hints(origin).items():
            _check_field(f"{origin.__name__}.{name}", hint, depth)


def _check_field(place: str, hint: Any, depth: int) -> None:
    try:
        _check(hint, depth + 1)
    except InvalidAlgorithmReturnType as error:
        raise InvalidAlgorithmReturnType(f"{place}: {error.message}", hint=error.hint) from None


def _hints(kind: type) -> dict[str, Any]:
    try:
        hints = typing.get_type_hints(kind)
    except (NameError, TypeError):
        # A type whose own annotations cannot be read is left to the values.
        return {}
    fields = getattr(kind, "model_fields", None)
    return {name: hint for name, hint in hints.items() if fields is None or name in fields}


class LastOf:
    """Makes a parameter's value of the last of a dependency's results.

    Args:
        convert: Makes it of the bare result, for whoever has that and no row around it.
    """

    __slots__ = ("convert",)

    def __init__(self, convert: Callable[[Any], Any]) -> None:
        self.convert = convert

    def __call__(self, result: DependencyResult | None) -> Any:
        """The value."""
        return self.convert(result.results[-1].result if result and result.results else None)


def reader_for(annotation: Any, *, many: bool) -> Callable[[DependencyResult | None], Any]:
    """What makes a parameter's value of a dependency's results.

    Args:
        annotation: What the parameter asks for: a plain type, a record type, a numpy array, ``DependencyResult``,
            or for look-backs a list of these or of ``DependencyResultRow``.
        many: The dependency looks back, so that the value is a list.

    Returns:
        A function that raises :class:`InputError` for values of another form.
    """
    annotation = _bare(annotation)
    if annotation is DependencyResult:
        return lambda result: result
    if many:
        return _many(annotation)
    if annotation is DependencyResultRow:
        return lambda result: result.results[-1] if result and result.results else None
    return LastOf(converter(annotation))


def _many(annotation: Any) -> Callable[[DependencyResult | None], Any]:
    items = get_args(annotation)
    if items and items[0] is DependencyResultRow:
        return lambda result: list(result.results) if result else []
    if _is_numpy(get_origin(annotation) or annotation):
        whole = converter(annotation)
        return lambda result: whole(result.values if result else [])
    convert = converter(items[0] if items else UNSET)
    return lambda result: [convert(value) for value in (result.values if result else [])]


def converter(annotation: Any) -> Callable[[Any], Any]:
    """What makes a value of ``annotation`` from a value of the wire."""
    annotation = _bare(annotation)
    origin = get_origin(annotation)
    if origin in {Union, types.UnionType}:
        inner = [one for one in get_args(annotation) if one is not type(None)]
        if len(inner) != 1:
            return _unchanged
        convert = converter(inner[0])
        optional = len(inner) < len(get_args(annotation))
        return lambda value: None if value is None and optional else convert(value)
    kind: Any = origin or annotation
    if kind in {float, int, bool}:
        return _number(kind)
    if kind in {list, tuple, abc.Sequence}:
        return _list(tuple if kind is tuple else list)
    if _is_numpy(kind):
        return _numpy(kind)
    if _is_record(kind):
        return _record(kind)
    if kind is dict or kind is abc.Mapping:
        return _mapping
    return _unchanged


def _unchanged(value: Any) -> Any:
    return value


def _exact(value: Any) -> Any:
    """An algorithm with ``exact=True`` sends its number or list inside a struct of one key."""
    return value[EXACT_KEY] if isinstance(value, dict) and value.keys() == {EXACT_KEY} else value


def _number(kind: Any) -> Callable[[Any], Any]:
    def convert(value: Any) -> Any:
        value = _exact(value)
        if not isinstance(value, (int, float)):
            raise InputError(f"a number is asked for, and the result is {_form(value)}")
        if kind is int and isinstance(value, float) and not value.is_integer():
            raise InputError(f"a whole number is asked for, and the result is {value}")
        return kind(value)

    return convert


def _list(kind: Any) -> Callable[[Any], Any]:
    def convert(value: Any) -> Any:
        value = _exact(value)
        if not isinstance(value, list):
            raise InputError(f"a list is asked for, and the result is {_form(value)}")
        return value if kind is list else tuple(value)

    return convert


def _numpy(kind: Any) -> Callable[[Any], Any]:
    def convert(value: Any) -> Any:
        import numpy as np  # noqa: PLC0415

        value = _exact(value)
        if kind is not np.ndarray:
            return _number(float)(value) if not issubclass(kind, np.generic) else kind(_number(float)(value))
        if not isinstance(value, (list, np.ndarray)):
            raise InputError(f"an array is asked for, and the result is {_form(value)}")
        return np.asarray(value)

    return convert


def _mapping(value: Any) -> Any:
    if not isinstance(value, dict):
        raise InputError(f"a dict is asked for, and the result is {_form(value)}")
    return value


def _record(kind: Any) -> Callable[[Any], Any]:
    hints = {} if hasattr(kind, "model_validate") else _hints(kind)
    converters = {name: _field_converter(hint) for name, hint in hints.items()}

    def convert(value: Any) -> Any:
        _mapping(value)
        if hasattr(kind, "model_validate"):
            try:
                return kind.model_validate(value)
            except ValueError as error:
                raise InputError(f"{kind.__name__} is asked for: {error}") from error
        plain = {key: converters[key](one) if key in converters else one for key, one in value.items()}
        if typing.is_typeddict(kind):
            return plain
        try:
            return kind(**plain)
        except TypeError as error:
            raise InputError(f"{kind.__name__} is asked for: {error}") from error

    return convert


def _field_converter(hint: Any) -> Callable[[Any], Any]:
    bare = _bare(hint)
    if isinstance(bare, type) and issubclass(bare, enum.Enum):
        return cast("Callable[[Any], Any]", bare)
    if bare in {dt.datetime, dt.date, dt.time}:
        return cast("Callable[[Any], Any]", bare.fromisoformat)
    return converter(hint)


def _form(value: Any) -> str:
    if value is None:
        return "missing"
    return {dict: "a struct", list: "a list", float: "a number"}.get(type(value), f"a {type(value).__name__}")
