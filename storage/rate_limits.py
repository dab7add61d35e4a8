"""Rate limits: when a destination takes its next request, agreed upon by all workers in one row for each destination.

Requests have slots, 1/per_second apart (GCRA without a burst). A slot is taken by moving on the moment at which the next one is free.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import text

from storage.database import Database

# A slot counts for a moment after it: whoever comes that late has waited for a worker or the database, and need not queue up again. Many
# of them may then be late together, so it is short. One that is some milliseconds away is good: a timer is no more exact than that.
_LATE, _EARLY = "interval '1 second'", "interval '5 milliseconds'"

# For a statement that begins an attempt at delivery `l`, `g` being the row of its destination's limit: the slot it holds, if it is good.
HELD_SLOT = f"""
case when d.rate_per_second is not null and l.reason = 'rate_limited' and l.updated_at >= g.since
    and l.next_attempt_at > clock_timestamp() - {_LATE} then l.next_attempt_at end
"""

# Goes on after `ready`, which has one row (id, destination_id, rate, held, seen) if an attempt may begin but for the limit, else none:
# `slot` is the one held or a new one. Read once, so that all of the statement agrees on whether it is `due`. A new one that is not is
# kept in the delivery; should that have changed since it was `seen`, somebody else used or kept the slot that is read here.
TAKE_SLOT = f"""
reserved as (
    insert into rate_limits as g (destination_id, next_at)
    select destination_id, clock_timestamp() + make_interval(secs => 1 / rate) from ready where rate is not null and held is null
    on conflict (destination_id) do update
        set next_at = greatest(g.next_at, clock_timestamp()) + (select make_interval(secs => 1 / rate) from ready)
    returning next_at - (select make_interval(secs => 1 / rate) from ready) as at
), slot as materialized (
    select at, at <= clock_timestamp() + {_EARLY} as due
    from (select at from reserved union all select held from ready where held is not null) as either
), waiting as (
    update deliveries l set status = case l.status when 'delivering' then 'retrying' else l.status end,
        reason = 'rate_limited', message = null, next_attempt_at = slot.at, updated_at = clock_timestamp()
    from ready, slot
    where l.id = ready.id and l.updated_at = ready.seen and ready.held is null and not slot.due
    returning l.id, l.status, l.next_attempt_at
)
"""

# What begins the attempt adds this to its conditions. The status is asked for once more: to take a slot may have meant to wait for
# somebody else to take his, and a pause may have been answered meanwhile.
IS_TURN = """
(ready.rate is null
    or slot.due and l.updated_at = ready.seen and destination_status(ready.destination_id) = 'running')
"""

# Why an attempt did not begin: the limit, and how long there is to wait.
TURN = """
d.rate_per_second, greatest(0, coalesce(
    extract(epoch from case when l.reason = 'rate_limited' then l.next_attempt_at end - clock_timestamp()), 0
))::double precision as wait_seconds
"""

# After another limit was declared: what was taken under the old one is not good any more, and does not hold up the new one.
FORGET_SLOTS = text("""
update rate_limits set next_at = least(next_at, clock_timestamp()), since = clock_timestamp()
where destination_id = :destination_id
""")

# The clock is read once the row is locked. The row that refuses may be newer than the one that is read then: all that does is to let
# somebody ask a little early.
_RESERVE = text("""
with asked as materialized (
    select make_interval(secs => cast(:span as double precision)) as span,
        make_interval(secs => cast(:horizon as double precision)) as horizon
), reserved as (
    insert into rate_limits as l (destination_id, next_at) select :destination_id, clock_timestamp() + span from asked
    on conflict (destination_id) do update
        set next_at = greatest(l.next_at, clock_timestamp()) + (select span from asked)
        where l.next_at <= clock_timestamp() + (select horizon from asked)
    returning next_at
)
select true as reserved, extract(epoch from r.next_at - a.span - clock_timestamp())::double precision as seconds
from reserved r, asked a
union all
select false, extract(epoch from l.next_at - a.horizon - clock_timestamp())::double precision
from rate_limits l, asked a where l.destination_id = :destination_id and not exists (select from reserved)
""")


@dataclass(frozen=True, slots=True)
class Turn:
    """A delivery's place in the queue of a rate limit: its slot comes in `wait_seconds`."""

    wait_seconds: float
    per_second: float


class RateLimits:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def reserve(
        self, destination_id: str, per_second: float, count: int, *, horizon_seconds: float
    ) -> tuple[bool, float]:
        """Take `count` slots, if the first of them is at most `horizon_seconds` away.

        (True, seconds until the first; the others follow 1/per_second apart), or (False, seconds until it is worth asking again).
        """
        parameters = {
            "destination_id": destination_id,
            "span": count / per_second,
            "horizon": horizon_seconds,
        }
        async with self._database.statement() as connection:
            row = (await connection.execute(_RESERVE, parameters)).first()
        if row is None:  # the limit's first row was written by somebody else just now
            return False, 1 / per_second
        return row.reserved, max(0.0, row.seconds)


def turn_of(row: Mapping[str, Any]) -> Turn | None:
    """From the columns that `TURN` selects."""
    return Turn(row["wait_seconds"], row["rate_per_second"]) if row["rate_per_second"] is not None else None
