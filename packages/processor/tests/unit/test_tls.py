"""TLS, mutual TLS and tokens on both sides: towards a core, and as a processor."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
import trustme
from own_loop import own_loop
from serving import serving

from orca.common.retry import RetryPolicy
from orca.processor import Processor, Window, wire
from orca.processor.client import AsyncOrcaClient, OrcaClient
from orca.processor.discovery import find_core
from orca.processor.errors import BadConfigFile, BadEnvVar, CoreUnreachable, NotAllowed
from orca.processor.registration import register_once
from scripted_core import ScriptedCore, scripted_core

WINDOW = Window(1_747_582_274, 1_747_582_304, "Every30Second", "1.0.0", "Example")
ONCE = RetryPolicy(attempts=1)


class Papers:
    """An authority, and what it issued, as files and as gRPC's credentials."""

    def __init__(self, folder: Path) -> None:
        self.authority = trustme.CA()
        self.folder = folder
        self.ca = folder / "ca.pem"
        self.authority.cert_pem.write_to_path(self.ca)
        self.root = self.authority.cert_pem.bytes()
        self.server_cert, self.server_key = self.issue("server", "127.0.0.1", "localhost")
        self.client_cert, self.client_key = self.issue("client", "client.example")

    def issue(self, name: str, *hosts: str) -> tuple[Path, Path]:
        issued = self.authority.issue_cert(*hosts)
        cert, key = self.folder / f"{name}.pem", self.folder / f"{name}.key"
        cert.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
        issued.private_key_pem.write_to_path(key)
        return cert, key

    def of_server(self, *, mutual: bool) -> Any:
        pair = (self.server_key.read_bytes(), self.server_cert.read_bytes())
        return grpc.ssl_server_credentials([pair], self.root if mutual else None, mutual)

    def trusting(self) -> dict[str, str]:
        return {"ORCA_TLS_CA": str(self.ca)}

    def showing(self) -> dict[str, str]:
        return {
            **self.trusting(),
            "ORCA_TLS_CERT": str(self.client_cert),
            "ORCA_TLS_KEY": str(self.client_key),
        }

    def serving(self, *, mutual: bool) -> dict[str, str]:
        found = {"ORCA_TLS_CERT": str(self.server_cert), "ORCA_TLS_KEY": str(self.server_key)}
        return {**found, **(self.trusting() if mutual else {})}


@pytest.fixture
def papers(tmp_path: Path) -> Papers:
    return Papers(tmp_path)


@pytest.fixture
def tls_core(papers: Papers) -> Iterator[ScriptedCore]:
    with scripted_core(credentials=papers.of_server(mutual=False), token="right") as running:
        yield running


@pytest.fixture
def mutual_core(papers: Papers) -> Iterator[ScriptedCore]:
    with scripted_core(credentials=papers.of_server(mutual=True)) as running:
        yield running


def test_a_client_trusts_its_authority_and_shows_its_token(tls_core: ScriptedCore, papers: Papers) -> None:
    environ = {**papers.trusting(), "ORCA_TOKEN": "right"}
    with OrcaClient(tls_core.address, environ=environ) as client:
        assert client.emit(WINDOW).window_id == 1
    assert tls_core.metadata["EmitWindow"][0]["authorization"] == "Bearer right"
    with OrcaClient(tls_core.address, environ=papers.trusting(), token="wrong") as client:
        with pytest.raises(NotAllowed, match="ORCA_TOKEN") as caught:
            client.emit(WINDOW)
        assert "wrong" not in str(caught.value)
        assert "wrong" not in repr(client)


@own_loop
async def test_the_async_client_speaks_tls_too(tls_core: ScriptedCore, papers: Papers) -> None:
    async with AsyncOrcaClient(tls_core.address, environ=papers.trusting(), token="right") as client:
        assert (await client.emit(WINDOW)).window_id == 1


def test_a_core_of_another_authority_is_not_trusted(tls_core: ScriptedCore, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    environ = Papers(other).trusting()
    with (
        OrcaClient(tls_core.address, environ=environ, token="right", retry=ONCE) as client,
        pytest.raises(CoreUnreachable) as caught,
    ):
        client.emit(WINDOW)
    assert "CERTIFICATE_VERIFY_FAILED" in str(caught.value)
    assert tls_core.calls == []


def test_mutual_tls_towards_a_core(mutual_core: ScriptedCore, papers: Papers) -> None:
    with OrcaClient(mutual_core.address, environ=papers.showing()) as client:
        assert client.emit(WINDOW).window_id == 1
    with (
        OrcaClient(mutual_core.address, environ=papers.trusting(), retry=ONCE) as client,
        pytest.raises(CoreUnreachable),
    ):
        client.emit(WINDOW)
    assert mutual_core.calls == ["EmitWindow"]


def test_plain_text_is_not_spoken_to_a_core_with_tls(tls_core: ScriptedCore) -> None:
    address = tls_core.address.replace("grpcs", "grpc")
    with OrcaClient(address, token="right", environ={}, retry=ONCE) as client, pytest.raises(CoreUnreachable):
        client.emit(WINDOW)
    assert tls_core.calls == []


def test_a_processor_registers_over_mutual_tls_with_its_token(papers: Papers) -> None:
    with scripted_core(credentials=papers.of_server(mutual=True), token="right") as core:
        proc = Processor("ml", bind="127.0.0.1:0", environ={})
        address = find_core(core.address, token="right", environ=papers.showing())
        assert register_once(proc.spec("127.0.0.1:5"), address) == "Successfully registered processor"
        assert core.metadata["RegisterProcessor"][0]["authorization"] == "Bearer right"
        wrong = find_core(core.address, token="wrong", environ=papers.showing())
        with pytest.raises(NotAllowed):
            register_once(proc.spec("127.0.0.1:5"), wrong)
        assert len(core.registrations) == 1


def value_of(proc: Processor) -> None:
    @proc.algorithm("Value", "1.0.0", "Every30Second", "1.0.0")
    def value() -> float:
        return 1.0


def test_a_processor_with_tls_and_a_token(papers: Papers) -> None:
    proc = Processor("ml", bind="127.0.0.1:0", environ=papers.serving(mutual=False), require_token="right")
    value_of(proc)
    with serving(proc, credentials=grpc.ssl_channel_credentials(papers.root)) as running:
        token = (("authorization", "Bearer right"),)
        assert running.value("Value_1.0.0", metadata=token) == 1.0
        for metadata in ((), (("authorization", "Bearer wrong"),), (("authorization", "right"),)):
            with pytest.raises(grpc.RpcError) as caught:
                running.execute("Value_1.0.0", metadata=metadata)
            assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED


def test_a_processor_with_mutual_tls_asks_for_a_certificate(papers: Papers, tmp_path: Path) -> None:
    proc = Processor("ml", bind="127.0.0.1:0", environ=papers.serving(mutual=True))
    value_of(proc)
    shown = grpc.ssl_channel_credentials(
        papers.root, papers.client_key.read_bytes(), papers.client_cert.read_bytes()
    )
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    stranger = Papers(foreign)
    with serving(proc, credentials=shown) as running:
        assert running.value("Value_1.0.0") == 1.0
        target = f"localhost:{running.server.port}"
        for refused in (
            grpc.insecure_channel(target),
            grpc.secure_channel(target, grpc.ssl_channel_credentials(papers.root)),
            grpc.secure_channel(
                target,
                grpc.ssl_channel_credentials(
                    papers.root, stranger.client_key.read_bytes(), stranger.client_cert.read_bytes()
                ),
            ),
        ):
            with refused, pytest.raises(grpc.RpcError) as caught:
                wire.call(refused, wire.OrcaProcessor.HealthCheck)(wire.HealthCheckRequest(), timeout=60)
            assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


def test_certificates_that_cannot_be_served_are_named(papers: Papers) -> None:
    environ = {**papers.serving(mutual=False), "ORCA_TLS_KEY": str(papers.folder / "no.key")}
    with pytest.raises(BadConfigFile, match=r"no\.key"), serving(Processor("ml", environ=environ)):
        pass
    half = {"ORCA_TLS_CERT": str(papers.server_cert)}
    with pytest.raises(BadEnvVar, match="go together"):
        Processor("ml", environ=half).find_address()


def test_our_own_transport_says_that_it_has_no_tls(papers: Papers) -> None:
    proc = Processor("ml", bind="127.0.0.1:0", environ=papers.serving(mutual=False), transport="asyncio")
    with pytest.raises(BadEnvVar, match="no TLS"), serving(proc):
        pass
