"""The connection pool, and the two ways of using it: one statement, or one transaction."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from domain.errors import Unavailable

CONNECT_TIMEOUT_SECONDS = 5.0  # a database that does not answer at all should be noticed well within a readiness probe
STATEMENT_TIMEOUT_MS = 15_000  # the slowest of our statements takes under a second; a hung one must give its place back
COMMAND_TIMEOUT_SECONDS = 20.0  # past the server's own timeout: then the connection itself is dead
POOL_WAIT_SECONDS = 10.0  # longer queues than this are answered with an error instead of growing


def asyncpg_url(url: str) -> str:
    """`postgresql://…` as everybody writes it, with the driver we use."""
    scheme, _, rest = url.partition("://")
    if scheme not in ("postgres", "postgresql", "postgresql+asyncpg"):
        raise ValueError("the database must be PostgreSQL: postgresql://user:password@host:port/name")
    return f"postgresql+asyncpg://{rest}"


def listening_url(url: str) -> str:
    """The same for asyncpg by itself, which reads `sslmode` as everybody else does; under SQLAlchemy it is `ssl`."""
    return (
        asyncpg_url(url)
        .replace("postgresql+asyncpg://", "postgresql://", 1)
        .replace("?ssl=", "?sslmode=")
        .replace("&ssl=", "&sslmode=")
    )


def _dump(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


# SQLSTATE classes that mean "not now": connection, transaction rolled back (deadlock), resources, operator intervention, system.
_TRANSIENT_CLASSES = ("08", "40", "53", "57", "58")


@contextmanager
def _translated() -> Iterator[None]:
    """A database that is away or overloaded is `Unavailable`, whatever the driver calls it; our own mistakes pass through."""
    try:
        yield
    except (OSError, TimeoutError, PoolTimeout, InterfaceError, OperationalError) as error:
        raise Unavailable(f"the database did not answer: {type(error).__name__}") from error
    except DBAPIError as error:
        state = getattr(error.orig, "sqlstate", None) or ""
        if error.connection_invalidated or state.startswith(_TRANSIENT_CLASSES):
            raise Unavailable(f"the database did not answer: {type(error.orig).__name__}") from error
        raise


class Database:
    """Everything in storage/ takes one of these. `url` is any PostgreSQL URL."""

    def __init__(self, url: str, *, pool_size: int = 10) -> None:
        self.url = url
        self._engine = create_async_engine(
            asyncpg_url(url),
            pool_size=pool_size,
            max_overflow=0,
            pool_timeout=POOL_WAIT_SECONDS,
            pool_pre_ping=False,  # costs a round trip each time; callers retry on a lost connection anyway
            json_serializer=_dump,
            connect_args={
                "timeout": CONNECT_TIMEOUT_SECONDS,
                "command_timeout": COMMAND_TIMEOUT_SECONDS,
                "server_settings": {
                    "application_name": "sluice",
                    "statement_timeout": str(STATEMENT_TIMEOUT_MS),
                    "jit": "off",  # our statements are short; planning with JIT costs more than it gains
                },
            },
        )
        self._autocommit = self._engine.execution_options(isolation_level="AUTOCOMMIT")

    @asynccontextmanager
    async def statement(self) -> AsyncIterator[AsyncConnection]:
        """For a single statement, which is its own transaction: saves the BEGIN and COMMIT round trips."""
        with _translated():
            async with self._autocommit.connect() as connection:
                yield connection

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncConnection]:
        with _translated():
            async with self._engine.begin() as connection:
                yield connection

    async def close(self) -> None:
        await self._engine.dispose()
