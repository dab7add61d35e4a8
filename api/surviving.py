"""Background work while the database is away."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog

from domain.errors import Unavailable

T = TypeVar("T")

_log = structlog.get_logger("api.surviving")


async def surviving(work: Callable[[], Awaitable[T]], otherwise: T) -> T:
    """A database that is away is waited for; anything else is a bug, and ends whoever asked visibly."""
    try:
        return await work()
    except Unavailable as error:
        _log.warning("database_away", reason=error.message)
        return otherwise
