"""A thread for people's templates and conditions: within their limits they may compute for seconds, and others are waiting."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from api.places import Places

THREADS = 1  # they share one core with everything else in the process, so more would only slow that down
WAITING = 32  # a usual preview takes a millisecond; a longer queue means that somebody's template is very slow
RETRY_AFTER_SECONDS = 5.0

T = TypeVar("T")


class Aside:
    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(THREADS, thread_name_prefix="aside")
        self._places = Places(
            WAITING, full="too many previews are being computed", retry_after_seconds=RETRY_AFTER_SECONDS
        )

    async def run(self, compute: Callable[[], T]) -> T:
        """What `compute` returns or raises; TooManyRequests if too many are waiting already."""
        with self._places.take():
            return await asyncio.get_running_loop().run_in_executor(self._thread, compute)
