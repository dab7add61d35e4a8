"""Writing down what an attempt brought. An answer in hand is worth some patience: losing it means sending again."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from domain.errors import Unavailable

# With the pause about half a minute: a database restart, well within the activity's own timeout.
TRIES = 20
PAUSE_SECONDS = 1.5

T = TypeVar("T")


async def recorded(write: Callable[[], Awaitable[T]]) -> T:
    """Raises Unavailable when the database stays away."""
    for _ in range(TRIES):
        try:
            return await write()
        except Unavailable:
            await asyncio.sleep(PAUSE_SECONDS)
    return await write()
