"""Both services once more, with the store in PostgreSQL: callers notice no difference."""

import inspect
import sys
from pathlib import Path

import databases
import pytest
import running

sys.path.insert(0, str(Path(__file__).parent))

import test_core_service
import test_query_service

# These are about the file of SQLite, its way of saying things, or no store at all.
OTHER = {
    "test_a_full_disk_is_told_and_nothing_accepted_is_lost",
    "test_backup_and_retention",
    "test_beyond_loopback_needs_tls",
    "test_sql_reads_and_nothing_else",
    "test_endless_sql_is_ended",
}
CASES = [
    function
    for module in (test_core_service, test_query_service)
    for name, function in vars(module).items()
    if name.startswith("test_")
    and name not in OTHER
    and list(inspect.signature(function).parameters) == ["tmp_path"]
]


@pytest.fixture
def on_postgres(postgres, monkeypatch):
    monkeypatch.setattr(running, "new_database", lambda: databases.new_database(postgres))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_the_same_on_postgresql(case, tmp_path, on_postgres):
    case(tmp_path)


@pytest.mark.parametrize("chains", [True, False])
def test_chains_on_postgresql(tmp_path, chains, on_postgres):
    test_core_service.test_a_chain_runs_with_its_inputs_and_is_read_back(tmp_path, chains)
