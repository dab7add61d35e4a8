"""An attempt that has begun ends normally, whatever is cancelled meanwhile: its answer counts."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, TypeVar

HEARTBEAT_SECONDS = 5.0

T = TypeVar("T")


async def to_its_end(work: Coroutine[Any, Any, T], heartbeat: Callable[[], None] = lambda: None) -> T:
    """The result of `work`, which no cancellation reaches."""
    task = asyncio.ensure_future(work)
    while not task.done():
        with suppress(TimeoutError, asyncio.CancelledError):
            await asyncio.wait_for(asyncio.shield(task), HEARTBEAT_SECONDS)
        heartbeat()
    return task.result()
