"""Where the core is, and where a processor listens: arguments, environment, orca.json, .orca/core.json.

Nothing is read at import. Each function takes the environment and the working directory as arguments and says
which source it took its answer from.

The core, first match: the argument; ``ORCA_CORE``; ``ORCASERVER``; ``orcaConnectionString`` of the nearest
orca.json; the nearest .orca/core.json, which ``orca start`` writes (``{"address": "host:port", "token":
"...", "pid": 123}``). A token: the argument, ``ORCA_TOKEN``, the token of the .orca/core.json that was used.
TLS: ``grpcs://`` before the address, ``ENV=production``, or ``ORCA_TLS_CA``; a client certificate from
``ORCA_TLS_CERT`` and ``ORCA_TLS_KEY``.

A processor, first match: the arguments; ``PROCESSOR_ADDRESS`` with optional ``PROCESSOR_EXTERNAL_PORT`` (where it
is a host alone, as releases 0.7 want it, the port is ``PROCESSOR_PORT``); ``PORT`` with optional ``HOST``, or
``HOST`` alone beside ``ORCASERVER``, which takes a free port; ``processorPort`` and
``processorConnectionString`` of orca.json; a free port on loopback.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

from orca.processor.errors import BadConfigFile, BadEnvVar, MissingEnvVar

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "CORE_FILE",
    "PROJECT_FILE",
    "CoreAddress",
    "ProcessorAddress",
    "ProjectFile",
    "find_core",
    "find_processor",
    "find_project",
    "parse_address",
]

CORE_FILE: Final = Path(".orca", "core.json")
PROJECT_FILE: Final = "orca.json"
LEVELS_MAX: Final = 64
"""Folders looked into on the way up: deeper trees do not occur, and a loop of mounts must end."""

_SCHEMES: Final = {"grpc": False, "grpcs": True, "http": False, "https": True}
_ADDRESS: Final = re.compile(
    r"(?:(?P<scheme>[a-z]+)://)?(?P<host>\[[^\]\s]+\]|[^:/\s]+):(?P<port>[0-9]{1,5})/?"
)


@dataclass(frozen=True, slots=True)
class CoreAddress:
    """How to reach a core.

    Attributes:
        target: ``host:port``.
        secure: Whether to speak TLS.
        token: The bearer token; may be empty. Not shown in the repr.
        ca_file: A file of certificates to trust, instead of the system's.
        cert_file: Our own certificate, for mutual TLS.
        key_file: The key of that certificate.
        source: Where the address was found, for messages.
    """

    target: str
    secure: bool = False
    token: str = field(default="", repr=False)
    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""
    source: str = "argument"

    @property
    def url(self) -> str:
        """The address as people write it."""
        return f"{'grpcs' if self.secure else 'grpc'}://{self.target}"


@dataclass(frozen=True, slots=True)
class ProcessorAddress:
    """Where a processor listens, and what it tells the core.

    Attributes:
        bind: ``host:port`` to listen on; port 0 takes a free one.
        advertise_host: The host under which the core reaches the processor.
        advertise_port: The port there; 0 means the port that was bound.
        cert_file: The server's certificate, for TLS.
        key_file: The key of that certificate.
        ca_file: Certificates that clients must show one of, for mutual TLS.
        source: Where it was found, for messages.
    """

    bind: str
    advertise_host: str
    advertise_port: int = 0
    cert_file: str = ""
    key_file: str = ""
    ca_file: str = ""
    source: str = "default"

    @property
    def secure(self) -> bool:
        """Whether to serve TLS."""
        return bool(self.cert_file)

    def advertise(self, bound_port: int) -> str:
        """The address that the core is told."""
        return f"{self.advertise_host}:{self.advertise_port or bound_port}"


@dataclass(frozen=True, slots=True)
class ProjectFile:
    """The content of orca.json.

    Attributes:
        path: The file; None when there is none.
        project: ``projectName``.
        core: ``orcaConnectionString``.
        port: ``processorPort``, which the processor binds; 0 when not given.
        address: ``processorConnectionString``, which the core is told.
        unknown: Keys that mean nothing, so that a caller can warn.
    """

    path: Path | None = None
    project: str = ""
    core: str = ""
    port: int = 0
    address: str = ""
    unknown: tuple[str, ...] = ()


def parse_address(text: str) -> tuple[str, int, bool | None]:
    """Host, port and security of ``host:port`` or ``grpc://host:port``.

    Returns:
        The third part is True for grpcs and https, False for grpc and http, None without a scheme.

    Raises:
        BadEnvVar: The text has another form.

    Example:
        >>> parse_address("grpc://core:50051")
        ('core', 50051, False)
        >>> parse_address("[::1]:8080")
        ('[::1]', 8080, None)
    """
    found = _ADDRESS.fullmatch(text.strip())
    scheme = found["scheme"] if found else None
    if found is None or (scheme and scheme not in _SCHEMES) or not 0 <= int(found["port"]) <= 65_535:
        raise BadEnvVar(f"'{text}' is no address", hint="write host:port or grpc://host:port")
    return found["host"], int(found["port"]), _SCHEMES[scheme] if scheme else None


def find_core(
    core: str | CoreAddress | None = None,
    *,
    token: str | None = None,
    environ: Mapping[str, str] | None = None,
    folder: Path | None = None,
) -> CoreAddress:
    """The core to speak to.

    Args:
        core: An address, when the caller knows it.
        token: A bearer token, when the caller has one.
        environ: The environment; ``os.environ`` when None.
        folder: Where the search for files begins; the working directory when None.

    Raises:
        MissingEnvVar: No source names a core.
        BadEnvVar: An address has a wrong form.
        BadConfigFile: A file that names the core cannot be used.
    """
    if isinstance(core, CoreAddress):
        return core
    env = os.environ if environ is None else environ
    folder = folder or Path.cwd()
    text, source, file_token = _core_text(core, env, folder)
    try:
        host, port, secure = parse_address(text)
    except BadEnvVar as error:
        raise BadEnvVar(f"{source}: {error.message}", hint=error.hint) from None
    tls = {name: env.get(f"ORCA_TLS_{name.upper()}", "") for name in ("ca", "cert", "key")}
    if secure is None:
        secure = env.get("ENV") == "production" or bool(tls["ca"])
    _check_pair(tls["cert"], tls["key"])
    return CoreAddress(
        target=f"{host}:{port}",
        secure=secure,
        token=token if token is not None else env.get("ORCA_TOKEN", "") or file_token,
        ca_file=tls["ca"],
        cert_file=tls["cert"],
        key_file=tls["key"],
        source=source,
    )


def _core_text(core: str | None, env: Mapping[str, str], folder: Path) -> tuple[str, str, str]:
    """The address as written, its source, and the token that belongs to it."""
    if core:
        return core, "argument", ""
    for name in ("ORCA_CORE", "ORCASERVER"):
        if env.get(name):
            return env[name], f"environment {name}", ""
    project = find_project(folder)
    if project.core:
        return project.core, str(project.path), ""
    for path in _upwards(folder, CORE_FILE):
        content = _read_json(path)
        address, token = content.get("address"), content.get("token", "")
        if not isinstance(address, str) or not isinstance(token, str):
            raise BadConfigFile(
                f"{path}: 'address' and 'token' must be texts", hint="restart the core: orca start"
            )
        return address, str(path), token
    sources = "no argument, no ORCA_CORE or ORCASERVER, no orca.json with orcaConnectionString"
    files = f"no .orca/core.json in {folder} or above"
    raise MissingEnvVar(f"no core is known: {sources}, and {files}", hint="start one: orca start")


def find_project(folder: Path | None = None) -> ProjectFile:
    """The nearest orca.json, from ``folder`` upwards.

    Raises:
        BadConfigFile: It is no JSON object, or values have a wrong type; all faults are listed.
    """
    for path in _upwards(folder or Path.cwd(), Path(PROJECT_FILE)):
        return _project(path, _read_json(path))
    return ProjectFile()


def _project(path: Path, content: dict[str, Any]) -> ProjectFile:
    texts = ("projectName", "orcaConnectionString", "processorConnectionString")
    faults = [f"'{key}' must be a text" for key in texts if not isinstance(content.get(key, ""), str)]
    port = content.get("processorPort", 0)
    if not isinstance(port, int) or isinstance(port, bool) or not 0 <= port <= 65_535:
        faults.append("'processorPort' must be a number from 0 to 65535")
    for key in texts[1:]:
        value = content.get(key)
        if isinstance(value, str) and value:
            try:
                parse_address(value)
            except BadEnvVar as error:
                faults.append(f"'{key}': {error.message}")
    if faults:
        hint = "correct the file, or write a new one: orca init"
        raise BadConfigFile(f"{path}: {'; '.join(faults)}", hint=hint)
    known = {*texts, "processorPort"}
    return ProjectFile(
        path=path,
        project=content.get("projectName", ""),
        core=content.get("orcaConnectionString", ""),
        port=port,
        address=content.get("processorConnectionString", ""),
        unknown=tuple(sorted(set(content) - known)),
    )


def find_processor(
    *,
    bind: str | None = None,
    advertise: str | None = None,
    environ: Mapping[str, str] | None = None,
    folder: Path | None = None,
) -> ProcessorAddress:
    """Where the processor listens and what it advertises.

    Args:
        bind: ``host:port`` to listen on.
        advertise: ``host:port`` to tell the core; the bound address when None.
        environ: The environment; ``os.environ`` when None.
        folder: Where the search for orca.json begins.

    Raises:
        BadEnvVar: A variable has a wrong form.
        BadConfigFile: orca.json cannot be used.
        MissingEnvVar: ``ENV=production`` asks for TLS and there is no certificate.
    """
    env = os.environ if environ is None else environ
    listen, host, port, source = _processor_place(bind, advertise, env, folder)
    tls = {name: env.get(f"ORCA_TLS_{name.upper()}", "") for name in ("ca", "cert", "key")}
    _check_pair(tls["cert"], tls["key"])
    if env.get("ENV") == "production" and not tls["cert"]:
        hint = "set ORCA_TLS_CERT and ORCA_TLS_KEY to PEM files, or leave ENV unset"
        raise MissingEnvVar("ENV=production serves TLS, and there is no certificate", hint=hint)
    return ProcessorAddress(
        bind=listen,
        advertise_host=host,
        advertise_port=port,
        cert_file=tls["cert"],
        key_file=tls["key"],
        ca_file=tls["ca"] if tls["cert"] else "",
        source=source,
    )


def _processor_place(
    bind: str | None, advertise: str | None, env: Mapping[str, str], folder: Path | None
) -> tuple[str, str, int, str]:
    """Bind address, advertised host, advertised port (0: the bound one), source."""
    if bind or advertise:
        host, port, _ = parse_address(advertise or bind or "")
        if advertise is None:
            return bind or "", _reachable(host), port, "argument"
        return bind or f"0.0.0.0:{port}", host, port, "argument"
    if env.get("PROCESSOR_ADDRESS"):
        host, port = _from_env(env, "PROCESSOR_ADDRESS")
        external = _port(env, "PROCESSOR_EXTERNAL_PORT") if env.get("PROCESSOR_EXTERNAL_PORT") else port
        return f"[::]:{port}", host, external, "environment PROCESSOR_ADDRESS"
    if env.get("PORT"):
        port = _port(env, "PORT")
        return f"0.0.0.0:{port}", env.get("HOST") or "127.0.0.1", port, "environment PORT"
    if env.get("HOST") and env.get("ORCASERVER"):  # shells set HOST too: alone it says nothing
        return "0.0.0.0:0", env["HOST"], 0, "environment HOST"
    project = find_project(folder)
    if project.address or project.port:
        host, external = "127.0.0.1", project.port
        if project.address:
            host, external, _ = parse_address(project.address)
        return f"[::]:{project.port or external}", host, external, str(project.path)
    return "127.0.0.1:0", "127.0.0.1", 0, "default"


def _reachable(host: str) -> str:
    return "127.0.0.1" if host in {"0.0.0.0", "[::]"} else host  # noqa: S104 - compared, not bound


def _from_env(env: Mapping[str, str], name: str) -> tuple[str, int]:
    text = env[name].strip()
    if env.get("PROCESSOR_PORT") and not text.rpartition("]")[2].count(":"):
        text = f"{text}:{_port(env, 'PROCESSOR_PORT')}"
    try:
        host, port, _ = parse_address(text)
    except BadEnvVar as error:
        raise BadEnvVar(f"{name}: {error.message}", hint=error.hint) from None
    return host, port


def _port(env: Mapping[str, str], name: str) -> int:
    text = env[name].strip()
    if not text.isdecimal() or not 0 < int(text) <= 65_535:
        raise BadEnvVar(f"{name}: '{env[name]}' is no port number", hint="write a number from 1 to 65535")
    return int(text)


def _check_pair(cert: str, key: str) -> None:
    if bool(cert) != bool(key):
        raise BadEnvVar("ORCA_TLS_CERT and ORCA_TLS_KEY go together, and only one is set")


def _upwards(folder: Path, name: Path) -> list[Path]:
    """The nearest file of that name, as a list of at most one."""
    start = folder.resolve()
    for parent in (start, *start.parents)[:LEVELS_MAX]:
        if (parent / name).is_file():
            return [parent / name]
    return []


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content: object = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadConfigFile(f"{path} cannot be read: {error}") from error
    if not isinstance(content, dict):
        raise BadConfigFile(f"{path} must hold a JSON object")
    return cast("dict[str, Any]", content)
