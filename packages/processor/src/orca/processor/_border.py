"""The one place where gRPC's errors become ours, and where channels are opened."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from orca.common.backoff import Decision
from orca.processor import wire
from orca.processor.errors import (
    AlreadyExists,
    BadConfigFile,
    BaseOrcaException,
    CoreError,
    CoreTimeout,
    CoreUnreachable,
    FailedPrecondition,
    InvalidRequest,
    NotAllowed,
    NotFound,
    NotOffered,
    ResourceExhausted,
)

if TYPE_CHECKING:
    import grpc

    from orca.processor.discovery import CoreAddress, ProcessorAddress

__all__ = [
    "channel_credentials",
    "decide",
    "invocation_metadata",
    "map_rpc_error",
    "never_sent",
    "open_channel",
    "server_credentials",
]

_KINDS: Final[dict[str, type[CoreError]]] = {
    "INVALID_ARGUMENT": InvalidRequest,
    "OUT_OF_RANGE": InvalidRequest,
    "NOT_FOUND": NotFound,
    "ALREADY_EXISTS": AlreadyExists,
    "FAILED_PRECONDITION": FailedPrecondition,
    "RESOURCE_EXHAUSTED": ResourceExhausted,
    "UNAUTHENTICATED": NotAllowed,
    "PERMISSION_DENIED": NotAllowed,
    "UNIMPLEMENTED": NotOffered,
}
_HINTS: Final = {
    "UNAUTHENTICATED": "give a token: OrcaClient(token=...) or ORCA_TOKEN",
    "UNIMPLEMENTED": "this core does not have that call; the whole of it is in orca-orchestrator: orca start",
}
_NEVER_SENT: Final = ("failed to connect", "connection refused", "dns resolution failed", "no such file")


def map_rpc_error(error: Any, core: CoreAddress, what: str) -> BaseOrcaException:
    """Our error for a ``grpc.RpcError``.

    Args:
        error: Of the sync or the async API.
        core: Where the call went.
        what: What was called, for the message.
    """
    status: str = error.code().name
    details = str(error.details() or "")
    if status == "UNAVAILABLE":
        reason = "connection refused" if "refused" in details.lower() else details or "no answer"
        return CoreUnreachable(f"Core not reachable at {core.url} ({reason}).", hint="start it: orca start")
    if status == "DEADLINE_EXCEEDED":
        return CoreTimeout(
            f"{what}: no answer from {core.url} in time", hint="raise timeout_s, or look: orca status"
        )
    kind = _KINDS.get(status, CoreError)
    return kind(f"{what}: {details or status}", status=status, details=details, hint=_HINTS.get(status, ""))


def never_sent(error: Any) -> bool:
    """Whether a failed call certainly never reached a server, so that repeating it cannot do it twice."""
    details = str(error.details() or "").lower()
    return error.code().name == "UNAVAILABLE" and any(words in details for words in _NEVER_SENT)


def decide(error: Exception) -> Decision:
    """Retry what may succeed later: the core away, or out of room."""
    return Decision(retry=isinstance(error, BaseOrcaException) and error.retryable)


def invocation_metadata(core: CoreAddress, *extra: tuple[str, str]) -> tuple[tuple[str, str], ...]:
    """The metadata of a call, with the token."""
    token = ((wire.AUTHORIZATION_KEY, f"Bearer {core.token}"),) if core.token else ()
    return (*token, *extra)


def _read(path: str) -> bytes | None:
    if not path:
        return None
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise BadConfigFile(f"{path} cannot be read: {error.strerror}", hint="name a PEM file") from error


def channel_credentials(core: CoreAddress) -> grpc.ChannelCredentials:
    """TLS credentials for the channel to ``core``."""
    import grpc  # noqa: PLC0415

    return grpc.ssl_channel_credentials(_read(core.ca_file), _read(core.key_file), _read(core.cert_file))


def server_credentials(address: ProcessorAddress) -> grpc.ServerCredentials:
    """TLS credentials of a processor; with ``ca_file`` clients must show a certificate.

    Raises:
        BadConfigFile: A file cannot be read.
    """
    import grpc  # noqa: PLC0415

    pair = (_read(address.key_file) or b"", _read(address.cert_file) or b"")
    root = _read(address.ca_file)
    return grpc.ssl_server_credentials([pair], root, require_client_auth=root is not None)


def open_channel(core: CoreAddress, *, asynchronous: bool) -> Any:
    """A long-lived channel to ``core``; it connects at the first call.

    Raises:
        BadConfigFile: A certificate file cannot be read.
    """
    import grpc  # noqa: PLC0415
    import grpc.aio  # noqa: PLC0415

    options: list[tuple[str, Any]] = list(wire.channel_options())
    if asynchronous:
        if core.secure:
            return grpc.aio.secure_channel(core.target, channel_credentials(core), options=options)
        return grpc.aio.insecure_channel(core.target, options=options)
    # One thread per channel instead of one per call: 1.4 times as fast in the sync API.
    options.append(("SingleThreadedUnaryStream", 1))
    if core.secure:
        return grpc.secure_channel(core.target, channel_credentials(core), options=options)
    return grpc.insecure_channel(core.target, options=options)
