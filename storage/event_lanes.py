"""Which lanes of which destinations have events queued and nobody who sends them: what the dispatcher starts pumps for.

A lane is asleep until it is *roused*: then it has a home, the lane whose pump serves it, and that pump is wanted. One pump serves all
lanes of a destination until it is so busy that it leaves some to pumps of their own.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import text

from domain.events import LANES
from storage.database import Database

CLAIM_SECONDS = 30.0  # longer than starting a batch of workflows takes even when Temporal answers slowly
LOST_SECONDS = 180.0  # a pump looks at its lane every second, and during an outage when it said it would

# Whoever rouses a pump starts it, so it is claimed at once. Need not be durable: what is lost in a crash is found by the next sweep.
_ROUSE = text(f"""
with work as (
    select * from unnest(cast(:destination_ids as text[]), cast(:lanes as smallint[])) as w(destination_id, lane)
), asleep as (
    select distinct w.destination_id, w.lane, coalesce(l.alone, false) as alone
    from work w join destinations d on d.id = w.destination_id and d.status = 'running' and d.deleted_at is null
    left join event_lanes l on l.destination_id = w.destination_id and l.lane = w.lane
    where l.home is null
), roused as (
    select a.destination_id, g.lane, a.home
    from (select destination_id, min(lane) as home from asleep where not alone group by destination_id) a
    cross join generate_series(0, {LANES - 1}) as g(lane)
    union all
    select destination_id, lane, lane from asleep where alone
), homes as (
    insert into event_lanes (destination_id, lane, home, wanted, wanted_epoch, wanted_claimed_until)
    select destination_id, lane, home, lane = home, 1, clock_timestamp() + make_interval(secs => :seconds)
    from roused order by destination_id, lane
    on conflict (destination_id, lane) do update set
        home = excluded.home, wanted = excluded.wanted, wanted_epoch = event_lanes.wanted_epoch + 1,
        wanted_claimed_until = excluded.wanted_claimed_until, updated_at = clock_timestamp()
    where event_lanes.home is null and (not event_lanes.alone or excluded.lane = excluded.home)
    returning destination_id, lane, wanted_epoch, wanted
), hasty as materialized (
    select set_config('synchronous_commit', 'off', true)
)
select destination_id, lane, wanted_epoch from homes cross join hasty where wanted
""")

# Steps from lane to lane through the index of the queue, so that it costs by lanes with work, however long their queues are.
_WITH_WORK = """
with recursive lanes as (
    (select destination_id, lane from deliveries where kind = 'event' and status = 'queued'
     order by destination_id, lane limit 1)
    union all
    select n.destination_id, n.lane from lanes t cross join lateral (
        select destination_id, lane from deliveries
        where kind = 'event' and status = 'queued' and (destination_id, lane) > (t.destination_id, t.lane)
        order by destination_id, lane limit 1) n
)
"""

_ASLEEP = text(f"""
{_WITH_WORK}
select t.destination_id, t.lane
from lanes t join destinations d on d.id = t.destination_id and d.status = 'running' and d.deleted_at is null
left join event_lanes l on l.destination_id = t.destination_id and l.lane = t.lane
where l.home is null and coalesce(l.scanned, 0) < (
    select position from deliveries q
    where q.kind = 'event' and q.status = 'queued' and q.destination_id = t.destination_id and q.lane = t.lane
    order by position desc limit 1)
""")

# The safety net: an event committed out of turn just when its lane went to sleep, and a pump that is not there any more.
_RESCUE = text(f"""
{_WITH_WORK}, missed as (
    update event_lanes l set scanned = 0
    from lanes t
    where l.destination_id = t.destination_id and l.lane = t.lane and l.home is null and l.scanned > 0
        and exists (
            select from deliveries q
            where q.kind = 'event' and q.status = 'queued' and q.destination_id = t.destination_id and q.lane = t.lane
                and not exists (select from event_retries r
                                where r.destination_id = q.destination_id and r.profile_id = q.profile_id))
    returning 1
), lost as (
    update event_lanes l set wanted = true, wanted_epoch = wanted_epoch + 1, wanted_claimed_until = null,
        updated_at = clock_timestamp()
    where l.home = l.lane and not l.wanted
        and greatest(l.updated_at, l.probe_at) < clock_timestamp() - make_interval(secs => :lost)
    returning 1
)
select (select count(*) from missed) + (select count(*) from lost)
""")

_CLAIM = text("""
with claimed as (
    select l.destination_id, l.lane
    from event_lanes l join destinations d on d.id = l.destination_id and d.status = 'running' and d.deleted_at is null
    where l.wanted and (l.wanted_claimed_until is null or l.wanted_claimed_until < clock_timestamp())
    limit :limit
    for update of l skip locked
)
update event_lanes l set wanted_claimed_until = clock_timestamp() + make_interval(secs => :seconds)
from claimed c where l.destination_id = c.destination_id and l.lane = c.lane
returning l.destination_id, l.lane, l.wanted_epoch
""")

_STARTED = text("""
update event_lanes l set wanted = false, wanted_claimed_until = null
from unnest(cast(:destination_ids as text[]), cast(:lanes as smallint[]), cast(:epochs as bigint[])) as s(destination_id, lane, epoch)
where l.destination_id = s.destination_id and l.lane = s.lane and l.wanted_epoch = s.epoch
""")

_RELEASE = text("""
update event_lanes l set wanted_claimed_until = clock_timestamp() + make_interval(secs => :seconds)
from unnest(cast(:destination_ids as text[]), cast(:lanes as smallint[])) as s(destination_id, lane)
where l.destination_id = s.destination_id and l.lane = s.lane and l.wanted
""")


@dataclass(frozen=True, slots=True)
class WantedPump:
    """The pump of this lane is to be started, or woken. `epoch`: which wish that was."""

    destination_id: str
    lane: int
    epoch: int


class EventLanes:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def rouse(self, lanes: Collection[tuple[str, int]]) -> list[WantedPump]:
        """These have events queued: give those that are asleep a home. Returns the pumps that are to be started for it, claimed."""
        parameters = {
            "destination_ids": [each[0] for each in lanes],
            "lanes": [each[1] for each in lanes],
            "seconds": CLAIM_SECONDS,
        }
        async with self._database.statement() as connection:
            return _pumps(await connection.execute(_ROUSE, parameters))

    async def asleep(self) -> list[tuple[str, int]]:
        """The lanes of running destinations that have something to send and no home."""
        async with self._database.statement() as connection:
            return [(row.destination_id, row.lane) for row in await connection.execute(_ASLEEP)]

    async def rescue(self) -> int:
        async with self._database.statement() as connection:
            return int((await connection.execute(_RESCUE, {"lost": LOST_SECONDS})).scalar_one())

    async def claim(self, limit: int) -> list[WantedPump]:
        async with self._database.statement() as connection:
            return _pumps(await connection.execute(_CLAIM, {"limit": limit, "seconds": CLAIM_SECONDS}))

    async def started(self, pumps: Sequence[WantedPump]) -> None:
        parameters = {**_keys(pumps), "epochs": [pump.epoch for pump in pumps]}
        async with self._database.statement() as connection:
            await connection.execute(_STARTED, parameters)

    async def release(self, pumps: Sequence[WantedPump], seconds: float) -> None:
        """Temporal did not take these; they may be tried again after `seconds`."""
        async with self._database.statement() as connection:
            await connection.execute(_RELEASE, {**_keys(pumps), "seconds": seconds})


def _pumps(rows: Iterable[Any]) -> list[WantedPump]:
    return [WantedPump(row.destination_id, row.lane, row.wanted_epoch) for row in rows]


def _keys(pumps: Sequence[WantedPump]) -> dict[str, list[object]]:
    return {"destination_ids": [pump.destination_id for pump in pumps], "lanes": [pump.lane for pump in pumps]}
