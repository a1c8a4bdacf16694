"""Who may call, and whom the core may dial: tokens with scopes, TLS from files, allowed networks."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import ipaddress
import secrets
import socket
from pathlib import Path
from typing import TYPE_CHECKING

import grpc

from orca.orchestrator.errors import AccessError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from orca.orchestrator.settings import CoreSettings

__all__ = [
    "SCOPES",
    "TokenTable",
    "channel_credentials",
    "dial_target",
    "new_token",
    "server_credentials",
    "token_digest",
]

SCOPES = ("emit", "register", "read", "admin")
"""What a token may allow; ``admin`` includes the others."""

TOKEN_BYTES = 32


def new_token() -> str:
    """A random token, printable, with a prefix that secret scanners can know."""
    return f"orca_{secrets.token_urlsafe(TOKEN_BYTES)}"


def token_digest(token: str) -> str:
    """What is stored of a token. Tokens have 256 random bits, so a plain hash cannot be searched."""
    return hashlib.sha256(token.encode()).hexdigest()


class TokenTable:
    """Known tokens by digest.

    Example:
        >>> table = TokenTable({token_digest("t"): ("ci", ("read",))}, required=True)
        >>> table.check("Bearer t", "read")
        'ci'
    """

    def __init__(self, tokens: Mapping[str, tuple[str, Iterable[str]]], *, required: bool) -> None:
        self._tokens = {digest: (name, frozenset(scopes)) for digest, (name, scopes) in tokens.items()}
        self.required = required

    def add(self, digest: str, name: str, scopes: Iterable[str]) -> None:
        """Take a token in."""
        self._tokens[digest] = (name, frozenset(scopes))

    def replace(self, tokens: Mapping[str, tuple[str, Iterable[str]]]) -> None:
        """Take these tokens in place of all known ones."""
        self._tokens = {digest: (name, frozenset(scopes)) for digest, (name, scopes) in tokens.items()}

    def remove(self, name: str) -> None:
        """Refuse a token from now on."""
        self._tokens = {digest: entry for digest, entry in self._tokens.items() if entry[0] != name}

    def check(self, authorization: str, scope: str) -> str:
        """The name of a caller who may.

        Args:
            authorization: The value of that header; may be empty.
            scope: What the call needs.

        Raises:
            AccessError: No token where one is required, an unknown one, or one without the scope.
        """
        if not self.required and not authorization:
            return ""
        kind, _, token = authorization.partition(" ")
        if kind.lower() != "bearer" or not token:
            raise AccessError(
                "this core needs a token", hint="set ORCA_TOKEN; make one with: orca token create"
            )
        digest = token_digest(token.strip())
        for known, (name, scopes) in self._tokens.items():
            if hmac.compare_digest(known, digest):
                if scope in scopes or "admin" in scopes:
                    return name
                raise AccessError(
                    f"the token '{name}' lacks the scope '{scope}'", hint="orca token create --scope"
                )
        raise AccessError("the token is not known", hint="make one with: orca token create")


async def dial_target(address: str, settings: CoreSettings) -> str:
    """What to dial for a processor's address, once every address behind its name is allowed.

    A name is resolved here and its first address is dialled, so that it cannot point elsewhere later.

    Raises:
        AccessError: The address lies outside loopback and the allowed networks.
    """
    host, _, port = address.rpartition(":")
    bare = host.strip("[]")
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(bare, int(port), type=socket.SOCK_STREAM)
    except OSError as error:
        raise AccessError(f"the processor's host {bare!r} cannot be resolved: {error}") from error
    networks = [ipaddress.ip_network(text, strict=False) for text in settings.allowed_networks]
    addresses = [ipaddress.ip_address(str(entry[4][0]).partition("%")[0]) for entry in found]
    for one in addresses:
        if not one.is_loopback and not any(one in network for network in networks):
            text = f"processors at {one} may not be dialled"
            raise AccessError(text, hint=f"allow it: ORCA_CORE_ALLOWED_NETWORKS={one}")
    if bare == "localhost":
        return address
    first = addresses[0]
    return f"ipv6:[{first}]:{port}" if first.version == 6 else f"ipv4:{first}:{port}"


def server_credentials(settings: CoreSettings) -> grpc.ServerCredentials:
    """TLS from files; with a client CA, clients must show a certificate."""
    pair = (Path(settings.tls_key).read_bytes(), Path(settings.tls_cert).read_bytes())
    roots = Path(settings.tls_client_ca).read_bytes() if settings.tls_client_ca else None
    return grpc.ssl_server_credentials([pair], roots, require_client_auth=roots is not None)


def channel_credentials(settings: CoreSettings) -> grpc.ChannelCredentials:
    """TLS towards processors; the core's own certificate is shown where there is one."""
    roots = Path(settings.processor_ca).read_bytes()
    if not settings.tls_cert:
        return grpc.ssl_channel_credentials(roots)
    return grpc.ssl_channel_credentials(
        roots, Path(settings.tls_key).read_bytes(), Path(settings.tls_cert).read_bytes()
    )
