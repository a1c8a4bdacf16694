"""PostgreSQL as an operator meets it: start, settings, upgrades, commands, pages."""

import asyncio
import logging
import urllib.request
from importlib import import_module
from urllib.parse import urlsplit

import asyncpg
import databases
import pytest
from running import go, running, until, working
from worker import chain

from orca.common.cli import main
from orca.common.errors import ConfigError, UsageError
from orca.orchestrator import dashboard
from orca.orchestrator.doctor import check_core
from orca.orchestrator.errors import StoreError, StoreNewerError
from orca.orchestrator.settings import CoreSettings, DatabaseUrl, from_environ
from orca.orchestrator.store import migrations, postgres_link
from orca.orchestrator.store.opening import open_store
from orca.orchestrator.store.postgres import open_postgres


def with_password(url):
    """The same database; the server of the tests takes any password."""
    return url.replace("postgres:@", "postgres:s3cret@", 1)


def test_the_commands_with_a_shared_store(tmp_path, database, monkeypatch, capsys, caplog):
    monkeypatch.chdir(tmp_path)
    for name in ("ORCA_CORE", "ORCASERVER"):
        monkeypatch.delenv(name, raising=False)
    url = with_password(database)
    assert main(["start", "--port", "0", "--database", url]) == 0
    shown = capsys.readouterr().out
    assert "postgres:***@" in shown
    assert main(["status"]) == 0
    assert "PostgreSQL: connected\nConnection string: postgresql://postgres:***@" in capsys.readouterr().out
    assert main(["start", "--port", "0", "--database", url, "--folder", "second"]) == 0
    assert main(["db", "status"]) == 0
    assert "postgresql" in capsys.readouterr().out
    assert main(["db", "sql", "SELECT count(*) AS windows FROM windows"]) == 0
    assert "windows" in capsys.readouterr().out
    assert main(["db", "sql", "DELETE FROM windows"]) != 0
    assert main(["db", "backup"]) != 0
    assert "pg_dump" in capsys.readouterr().err
    assert main(["stop", "--folder", "second"]) == 0
    assert main(["destroy", "--yes"]) == 0
    assert "was left as it is" in capsys.readouterr().out
    monkeypatch.setenv("ORCA_CORE_DATABASE", url)
    assert main(["db", "restore", "copy.db"]) == 2
    assert "pg_restore" in capsys.readouterr().err
    written = "".join(path.read_text("utf-8") for path in tmp_path.rglob("core*") if path.is_file())
    assert "s3cret" not in written + caplog.text


def test_a_database_that_is_not_there(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["start", "--port", "0", "--database", "postgresql://orca:s3cret@127.0.0.1:1/orca"]) != 0
    told = capsys.readouterr().err
    assert "the database cannot be reached" in told
    assert "s3cret" not in told
    with pytest.raises(ConfigError, match="postgresql://user:password@host"):
        CoreSettings(database=DatabaseUrl("mysql://x")).checked()
    with pytest.raises(
        ConfigError, match=r"lease_s is 0.5.*connections_max is 0|connections_max is 0.*lease_s is 0.5"
    ):
        CoreSettings(lease_s=0.5, database_connections_max=0).checked()


def test_the_doctor_looks_at_the_database(tmp_path, database, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ORCA_CORE_PORT", "0")

    def found(url):
        monkeypatch.setenv("ORCA_CORE_DATABASE", url)
        return [(one.level, one.message) for one in check_core()][-1]

    level, text = found(with_password(database))
    assert (level, "no tables yet" in text, "s3cret" in text) == ("ok", True, False)
    go(make_and_close(database))
    number = migrations.load_migrations("postgres")[-1].number
    assert found(database)[1].endswith(f"has schema {number} of {number}")
    level, text = found("postgresql://orca:s3cret@127.0.0.1:1/orca")
    assert (level, "cannot be reached" in text, "s3cret" in text) == ("error", True, False)


async def make_and_close(url):
    await (await open_postgres(url, lease_s=5)).close()


def test_the_password_is_never_shown():
    url = "postgresql://orca:s3c@ret@db:5432/orca?sslmode=require&sslpassword=s3c@ret"
    settings = from_environ({"ORCA_CORE_DATABASE": url})
    assert settings.database.reveal() == url
    assert "s3c" not in f"{settings!r} {settings.database} {settings.database!r}"
    assert settings.database == DatabaseUrl(url)
    assert len({settings.database, DatabaseUrl(url), DatabaseUrl()}) == 2


def test_the_extra_is_named_when_it_is_missing(tmp_path, monkeypatch):
    def without(name):
        if name.startswith(missing):
            raise ImportError(name)
        return import_module(name)

    monkeypatch.setattr(postgres_link, "import_module", without)
    settings = CoreSettings(folder=tmp_path, database=DatabaseUrl("postgresql://127.0.0.1:1/orca"))
    for missing in ("asyncpg", "pgqueuer"):
        with pytest.raises(UsageError, match=missing) as caught:
            go(open_store(settings))
        assert caught.value.hint == "pip install 'orca-orchestrator[postgres]'"


def test_a_newer_database_is_refused_and_untouched(database):
    async def main():
        await (await open_postgres(database, lease_s=5)).close()
        connection = await asyncpg.connect(database)
        await connection.execute("INSERT INTO orca.schema_version VALUES (99, 'later', 0)")
        tables = await connection.fetch("SELECT * FROM pg_tables WHERE schemaname LIKE 'orca%'")
        with pytest.raises(StoreNewerError, match="version 99"):
            await open_postgres(database, lease_s=5)
        assert await connection.fetch("SELECT * FROM pg_tables WHERE schemaname LIKE 'orca%'") == tables
        await connection.close()

    go(main())


def test_an_upgrade_copies_the_tables_before(database, monkeypatch, caplog):
    caplog.set_level(logging.INFO)
    steps = migrations.load_migrations("postgres")

    def also(*more):
        monkeypatch.setattr(migrations, "load_migrations", lambda dialect: (*steps, *more))

    async def main():
        store = await open_postgres(database, lease_s=5)
        sql = "INSERT INTO tokens (name, digest, scopes, created_ns) VALUES (?, ?, ?, ?)"
        await store.write("token", [(sql, ("a", "d", "read", 1))])
        await store.close()
        number = steps[-1].number + 1
        added = migrations.Migration(number, "more.sql", ("CREATE TABLE more (id BIGINT)",))
        also(added)
        await (await open_postgres(database, lease_s=5)).close()
        connection = await asyncpg.connect(database)
        copies = await connection.fetch("SELECT nspname FROM pg_namespace WHERE nspname LIKE 'orca_before_%'")
        (copy,) = [row["nspname"] for row in copies]
        assert copy.startswith(f"orca_before_{number:04}_")
        assert await connection.fetchval(f"SELECT name FROM {copy}.tokens") == "a"
        broken = migrations.Migration(
            number + 1, "x.sql", ("CREATE TABLE x (id BIGINT)", "CREATE TABLE more (id BIGINT)")
        )
        also(added, broken)
        with pytest.raises(StoreError, match="more"):
            await open_postgres(database, lease_s=5)
        # All of a step or nothing.
        assert await connection.fetchval("SELECT to_regclass('orca.x')") is None
        assert await connection.fetchval("SELECT max(number) FROM orca.schema_version") == number
        await connection.close()

    go(main())


def test_replicas_that_start_together_make_the_tables_once(database):
    async def main():
        stores = await asyncio.gather(*(open_postgres(database, lease_s=5) for _ in range(4)))
        (row,) = await stores[0].fetch("SELECT count(*) AS steps FROM schema_version")
        assert row["steps"] == len(migrations.load_migrations("postgres"))
        await asyncio.gather(*(store.close() for store in stores))

    go(main())


def test_a_role_that_may_only_use_its_own_schema(tmp_path, postgres):
    async def main():
        url = await databases.new_database(postgres)
        admin = await asyncpg.connect(url)
        role = urlsplit(url).path[1:] + "_role"
        await admin.execute(f"CREATE ROLE {role} LOGIN")
        await admin.execute(f"CREATE SCHEMA orca AUTHORIZATION {role}")
        await admin.close()
        plain = url.replace("postgres:@", f"{role}:@", 1)
        async with running(tmp_path, database=DatabaseUrl(plain)) as core, working(core, chain()):
            _, window_id, _ = await core.emit(1)
            assert (await core.finished(window_id)).run.state == "succeeded"
            names, rows = await core.core.store.read_sql("SELECT count(*) FROM results", limit=1, timeout_s=5)
            assert (names, rows) == (["count"], [[3]])

    go(main())


def test_every_page_reads_from_postgresql(tmp_path, database):
    async def main():
        worker = chain()
        worker.bodies["C"] = lambda inputs, request: 1 / 0
        async with (
            running(tmp_path, database=DatabaseUrl(database), web_port=0) as core,
            working(core, worker),
        ):
            pages = dashboard.mounted(core.server)
            await core.server.mount(pages)
            for number in range(5):
                _, window_id, _ = await core.emit(number, metadata={"station": "a"})
                detail = await core.finished(window_id)
            cookie = f"{pages.access.cookie}={pages.access.enter(pages.access.token)}"

            def get(path):
                request = urllib.request.Request(
                    f"http://127.0.0.1:{pages.port}{path}", headers={"cookie": cookie}
                )
                with urllib.request.urlopen(request, timeout=60) as answer:
                    return answer.status, answer.read()

            for path in (
                "/",
                "/windows",
                "/windows?metadata=station=a&from=2026-01-01",
                f"/runs/{detail.run.id}",
                "/dag",
                "/algorithms/A/1.0.0",
                "/results",
                "/failures",
                "/processors",
                "/queue",
                "/freshness",
                "/machines",
                "/tasks",
                "/data/results?algorithm=A%201.0.0",
                "/data/durations?name=A",
                "/export/results.csv",
                "/export/windows.csv",
            ):
                status, body = await asyncio.to_thread(get, path)
                assert status == 200, path
                assert body, path
            status, body = await asyncio.to_thread(get, "/failures")
            assert b"ZeroDivisionError" in body
            await until(lambda: len(core.core.engine.index) == 0)

    go(main())
