"""Telling a database that is away or overloaded from a mistake of ours."""

from __future__ import annotations

import asyncpg
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

# What asyncpg raises while connecting reaches us as it is; SQLAlchemy wraps only what statements raise.
_AWAY = (
    OSError,  # TimeoutError is one of them
    PoolTimeout,
    OperationalError,
    InterfaceError,
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.TooManyConnectionsError,
    asyncpg.InterfaceError,
)
# The statement was given up or rolled back for the sake of another; the same request may well pass later.
_SQLSTATES = ("57014", "40001", "40P01", "57P01", "57P02", "57P03", "53300")


def is_database_away(error: BaseException) -> bool:
    if isinstance(error, _AWAY):
        return True
    if not isinstance(error, DBAPIError):
        return False
    return error.connection_invalidated or getattr(error.orig, "sqlstate", None) in _SQLSTATES
