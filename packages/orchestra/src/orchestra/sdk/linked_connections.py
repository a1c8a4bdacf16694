"""The connections that the platform linked to this task: their credentials come as environment variables."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from orchestra.sdk.errors import LinkedConnectionNotFoundError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["LinkedConnection", "get_linked_connection", "list_linked_connections"]

_NOT_NAME = re.compile(r"[^A-Za-z0-9]+")


def _normalise(part: str) -> str:
    return _NOT_NAME.sub("_", part).strip("_").upper()


def _decode(value: str) -> Any:
    # Only objects and lists are written as JSON; the text "12345" or "true" must stay text.
    if value.startswith(("{", "[")):
        try:
            return json.loads(value)
        except ValueError:
            return value
    return value


@dataclass(frozen=True, order=True, slots=True)
class LinkedConnection:
    """One linked connection. Equality and order go by integration and id; the fields never show in ``repr``.

    Attributes:
        integration: The integration's name in capitals, such as ``SNOWFLAKE``.
        connection_id: The connection's id in capitals.
        fields: Its fields by name in capitals: text, or decoded JSON.

    Example:
        >>> link = LinkedConnection("SNOWFLAKE", "MAIN", {"PASSWORD": "x"})
        >>> link["password"], link.get("role", "none")
        ('x', 'none')
        >>> link
        LinkedConnection(integration='SNOWFLAKE', connection_id='MAIN')
    """

    integration: str
    connection_id: str
    fields: Mapping[str, Any] = field(repr=False, compare=False, hash=False)

    def __getitem__(self, name: str) -> Any:
        """Return a field by its name in any case.

        Raises:
            KeyError: The connection has no such field.
        """
        return self.fields[_normalise(name)]

    def get(self, field: str, default: Any = None) -> Any:
        """Return a field by its name in any case, or ``default``."""
        return self.fields.get(_normalise(field), default)


def list_linked_connections(environ: Mapping[str, str] | None = None) -> list[LinkedConnection]:
    """All linked connections, sorted by integration and id.

    Args:
        environ: The environment to read; that of the process when left out.

    Example:
        >>> list_linked_connections({"SNOWFLAKE__MAIN__USER": "me", "PATH": "/bin"})
        [LinkedConnection(integration='SNOWFLAKE', connection_id='MAIN')]
    """
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for name, value in (os.environ if environ is None else environ).items():
        parts = name.split("__")
        if len(parts) == 3 and all(part and part == _normalise(part) for part in parts):
            found.setdefault((parts[0], parts[1]), {})[parts[2]] = _decode(value)
    return [LinkedConnection(*key, fields) for key, fields in sorted(found.items(), key=lambda item: item[0])]


def get_linked_connection(
    integration: str, connection_id: str | None = None, *, environ: Mapping[str, str] | None = None
) -> LinkedConnection:
    """The one linked connection that fits.

    Args:
        integration: The integration's name in any case.
        connection_id: Its id in any case; may be left out when only one connection of the integration is
            linked.
        environ: The environment to read; that of the process when left out.

    Raises:
        LinkedConnectionNotFoundError: None fits, or several do; the message names the candidates.
    """
    wanted = _normalise(integration)
    linked = [c for c in list_linked_connections(environ) if c.integration == wanted]
    names = ", ".join(c.connection_id for c in linked)
    if connection_id is not None:
        for connection in linked:
            if connection.connection_id == _normalise(connection_id):
                return connection
        raise LinkedConnectionNotFoundError(
            f"{wanted} connection '{connection_id}' is not linked to this task,"
            " or its credentials could not be loaded",
            hint=f"linked for {wanted}: {names or 'none'}",
        )
    if len(linked) == 1:
        return linked[0]
    if not linked:
        raise LinkedConnectionNotFoundError(
            f"no {wanted} connection is linked to this task, or its credentials could not be loaded",
            hint="linked integrations: "
            + (", ".join(sorted({c.integration for c in list_linked_connections(environ)})) or "none"),
        )
    raise LinkedConnectionNotFoundError(
        f"several {wanted} connections are linked to this task ({names})",
        hint="pass connection_id to choose one",
    )
