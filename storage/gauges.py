"""What is open right now, for monitoring. Only what partial indexes can count: a scrape must not read the whole log."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import text

from storage.database import Database

_OPEN = text("""
select s.destination_id,
    case when d.status = 'paused' and s.state <> 'delivering' then 'held' else s.state end as state,
    count(*) as syncs,
    extract(epoch from clock_timestamp() - min(s.updated_at))::double precision as oldest_seconds
from syncs s join destinations d on d.id = s.destination_id
where s.state in ('waiting', 'delivering', 'retrying')
group by 1, 2
""")

_FAILED = text(
    "select destination_id, count(*) as failed from deliveries where status = 'failed' and kind <> 'test' group by 1"
)

# Each count from the index of its own predicate, so that no row of a queue is read.
_EVENT_QUEUE = text("""
select q.destination_id, case when d.status = 'paused' then 'held' else q.status end as state,
    sum(q.deliveries)::bigint as deliveries
from (
    select destination_id, 'queued' as status, count(*) as deliveries
    from deliveries where kind = 'event' and status = 'queued' group by 1
    union all
    select destination_id, 'retrying', count(*) from deliveries where kind = 'event' and status = 'retrying' group by 1
) q join destinations d on d.id = q.destination_id and d.deleted_at is null
group by 1, 2
""")

# Steps from lane to lane through the index of the queue, and takes of each the first in line, behind what is known to wait for its
# profile: so it costs by lanes with work, however long their queues are.
_EVENT_LAG = text("""
with recursive lanes as (
    (select destination_id, lane from deliveries where kind = 'event' and status = 'queued'
     order by destination_id, lane limit 1)
    union all
    select n.destination_id, n.lane from lanes t cross join lateral (
        select destination_id, lane from deliveries
        where kind = 'event' and status = 'queued' and (destination_id, lane) > (t.destination_id, t.lane)
        order by destination_id, lane limit 1) n
)
select d.id as destination_id,
    greatest(0, extract(epoch from clock_timestamp() - min(q.created_at)))::double precision as oldest_seconds
from lanes t join destinations d on d.id = t.destination_id and d.status = 'running' and d.deleted_at is null
left join event_lanes e on e.destination_id = t.destination_id and e.lane = t.lane
cross join lateral (
    select l.created_at from deliveries l
    where l.kind = 'event' and l.status = 'queued' and l.destination_id = t.destination_id and l.lane = t.lane
        and l.position > coalesce(e.scanned, 0)
    order by l.position limit 1) q
group by d.id
""")

_OUTAGES = text("""
select destination_id, bool_or(outage_since is not null) as outage from event_lanes group by destination_id
""")


@dataclass(frozen=True, slots=True)
class OpenSyncs:
    """`oldest_seconds`: how long ago the one that changed longest ago did."""

    destination_id: str
    state: str
    syncs: int
    oldest_seconds: float


@dataclass(frozen=True, slots=True)
class OpenEvents:
    """`state`: queued, retrying, or held by a pause."""

    destination_id: str
    state: str
    deliveries: int


class Gauges:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def open_syncs(self) -> list[OpenSyncs]:
        async with self._database.statement() as connection:
            return [OpenSyncs(**row) for row in (await connection.execute(_OPEN)).mappings()]

    async def open_events(self) -> list[OpenEvents]:
        async with self._database.statement() as connection:
            return [OpenEvents(**row) for row in (await connection.execute(_EVENT_QUEUE)).mappings()]

    async def event_lags(self) -> dict[str, float]:
        """For how many seconds the oldest event that could go has been waiting, by running destination with any."""
        async with self._database.statement() as connection:
            rows = await connection.execute(_EVENT_LAG)
            return {row.destination_id: row.oldest_seconds for row in rows}

    async def event_outages(self) -> dict[str, bool]:
        """Whether it has stopped answering, by destination that was ever sent an event."""
        async with self._database.statement() as connection:
            return {row.destination_id: row.outage for row in await connection.execute(_OUTAGES)}

    async def failed_deliveries(self) -> dict[str, int]:
        """Dead letters by destination."""
        async with self._database.statement() as connection:
            return {row["destination_id"]: row["failed"] for row in (await connection.execute(_FAILED)).mappings()}

    async def reachable(self) -> None:
        """Raises whatever a lost database raises."""
        async with self._database.statement() as connection:
            await connection.execute(text("select 1"))
