"""Typed settings from arguments, environment, files and defaults; each value knows where it came from.

A thin layer over pydantic. In the order of their power:

    1. arguments         what the caller passes; None means not passed
    2. environment       ORCA_PORT=8080; an empty value means not set
    3. .env              only when asked for
    4. orca.json         the nearest one upwards from the working directory
    5. pyproject.toml    its table [tool.orca]
    6. defaults          of the class

Nothing is read when a module is imported, only by `Settings.load`.
"""

from __future__ import annotations

import json
import logging
import os
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from types import UnionType
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Union, cast, get_args, get_origin

from pydantic import (
    BaseModel,
    ConfigDict,
    PrivateAttr,
    PydanticUserError,
    SecretBytes,
    SecretStr,
    ValidationError,
)

from orca.common import _faults
from orca.common._sources import Document, find_upwards, read_dotenv, read_json, read_pyproject
from orca.common.errors import ConfigError
from orca.common.redact import MASK, is_secret_name, redact

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from pydantic.fields import FieldInfo
    from typing_extensions import Self

__all__ = ["FromEnv", "FromFile", "Origin", "SecretStr", "Settings"]

logger = logging.getLogger(__name__)


class FromEnv:
    """The environment variables of one setting, the most preferred first, instead of prefix and name.

    Example:
        >>> from typing import Annotated
        >>> class Demo(Settings):
        ...     core: Annotated[str, FromEnv("ORCA_CORE", "ORCASERVER")] = "grpc://127.0.0.1:33670"
        >>> Demo.load(environ={"ORCASERVER": "grpc://core:1"}, files=False).core
        'grpc://core:1'
    """

    def __init__(self, *names: str) -> None:
        self.names = names


class FromFile:
    """More keys of one setting in the files, beside its name and the camelCase form of that."""

    def __init__(self, *keys: str) -> None:
        self.keys = keys


@dataclass(frozen=True, slots=True)
class Origin:
    """One value of a `Settings` and where it came from.

    Attributes:
        name: The setting.
        value: The value as text; secrets are masked.
        source: ``argument``, ``environment ORCA_PORT``, ``/path/orca.json:3`` or ``default``.
        shadowed: Weaker sources that also gave a value.
    """

    name: str
    value: str
    source: str
    shadowed: tuple[str, ...] = ()

    def __str__(self) -> str:
        also = f"  (over {', '.join(self.shadowed)})" if self.shadowed else ""
        return f"{self.name} = {self.value}  <- {self.source}{also}"


@dataclass(frozen=True, slots=True)
class _Found:
    value: Any
    source: str


class Settings(BaseModel):
    """The base of all settings: a frozen pydantic model that can be loaded and can explain itself.

    Attributes:
        env_prefix: A setting ``port`` is read from this prefix and ``PORT``.
        section: The keys that lead to these settings in the files; ``("core",)`` is ``{"core": {...}}`` in
            ``orca.json`` and ``[tool.orca.core]`` in ``pyproject.toml``.

    Example:
        >>> class Server(Settings):
        ...     host: str = "127.0.0.1"
        ...     port: int = 33670
        ...     token: SecretStr | None = None
        >>> server = Server.load({"port": 1}, environ={"ORCA_TOKEN": "hush"}, files=False)
        >>> for origin in server.explain():
        ...     print(origin)
        host = '127.0.0.1'  <- default
        port = 1  <- argument
        token = ***  <- environment ORCA_TOKEN
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        hide_input_in_errors=True,
        validate_default=True,
        populate_by_name=True,
        loc_by_alias=False,
    )

    env_prefix: ClassVar[str] = "ORCA_"
    section: ClassVar[tuple[str, ...]] = ()

    _found: dict[str, list[_Found]] = PrivateAttr(default_factory=dict[str, list[_Found]])

    @classmethod
    def load(
        cls,
        arguments: Mapping[str, Any] | None = None,
        *,
        environ: Mapping[str, str] | None = None,
        folder: Path | None = None,
        files: bool = True,
        dotenv: bool | Path = False,
    ) -> Self:
        """Collect the values from all sources and check them.

        Args:
            arguments: Values by name; those that are None count as not given.
            environ: The environment; that of the process when None.
            folder: Where the search for files begins and goes upwards; the working directory when None.
            files: Whether ``orca.json`` and ``pyproject.toml`` are read.
            dotenv: Whether ``.env`` in ``folder`` is read, or the path of such a file.

        Raises:
            ConfigError: Something is missing or has a wrong form. The message lists every fault with its
                variable or file and line and the accepted form; secrets are not shown.
        """
        start = folder or Path.cwd()
        documents = _documents(start) if files else []
        variables = Document(start, dict(os.environ if environ is None else environ))
        sources = [variables]
        if dotenv:
            sources.append(read_dotenv(start / ".env" if dotenv is True else dotenv))
        faults = [fault for document in (*sources, *documents) for fault in document.faults]

        found: dict[str, list[_Found]] = {name: [] for name in cls.model_fields}
        for name, value in (arguments or {}).items():
            if name not in found:
                faults.append(f"argument {name}: there is no such setting{_did_you_mean(name, found)}")
            elif value is not None:
                found[name].append(_Found(value, "argument"))
        for document in sources:
            cls._find_variables(document, found, of_process=document is variables)
        for document in documents:
            cls._find_keys(document, found)
        return cls._build(found, faults)

    def __eq__(self, other: object) -> bool:
        # Pydantic would compare the origins as well; equal values from different files are equal settings.
        return type(self) is type(other) and vars(self) == vars(other)

    def __hash__(self) -> int:
        return hash((type(self), *vars(self).values()))

    def explain(self) -> list[Origin]:
        """Return every value with its source, in the order of the class; secrets are masked."""
        return [
            Origin(
                name,
                _shown(name, getattr(self, name)),
                self._source(name),
                tuple(other.source for other in self._found.get(name, ())[1:]),
            )
            for name in type(self).model_fields
        ]

    def secrets(self) -> tuple[str, ...]:
        """Return the values of all secrets in these settings, for ``configure_logging(redact=...)``."""
        return tuple(_secrets(self))

    def _source(self, name: str) -> str:
        found = self._found.get(name)
        if found:
            return found[0].source
        return "argument" if name in self.model_fields_set else "default"

    @classmethod
    def _find_variables(cls, document: Document, found: dict[str, list[_Found]], *, of_process: bool) -> None:
        known: dict[str, str] = {}
        for name, info in cls.model_fields.items():
            for variable in _env_names(cls.env_prefix, name, info):
                known[variable] = name
                value = document.values.get(variable)
                if value:
                    place = f"environment {variable}" if of_process else document.place((variable,))
                    found[name].append(_Found(_parsed(value, info), place))
        for variable in document.values:
            if variable.startswith(cls.env_prefix) and variable not in known:
                # Other packages have variables of their own, so only what looks like a slip is worth a word.
                close = get_close_matches(variable, known, n=1, cutoff=0.85)
                if close:
                    place = "environment" if of_process else document.place((variable,))
                    logger.warning("%s: %s is no setting, did you mean %s?", place, variable, close[0])

    @classmethod
    def _find_keys(cls, document: Document, found: dict[str, list[_Found]]) -> None:
        known = {key: name for name, info in cls.model_fields.items() for key in _file_keys(name, info)}
        for key, value in document.section(cls.section).items():
            place = document.place((*cls.section, key))
            name = known.get(key)
            takes_table = name is not None and dict in _kinds(cls.model_fields[name].annotation)
            if isinstance(value, dict) and not cls.section and not takes_table:
                continue  # a table at the top is the section of another package
            if name is not None:
                found[name].append(_Found(value, place))
            else:
                logger.warning("%s: %s is no setting%s", place, key, _did_you_mean(key, known))

    @classmethod
    def _build(cls, found: dict[str, list[_Found]], faults: list[str]) -> Self:
        values = {name: entries[0].value for name, entries in found.items() if entries}
        settings: Self | None = None
        try:
            settings = cls.model_validate(values)
        except ValidationError as error:
            schema = _schema(cls)
            details = cast("list[dict[str, Any]]", error.errors(include_url=False, include_context=False))
            faults.extend(cls._fault(detail, found, schema) for detail in details)
        if settings is None or faults:
            # Outside the except block: pydantic's error holds the values and must not be chained to ours.
            raise ConfigError(
                f"{cls.__name__}: {len(faults)} fault{'s'[: len(faults) != 1]}\n"
                + "\n".join(f"  - {fault}" for fault in faults),
                hint="arguments win over environment, environment over orca.json, that over pyproject.toml",
            )
        settings._found.update(  # noqa: SLF001  still being made
            {name: entries for name, entries in found.items() if entries}
        )
        return settings

    @classmethod
    def _fault(cls, detail: dict[str, Any], found: dict[str, list[_Found]], schema: dict[str, Any]) -> str:
        loc = cast("tuple[str | int, ...]", detail["loc"])
        name = str(loc[0]) if loc else ""
        info = cls.model_fields.get(name)
        if info is None:
            return str(detail["msg"])
        node = schema.get("properties", {}).get(name, {})
        form = _faults.accepted_form(node, schema, description=info.description)
        if detail["type"] == "missing" and len(loc) == 1:
            names = ", ".join(_env_names(cls.env_prefix, name, info))
            key = ".".join((*cls.section, name))
            return f"{name} is missing: set {names}, or {key!r} in orca.json; accepted: {form}"
        entries = found.get(name)
        source = entries[0].source if entries else "default"
        shown = f" is {_shown(name, entries[0].value)}" if entries and _may_be_shown(info, entries[0]) else ""
        where = ".".join(map(str, loc))
        return f"{source}: {where}{shown}: {detail['msg']}; accepted: {form}"


def _documents(start: Path) -> list[Document]:
    found = [read_json(path) for path in find_upwards("orca.json", start)][:1]
    for path in find_upwards("pyproject.toml", start):
        document = read_pyproject(path)
        if document.values or document.faults:
            found.append(document)
            break
    return found


def _env_names(prefix: str, name: str, info: FieldInfo) -> tuple[str, ...]:
    for mark in info.metadata:
        if isinstance(mark, FromEnv):
            return mark.names
    return (prefix + name.upper(),)


def _file_keys(name: str, info: FieldInfo) -> Iterator[str]:
    yield name
    first, *rest = name.split("_")
    if rest:
        yield first + "".join(part.capitalize() for part in rest)
    for mark in info.metadata:
        if isinstance(mark, FromFile):
            yield from mark.keys


def _parsed(value: str, info: FieldInfo) -> Any:
    """Read a variable's text: JSON for objects and lists, commas for lists, else as it is."""
    kinds = set(_kinds(info.annotation))
    if kinds & {list, tuple, set, frozenset, dict}:
        if value.lstrip()[:1] in {"[", "{"}:
            try:
                return json.loads(value)
            except ValueError:
                return value  # pydantic says what it should have been
        if dict not in kinds:
            return [part.strip() for part in value.split(",")]
    return value


def _kinds(annotation: Any) -> Iterator[Any]:
    """Yield the classes that an annotation accepts, looking through unions; a model counts as dict."""
    origin = get_origin(annotation)
    if origin in {Union, UnionType}:
        for part in get_args(annotation):
            yield from _kinds(part)
    elif origin is Annotated:
        yield from _kinds(get_args(annotation)[0])
    elif origin is not None:
        yield origin  # list[int] must not reach issubclass below, which refuses it on Python 3.10
    elif isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield dict
    else:
        yield annotation


def _may_be_shown(info: FieldInfo, entry: _Found) -> bool:
    secret = {SecretStr, SecretBytes} & set(_kinds(info.annotation))
    return not secret and not isinstance(entry.value, dict | list)


def _shown(name: str, value: Any) -> str:
    if isinstance(value, SecretStr | SecretBytes) or (is_secret_name(name) and isinstance(value, str)):
        return MASK
    return redact(repr(value))


def _secrets(model: BaseModel) -> Iterator[str]:
    for name in type(model).model_fields:
        value = getattr(model, name)
        if isinstance(value, BaseModel):
            yield from _secrets(value)
        elif isinstance(value, SecretStr):
            yield value.get_secret_value()


def _schema(settings: type[BaseModel]) -> dict[str, Any]:
    try:
        return settings.model_json_schema(by_alias=False)
    except PydanticUserError:
        # A type of the package's own without a JSON form: its description and pydantic's message must do.
        return {}


def _did_you_mean(name: str, known: Iterable[str]) -> str:
    close = get_close_matches(name, known, n=1)
    return f", did you mean {close[0]}?" if close else ""
