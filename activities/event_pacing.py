"""A pump's share of its destination's rate limit: slots, taken some at a time, one for each request."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from contextlib import suppress

from activities.recording import recorded
from storage.rate_limits import RateLimits

BLOCK_SECONDS = 0.25  # as much is taken at once: few statements at high rates, and little is lost when the pump stops
HORIZON_SECONDS = 1.0  # a slot further away is left to whoever comes by then
LATE_SECONDS = 0.05  # an older slot is not used any more, or many of them would go out in one burst


class Pacing:
    """`stopped` ends all waiting."""

    def __init__(self, limits: RateLimits, destination_id: str, stopped: asyncio.Event) -> None:
        self._limits = limits
        self._destination_id = destination_id
        self._stopped = stopped
        self._slots: deque[float] = deque()  # on the monotonic clock
        self._asking = asyncio.Lock()

    async def turn(self, per_second: float, *, wanted: int) -> bool:
        """Wait for the next slot; `wanted` is how many more could be used. False: stopped meanwhile."""
        async with self._asking:  # so that one sender asks for all of them
            slot = await self._next(per_second, wanted)
        if slot is not None:
            await self._sleep(slot - time.monotonic())
        return not self._stopped.is_set()

    async def _next(self, per_second: float, wanted: int) -> float | None:
        while not self._stopped.is_set():
            while self._slots:
                if (slot := self._slots.popleft()) > time.monotonic() - LATE_SECONDS:
                    return slot
            count = max(1, min(wanted, int(per_second * BLOCK_SECONDS)))
            reserved, seconds = await recorded(
                lambda count=count: self._limits.reserve(  # type: ignore[misc]
                    self._destination_id, per_second, count, horizon_seconds=HORIZON_SECONDS
                )
            )
            if reserved:
                first = time.monotonic() + seconds
                self._slots.extend(first + number / per_second for number in range(count))
            else:
                await self._sleep(seconds)
        return None

    async def _sleep(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, seconds)):
                await self._stopped.wait()
