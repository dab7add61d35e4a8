"""Waiting for a delivery's turn under its destination's rate limit: a moment here, or else under Temporal."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from activities.messages import AttemptResult
from domain.deliveries import Reason
from domain.reasons import words
from storage.attempts import NotBegun
from storage.event_retries import EventNotBegun
from storage.rate_limits import Turn

PATIENCE_SECONDS = 2.0  # to come back costs Temporal more than a place among the activities that is kept for so long
MAX_PATIENT = 16  # of a destination that takes many a second, about so many wait here at a time, so that they do not fill the places
EARLY_SECONDS = 1.0  # by how much Temporal is late on a bad day: one comes back so long before one's turn
EARLY_TURNS = 8  # …and with the same thought not more than so many at a time
LOOK_AGAIN_SECONDS = 600.0  # a limit that was raised is noticed after this
LOOKS = 5  # who misses the turn so often in a row waits for it under Temporal

T = TypeVar("T")


async def in_turn(begin: Callable[[], Awaitable[T]], patience_seconds: float = PATIENCE_SECONDS) -> T:
    """What `begin` answers once it is this delivery's turn; or that it is not, if that is too far away."""
    answer = await begin()
    for _ in range(LOOKS):
        turn = answer.turn if isinstance(answer, NotBegun | EventNotBegun) else None
        if turn is None or turn.wait_seconds > min(patience_seconds, MAX_PATIENT / turn.per_second):
            return answer
        await asyncio.sleep(turn.wait_seconds)
        answer = await begin()
    return answer


def too_early(turn: Turn) -> AttemptResult:
    """Nothing was sent; to be tried again a little before it is this delivery's turn."""
    early = min(EARLY_SECONDS, EARLY_TURNS / turn.per_second)
    return AttemptResult(
        status="busy",
        code=Reason.RATE_LIMITED,
        message=words(Reason.RATE_LIMITED),
        retry_in_seconds=min(max(0.0, turn.wait_seconds - early), LOOK_AGAIN_SECONDS),
    )
