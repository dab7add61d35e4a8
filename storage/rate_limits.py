"""Rate limits: when a destination takes its next request, agreed upon by all workers in one row for each destination.

Requests have slots, 1/per_second apart (GCRA without a burst). A slot is taken by moving on the moment at which the next one is free.
"""

from __future__ import annotations

from sqlalchemy import text

from storage.database import Database

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
