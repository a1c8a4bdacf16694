"""A real PostgreSQL server for tests, and databases in it."""

from __future__ import annotations

import asyncio
from itertools import count

import asyncpg

from postgres_server import control, server

__all__ = ["control", "make_database", "new_database", "server"]

_numbers = count(1)


async def new_database(url: str) -> str:
    """Make an empty database; gives its address."""
    name = f"test_{next(_numbers)}"
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(f"CREATE DATABASE {name}")
    finally:
        await connection.close()
    head, _, _ = url.partition("?")
    tail = url[len(head) :]
    return f"{head.rpartition('/')[0]}/{name}{tail}"


def make_database(url: str) -> str:
    """`new_database` outside a loop."""
    return asyncio.run(new_database(url))
