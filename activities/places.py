"""Places for attempts in this worker, shared out among destinations: one that hangs cannot take them all."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from temporalio import activity
from temporalio.exceptions import ApplicationError

from activities.errors import retry_later
from activities.finishing import to_its_end
from activities.messages import AttemptResult
from domain.errors import Unavailable

# A third of a worker's places by default (`settings.worker_concurrency`): with the time-out of 60 s a hanging destination gets as many
# attempts in a minute, which are all lost, and the others keep the rest.
ATTEMPTS_PER_DESTINATION = 32
ASK_AGAIN_SECONDS = 1.0  # a place is free again about as soon as an answer comes
MAX_ASK_AGAIN_SECONDS = 30.0
# Our own trouble (the database) has nothing to do with the pace at which the destination wants to be tried again.
TROUBLE_SECONDS = 5.0


class Places:
    """`concurrency` is how many activities the worker runs at once."""

    def __init__(self, concurrency: int) -> None:
        self._limit = min(ATTEMPTS_PER_DESTINATION, max(1, concurrency // 2))
        self._taken = Counter[str]()
        self._refused = Counter[str]()

    async def attempt(
        self, destination_id: str, make: Callable[[], Coroutine[Any, Any, AttemptResult]]
    ) -> AttemptResult:
        """An attempt in an activity: how the delivery ended, or an error by which Temporal tries again."""
        with self._place(destination_id):
            try:
                result = await to_its_end(make(), heartbeat=activity.heartbeat)
            except Unavailable as error:
                delay = timedelta(seconds=_jittered(TROUBLE_SECONDS))
                raise ApplicationError(error.message, type=error.code, next_retry_delay=delay) from error
        if result.status in ("retry", "busy"):
            raise retry_later(result.message or "", result.code, result.retry_in_seconds or 0.0)
        return result

    @contextmanager
    def _place(self, destination_id: str) -> Iterator[None]:
        if self._taken[destination_id] >= self._limit:
            self._refused[destination_id] += 1
            raise retry_later("as many attempts as may be are being made", "busy", self._ask_again(destination_id))
        self._taken[destination_id] += 1
        try:
            yield
        finally:
            self._taken[destination_id] -= 1
            if not self._taken[destination_id]:
                del self._taken[destination_id]
            self._refused.pop(destination_id, None)

    def _ask_again(self, destination_id: str) -> float:
        """The more ask while no place becomes free, the later they are to ask again: asking is work for Temporal."""
        crowd = 1 + self._refused[destination_id] / self._limit
        return min(_jittered(ASK_AGAIN_SECONDS * crowd), MAX_ASK_AGAIN_SECONDS)


def _jittered(seconds: float) -> float:
    return seconds * random.uniform(1, 2)  # noqa: S311 - spreads, keeps no secret
