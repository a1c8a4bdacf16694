"""Puts the package's own test helpers on the path; one PostgreSQL server serves a whole session."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent / "support_orchestrator"))


@pytest.fixture(scope="session")
def postgres():
    """The address of a real server."""
    import databases

    with databases.server() as server:
        yield server.get_uri()


@pytest.fixture
def database(postgres):
    """The address of an empty database."""
    import databases

    return databases.make_database(postgres)
