"""The settings of the process, read when they are asked for.

Importing this module reads nothing. ``ORCASERVER``, ``HOST`` and ``PORT`` are the names of the first releases,
``ORCA_CORE`` and those that begin with ``PROCESSOR_`` of the later ones; each is what `orca.processor` would use now,
or empty when nothing says it.
"""

from __future__ import annotations

import logging
import os
from typing import Any, Final

from orca.processor.discovery import find_core, find_processor, find_project, parse_address
from orca_python.exceptions import BadConfigFile, BadEnvVar, MissingDependency, MissingEnvVar

__all__ = [
    "HOST",
    "LOGGER",
    "ORCASERVER",
    "ORCA_CORE",
    "PORT",
    "PROCESSOR_EXTERNAL_PORT",
    "PROCESSOR_HOST",
    "PROCESSOR_PORT",
    "PROJECT_NAME",
    "BadConfigFile",
    "BadEnvVar",
    "MissingDependency",
    "MissingEnvVar",
    "getenvs",
    "hasConfig",
    "is_production",
]

LOGGER: Final = logging.getLogger(__name__)
"""The published logger; nothing is logged here."""

ORCASERVER: str
"""The core as ``host:port``, or empty."""
ORCA_CORE: str
"""The same."""
HOST: str
"""The host that the core is told."""
PORT: str
"""The port that the processor binds; empty when the system will choose."""
PROCESSOR_HOST: str
"""The host that the core is told."""
PROCESSOR_PORT: int
"""The port that the processor binds; 0 when the system will choose."""
PROCESSOR_EXTERNAL_PORT: int
"""The port that the core is told."""
PROJECT_NAME: str
"""``projectName`` of orca.json, or empty."""
hasConfig: bool  # noqa: N816 - the published name
"""Whether there is an orca.json."""
is_production: bool
"""Whether ``ENV`` is ``production``."""


def getenvs(strict: bool = False) -> tuple[bool, str, str, int | None, int | None]:
    """What the environment of the later releases says.

    Args:
        strict: Raise for what is missing.

    Returns:
        Whether this is production, the core as ``host:port``, the processor's host, its port, and the port that the
        core is told (the processor's own unless ``PROCESSOR_EXTERNAL_PORT`` says another).

    Raises:
        MissingEnvVar: It is strict, and ORCA_CORE or PROCESSOR_ADDRESS is not set.
        BadEnvVar: A variable has a wrong form.
    """
    for name in ("ORCA_CORE", "PROCESSOR_ADDRESS"):
        if strict and not os.environ.get(name):
            raise MissingEnvVar(f"{name} is required")
    core = os.environ.get("ORCA_CORE", "")
    host, port, external = "", None, None
    if os.environ.get("PROCESSOR_ADDRESS"):
        place = find_processor(environ={**_without_tls(), "ENV": ""})
        host, external = place.advertise_host, place.advertise_port
        port = int(place.bind.rpartition(":")[2])
    return _production(), _target(core) if core else "", host, port, external


def _without_tls() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("ORCA_TLS_")}


def _production() -> bool:
    return os.environ.get("ENV", "") == "production"


def _target(address: str) -> str:
    host, port, _ = parse_address(address)
    return f"{host}:{port}"


def _core() -> str:
    try:
        return find_core().target
    except MissingEnvVar:
        return ""


def _place() -> tuple[str, int, int]:
    """Host, bound port and announced port; 0 where the system will choose."""
    place = find_processor(environ={**_without_tls(), "ENV": ""})
    port = int(place.bind.rpartition(":")[2])
    return place.advertise_host, port, place.advertise_port or port


_READ: Final[dict[str, Any]] = {
    "ORCASERVER": _core,
    "ORCA_CORE": _core,
    "HOST": lambda: _place()[0],
    "PORT": lambda: str(_place()[1] or ""),
    "PROCESSOR_HOST": lambda: _place()[0],
    "PROCESSOR_PORT": lambda: _place()[1],
    "PROCESSOR_EXTERNAL_PORT": lambda: _place()[2],
    "PROJECT_NAME": lambda: find_project().project,
    "hasConfig": lambda: find_project().path is not None,
    "is_production": _production,
}


def __getattr__(name: str) -> Any:
    if name not in _READ:
        raise AttributeError(f"module 'orca_python.envs' has no attribute '{name}'")
    return _READ[name]()
