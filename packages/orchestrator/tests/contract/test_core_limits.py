"""Limits of single algorithms, what must not be stored, what is kept how long, and encryption."""

import asyncio
import json
import sqlite3
import time
from dataclasses import replace

import grpc
import grpc.aio
import pytest
import trustme
from running import WAIT_S, go, running, until, window, working
from worker import Worker, chain

from orca.orchestrator.process import start_background, stop_background
from orca.orchestrator.settings import CoreSettings
from orca.orchestrator.store import group
from orca.processor import structs, wire
from orca.processor import wire_query as q
from orca.processor.registration import OPTIONS_KEY

NOTHING = wire.WindowEmitStatus.NO_TRIGGERED_ALGORITHMS


def test_an_algorithm_with_a_limit_runs_so_often_at_once_and_holds_up_no_other(tmp_path):
    running_now = {"A": 0, "X": 0}
    most = {"A": 0, "X": 0}

    async def main():
        opened = asyncio.Event()

        def body(name):
            async def run(inputs, request):
                running_now[name] += 1
                most[name] = max(most[name], running_now[name])
                await opened.wait()
                running_now[name] -= 1
                return 1.0

            return run

        worker = Worker("limited", {"A": body("A"), "X": body("X")}, chains=True)
        worker.algorithm("A")
        worker.algorithm("X", window="Other")
        async with running(tmp_path) as core:
            await worker.start()
            options = ((OPTIONS_KEY, json.dumps({"A_1.0.0": {"concurrency_max": 2}})),)
            features = ((wire.FEATURES_KEY, wire.FEATURE_CHAINS),)
            register = core.call(wire.OrcaCore.RegisterProcessor)
            await register(worker.message(), metadata=(*options, *features), timeout=WAIT_S)
            await core.serving("limited")
            ids = [(await core.emit(number))[1] for number in range(30)]
            others = [(await core.emit(number, kind="Other"))[1] for number in range(5)]
            await until(lambda: running_now == {"A": 2, "X": 5})
            opened.set()
            for window_id in [*ids, *others]:
                assert (await core.finished(window_id)).run.state == "succeeded"
            assert most == {"A": 2, "X": 5}
            (link,) = core.core.links
            assert link.waiting == 0
            await worker.stop()

    go(main())


def test_fields_that_must_not_be_stored_reach_the_algorithm_and_no_disk(tmp_path):
    seen = []

    def body(inputs, request):
        seen.append(structs.struct_dict(request.window.metadata))
        return 1.0

    async def main():
        worker = Worker("quiet", {"A": body})
        kind = worker.algorithm("A").window_type
        kind.metadataFields.add(name="station", description="s", filter=True)
        kind.metadataFields.add(name="secret", description="s", noStore=True, filter=True)
        async with running(tmp_path) as core, working(core, worker):
            given = {"station": "sf", "secret": "hunter2-hunter2"}
            _, window_id, _ = await core.emit(1, metadata=given)
            await core.finished(window_id)
            assert seen == [given]
            assert (await core.emit(1, metadata=given))[2], "the same window is still known"
            _, other, duplicate = await core.emit(1, metadata={**given, "secret": "another"})
            assert not duplicate
            await core.finished(other)
            rows = await core.rows(q.OrcaQuery.ListWindows, q.ListWindowsRequest())
            assert [json.loads(row.metadata) for row in rows] == [{"station": "sf"}] * 2
            # Run again it gets along without.
            await core.rows(q.OrcaQuery.Reprocess, q.ReprocessRequest(window_id=window_id))
            await until(lambda: len(seen) == 3)
            assert seen[2] == {"station": "sf"}

    go(main())
    for path in tmp_path.iterdir():
        if path.is_file():
            assert b"hunter2" not in path.read_bytes(), path


def test_windows_are_kept_by_age(tmp_path):
    async def main():
        async with running(tmp_path, keep_ns=3600 * 10**9) as core, working(core, chain()):
            ids = [(await core.emit(number))[1] for number in range(4)]
            for window_id in ids:
                await core.finished(window_id)
            old = (time.time_ns() - 2 * 3600 * 10**9, ids[1])
            for sql in (
                "UPDATE windows SET created_ns = ? WHERE id <= ?",
                "UPDATE runs SET created_ns = ? WHERE window_id <= ?",
                "UPDATE runs SET finished_ns = ? WHERE window_id <= ?",
            ):
                await core.core.store.write("record", [(sql, old)])
            await core.core.keep_within_bounds()
            rows = await core.rows(q.OrcaQuery.ListWindows, q.ListWindowsRequest())
            assert [row.id for row in rows] == ids[2:]
            for table in ("results", "executions"):
                (count,) = await core.core.store.fetch(f"SELECT count(*) AS n FROM {table}")
                assert count["n"] == 6

    go(main())


def test_a_call_that_takes_too_long_is_ended_and_can_be_made_again(tmp_path, monkeypatch):
    # The store itself would refuse sooner.
    monkeypatch.setattr(group, "BUSY_TRIES", 100_000)

    async def main():
        async with running(tmp_path, call_deadline_s=10.0) as core:
            other = sqlite3.connect(tmp_path / "orca.db", isolation_level=None)
            other.execute("BEGIN IMMEDIATE")
            assert await code_of(core.emit(1)) is grpc.StatusCode.DEADLINE_EXCEEDED
            other.execute("ROLLBACK")
            other.close()
            _, window_id, _ = await core.emit(1)
            rows = await core.rows(q.OrcaQuery.ListWindows, q.ListWindowsRequest())
            assert [row.id for row in rows] == [window_id]

    go(main())


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    """A CA of ours, one of strangers, and a certificate of each for this machine."""
    folder = tmp_path_factory.mktemp("tls")
    made = {}
    for name in ("ours", "strange"):
        ca = trustme.CA()
        issued = ca.issue_cert("localhost", "127.0.0.1")
        files = {part: folder / f"{name}-{part}.pem" for part in ("ca", "key", "cert")}
        ca.cert_pem.write_to_path(files["ca"])
        issued.private_key_pem.write_to_path(files["key"])
        files["cert"].write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
        made[name] = files
    return made


def credentials(roots, pair=None):
    read = [pair["key"].read_bytes(), pair["cert"].read_bytes()] if pair else []
    return grpc.ssl_channel_credentials(roots["ca"].read_bytes(), *read)


async def emitted(address, secure, token, number):
    channel = grpc.aio.secure_channel(address, secure) if secure else grpc.aio.insecure_channel(address)
    async with channel:
        bearer = ((wire.AUTHORIZATION_KEY, f"Bearer {token}"),) if token else ()
        answer = wire.call(channel, wire.OrcaCore.EmitWindow)(window(number), metadata=bearer, timeout=30)
        return (await answer).status


async def code_of(work):
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await work
    return caught.value.code()


def test_tls_and_certificates_of_clients(tmp_path, certificates):
    ours, strange = certificates["ours"], certificates["strange"]
    plain = CoreSettings(
        folder=tmp_path, port=0, tls_cert=str(ours["cert"]), tls_key=str(ours["key"]), auth=True
    )

    async def encrypted(address, token):
        assert await emitted(address, credentials(ours), token, 1) == NOTHING
        assert await code_of(emitted(address, credentials(ours), "", 1)) is grpc.StatusCode.UNAUTHENTICATED
        for secure in (None, credentials(strange)):
            assert await code_of(emitted(address, secure, token, 1)) is grpc.StatusCode.UNAVAILABLE

    async def known(address, token):
        assert await emitted(address, credentials(ours, ours), token, 2) == NOTHING
        for secure in (credentials(ours), credentials(ours, strange)):
            assert await code_of(emitted(address, secure, token, 2)) is grpc.StatusCode.UNAVAILABLE

    started = start_background(plain)
    assert started["tls"] is True
    go(encrypted(started["address"], started["token"]))
    stop_background(tmp_path)
    started = start_background(replace(plain, tls_client_ca=str(ours["ca"])))
    go(known(started["address"], started["token"]))
    stop_background(tmp_path)
    connection = sqlite3.connect(tmp_path / "orca.db")
    assert connection.execute("SELECT count(*) FROM windows").fetchone() == (2,)
    connection.close()


def test_processors_are_dialled_with_tls_and_must_be_ours(tmp_path, certificates):
    ours, strange = certificates["ours"], certificates["strange"]

    def secure(pair):
        read = (pair["key"].read_bytes(), pair["cert"].read_bytes())
        # They ask the core for its certificate in turn.
        return grpc.ssl_server_credentials([read], ours["ca"].read_bytes(), require_client_auth=True)

    async def main():
        given = {"processor_ca": str(ours["ca"]), "tls_cert": str(ours["cert"]), "tls_key": str(ours["key"])}
        good, bad = chain("good"), Worker("bad", {"Z": lambda inputs, request: 1.0})
        bad.algorithm("Z", window="Other")
        async with running(tmp_path, insecure=False, **given) as core:
            try:
                for worker, pair in ((good, ours), (bad, strange)):
                    await worker.start(credentials=secure(pair))
                    register = core.call(wire.OrcaCore.RegisterProcessor)
                    await register(worker.message(), timeout=WAIT_S)
                await core.serving("good")
                _, window_id, _ = await core.emit(1)
                assert (await core.finished(window_id)).run.state == "succeeded"
                (link,) = [one for one in core.core.links if one.key.name == "bad"]
                (instance,) = link.instances.values()
                await core.emit(1, kind="Other")
                await until(lambda: instance.state == "lost")
                assert not bad.requests
            finally:
                await good.stop()
                await bad.stop()

    go(main())
