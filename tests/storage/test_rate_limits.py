"""Slots of a rate limit: whoever takes them, and however many at once, no two are the same."""

from __future__ import annotations

import asyncio
from datetime import datetime
from itertools import pairwise

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from storage.database import Database
from storage.rate_limits import RateLimits
from tests.builders import a_spec, publish

FAR = 1e6


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    counts=st.lists(st.integers(min_value=1, max_value=50), min_size=2, max_size=20),
    per_second=st.sampled_from([0.001, 0.01, 0.1]),
)
async def test_slots_taken_at_the_same_time_never_overlap(
    database: Database, counts: list[int], per_second: float
) -> None:
    await _forget(database)
    limits = RateLimits(database)
    before = await _now(database)
    answers = await asyncio.gather(*(limits.reserve("crm", per_second, n, horizon_seconds=FAR) for n in counts))
    # Rates this slow leave ten seconds and more between slots, so that how long an answer took does not matter.
    taken = sorted(zip((seconds for _, seconds in answers), counts, strict=True))
    for (first, count), (following, _) in pairwise(taken):
        assert following - first > (count - 0.5) / per_second
    assert all(reserved for reserved, _ in answers)
    assert (await _next_at(database) - before).total_seconds() >= sum(counts) / per_second


async def test_slots_beyond_the_horizon_are_refused_and_the_answer_says_when_to_ask_again(database: Database) -> None:
    await _forget(database)
    limits = RateLimits(database)
    assert (await limits.reserve("crm", 1, 100, horizon_seconds=5))[0]
    taken = await _next_at(database)
    reserved, seconds = await limits.reserve("crm", 1, 1, horizon_seconds=5)
    assert not reserved
    assert 85 < seconds <= 95
    assert await _next_at(database) == taken
    assert (await limits.reserve("crm", 1, 1, horizon_seconds=seconds + 5))[0]


async def test_what_was_not_used_is_not_saved_up(database: Database) -> None:
    await _forget(database)
    limits = RateLimits(database)
    await limits.reserve("crm", 0.1, 1, horizon_seconds=FAR)
    await _execute(database, "update rate_limits set next_at = now() - interval '1 hour'")
    waits = [(await limits.reserve("crm", 0.1, 1, horizon_seconds=FAR))[1] for _ in range(3)]
    assert waits[0] == 0
    assert waits[1] > 5
    assert waits[2] > 15


async def test_destinations_have_limits_of_their_own(database: Database) -> None:
    await publish(database, "chat", a_spec())
    await _forget(database)
    limits = RateLimits(database)
    await limits.reserve("crm", 0.001, 100, horizon_seconds=FAR)
    assert await limits.reserve("chat", 0.001, 1, horizon_seconds=0) == (True, 0.0)


async def _forget(database: Database) -> None:
    await publish(database, "crm", a_spec())
    await _execute(database, "delete from rate_limits")


async def _execute(database: Database, statement: str) -> None:
    async with database.statement() as connection:
        await connection.execute(text(statement))


async def _next_at(database: Database) -> datetime:
    return await _moment(database, "select next_at from rate_limits where destination_id = 'crm'")


async def _now(database: Database) -> datetime:
    return await _moment(database, "select clock_timestamp()")


async def _moment(database: Database, query: str) -> datetime:
    async with database.statement() as connection:
        found: datetime = (await connection.execute(text(query))).scalar_one()
    return found
