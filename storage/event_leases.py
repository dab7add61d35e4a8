"""The queue of events as a pump works on it: under a lease, which a later pump of the same lane ends, and with short-lived permits.

Nothing is written for a delivery while it waits or is on the wire, but for the list of what the lease has in hand. A permit says that
the destination is running: attempts begin while it lasts, and a pause waits until the last one has run out.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import text

from domain.events import QueuedDelivery
from storage.attempts import Ended
from storage.database import Database
from storage.queued_deliveries import queued_delivery

PERMIT_SECONDS = 1.0  # as long may a pause take to be answered; a pump asks again within that time anyway

# By chance alone no two leases have the same epoch: so a lease that a crash of the database forgets is nobody's, and need not be
# durable. What the pump before had in hand may have been sent: an attempt of which nothing is known, and which no policy counts.
_ACQUIRE = text("""
with home as (
    select lane, claimed, greatest(0, extract(epoch from permit_until - clock_timestamp()))::double precision as wait_seconds
    from event_lanes where destination_id = :destination_id and lane = :home and home = :home for update
), lease as (
    update event_lanes l set epoch = (random() * 9e18)::bigint, claimed = '{}', permit_until = null,
        updated_at = clock_timestamp()
    from home where l.destination_id = :destination_id and l.lane = home.lane
    returning l.epoch, set_config('synchronous_commit', 'off', true)
), lost as (
    update deliveries l set attempts = l.attempts + 1, attempts_before = l.attempts_before + 1,
        reason = 'unknown_outcome', updated_at = clock_timestamp()
    from home where l.id = any(home.claimed) and l.kind = 'event' and l.status = 'queued'
    returning l.id, l.attempts
), noted as (
    insert into attempts (delivery_id, number, started_at, outcome, error)
    select id, attempts, clock_timestamp(), 'unknown',
        '{"code": "unknown_outcome", "message": "the worker ended while it had this in hand; the receiver may have had it"}'
    from lost
)
select lease.epoch, coalesce(home.wait_seconds, 0) as wait_seconds, (select count(*) from lost) as lost,
    array(select lane from event_lanes where destination_id = :destination_id and home = :home order by lane) as lanes,
    exists (select from event_lanes
            where destination_id = :destination_id and home = :home and outage_since is not null) as outage
from home, lease
""")

# (`|| ''` and `+ 0`: only the index by profile is of use there; without statistics the planner would read the queue from its beginning.)
# Positions are given before they are committed, so one may become visible behind `after`: what comes later of its profile must not
# overtake it, and the lane is read from its beginning again. What was handed back since `returned` was read may lie before `after` too,
# and then its lane is read from the beginning in this very statement. Need not be durable: a database that crashes is away for longer
# than a permit lasts, and what is in hand is a note. The status is asked for last, and anew if a pause changed the row meanwhile: so no
# permit is given after a pause was answered.
_CLAIM = text("""
with lanes as materialized (
    select w.lane, e.returned, case when e.returned = w.returned then w.after else 0 end as after
    from unnest(cast(:lanes as smallint[]), cast(:afters as bigint[]), cast(:returned as bigint[])) as w(lane, after, returned)
    join event_lanes e on e.destination_id = :destination_id and e.lane = w.lane
), picked as materialized (
    select q.* from lanes w cross join lateral (
        select l.id, l.mapping_id, l.profile_id, l.event_id, l.lane, l.position, l.attempts, l.attempts_before,
            w.after > 0 and exists (
                select from deliveries e
                where e.kind = 'event' and e.status = 'queued' and e.destination_id || '' = :destination_id
                    and e.profile_id = l.profile_id and e.position + 0 <= w.after
                    and e.id not in (select unnest(cast(:in_hand as uuid[])))) as overtakes
        from deliveries l
        where l.kind = 'event' and l.status = 'queued' and l.destination_id = :destination_id and l.lane = w.lane
            and l.position > w.after and (not :heads_only
                or (l.next_attempt_at is null or l.next_attempt_at <= clock_timestamp()) and not exists (
                    select from deliveries e
                    where e.kind = 'event' and e.status = 'queued' and e.destination_id = :destination_id
                        and e.profile_id = l.profile_id and e.position < l.position))
            and not exists (select from event_retries r
                            where r.destination_id = :destination_id and r.profile_id = l.profile_id)
        order by l.position limit :limit) q
    order by q.position limit :limit
), permit as (
    update event_lanes l set permit_until = clock_timestamp() + make_interval(secs => :seconds),
        claimed = case when :limit = 0 then l.claimed else cast(:in_hand as uuid[]) || array(select id from picked) end,
        updated_at = clock_timestamp()
    from destinations d
    where l.destination_id = :destination_id and l.lane = :home and l.home = :home and l.epoch = :epoch
        and d.id = :destination_id and d.deleted_at is null and d.published_revision is not null
        and destination_status(:destination_id) = 'running'
    returning d.published_revision, d.connector, set_config('synchronous_commit', 'off', true)
)
select permit.published_revision, permit.connector, array(select lane from lanes order by lane) as lanes,
    array(select returned from lanes order by lane) as returned, q.id, q.mapping_id, q.lane, q.position, q.attempts, q.attempts_before,
    q.overtakes,
    e.event, q.profile_id, p.version, p.document, p.created_at, p.updated_at
from permit left join picked q on true left join events e on e.id = q.event_id left join profiles p on p.id = q.profile_id
order by q.position
""")

# What was discarded while it was in hand stays so, with its attempt.
_END = text("""
with lease as materialized (
    select 1 from event_lanes
    where destination_id = :destination_id and lane = :home and epoch = :epoch for share
), input as (
    select * from unnest(
        cast(:ids as uuid[]), cast(:numbers as integer[]), cast(:statuses as text[]), cast(:reasons as text[]),
        cast(:messages as text[]), cast(:delays as double precision[]), cast(:finals as boolean[]), cast(:outcomes as text[]),
        cast(:starts as timestamptz[]), cast(:durations as double precision[]), cast(:requests as text[]),
        cast(:responses as text[]), cast(:arrivals as boolean[]), cast(:errors as text[]), cast(:versions as bigint[]),
        cast(:revisions as integer[])
    ) as i(id, number, status, reason, message, delay, final, outcome, started_at, duration_ms, request, response,
           may_have_arrived, error, profile_version, revision)
), ended as (
    update deliveries l set attempts = i.number, revision = i.revision, profile_version = i.profile_version,
        workflow_id = :workflow_id, run_id = :run_id, updated_at = clock_timestamp(),
        status = case when l.status = 'queued' then i.status else l.status end,
        reason = case when l.status = 'queued' then i.reason else l.reason end,
        message = case when l.status = 'queued' then i.message else l.message end,
        next_attempt_at = case when l.status = 'queued' then clock_timestamp() + make_interval(secs => i.delay) end,
        finished_at = case when l.status <> 'queued' then l.finished_at when i.final then clock_timestamp() end
    from input i, lease
    where l.id = i.id and l.attempts <= i.number
    returning l.id, l.destination_id, l.profile_id, l.lane, l.status
), noted as (
    insert into attempts (delivery_id, number, started_at, duration_ms, revision, profile_version, request, response,
                          may_have_arrived, outcome, error)
    select i.id, i.number, i.started_at, i.duration_ms, i.revision, i.profile_version, cast(i.request as jsonb),
        cast(i.response as jsonb), i.may_have_arrived, i.outcome, cast(i.error as jsonb)
    from input i join ended on ended.id = i.id where i.outcome is not null
), blocked as (
    insert into event_retries (destination_id, profile_id, lane, delivery_id, signal)
    select destination_id, profile_id, lane, id, 'retry' from ended where status = 'retrying'
    on conflict do nothing
    returning 1
), notified as (
    select pg_notify('sluice_work', '') from blocked limit 1
)
select (select count(*) from lease) as held, (select count(*) from ended) as ended, (select count(*) from notified) as notified
""")

# Then anybody may rouse these lanes; what has come meanwhile is looked for afterwards, by a statement that sees it.
_REST = text("""
with lease as materialized (
    select 1 from event_lanes
    where destination_id = :destination_id and lane = :home and epoch = :epoch for update
)
update event_lanes l set home = null, alone = false, permit_until = null, claimed = '{}', scanned = s.scanned,
    outage_since = case when :outage then outage_since end, updated_at = clock_timestamp()
from lease, unnest(cast(:lanes as smallint[]), cast(:scanned as bigint[])) as s(lane, scanned)
where l.destination_id = :destination_id and l.lane = s.lane and l.home = :home
""")

_LOOK_AGAIN = text("""
with missed as (
    update event_lanes l set scanned = 0
    where l.destination_id = :destination_id and l.lane = any(cast(:lanes as smallint[])) and exists (
        select from deliveries q
        where q.kind = 'event' and q.status = 'queued' and q.destination_id = l.destination_id and q.lane = l.lane
            and not exists (select from event_retries r
                            where r.destination_id = q.destination_id and r.profile_id = q.profile_id))
    returning l.destination_id, l.lane
)
select pg_notify('sluice_events', destination_id || '/' || lane) from missed
""")

_LEAVE = text("""
with left_alone as (
    update event_lanes l set home = null, alone = true, scanned = 0, updated_at = clock_timestamp()
    where l.destination_id = :destination_id and l.lane = any(cast(:lanes as smallint[])) and l.home = :home
        and exists (select from event_lanes h
                    where h.destination_id = :destination_id and h.lane = :home and h.epoch = :epoch)
    returning l.destination_id, l.lane
)
select pg_notify('sluice_events', destination_id || '/' || lane) from left_alone
""")

_OUTAGE = text("""
update event_lanes l set outage_since = case when :outage then coalesce(outage_since, clock_timestamp()) end,
    updated_at = clock_timestamp()
where l.destination_id = :destination_id and l.home = :home and exists (
    select from event_lanes h where h.destination_id = :destination_id and h.lane = :home and h.epoch = :epoch)
""")

_PUT_DOWN = text("""
update event_lanes set permit_until = null, claimed = '{}', updated_at = clock_timestamp(),
    probe_at = clock_timestamp() + make_interval(secs => cast(:probe_in as double precision))
where destination_id = :destination_id and lane = :home and epoch = :epoch
""")


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to send what queues in `lanes`, until somebody else acquires it. `outage`: the destination did not answer lately."""

    destination_id: str
    home: int
    epoch: int
    lanes: tuple[int, ...]
    outage: bool
    wait_seconds: float
    lost: int


@dataclass(frozen=True, slots=True)
class Claim:
    """Deliveries in order of their position, of the revision that is published now.

    `returned`, by lane, goes with the next claim. `overtaking`: of these an earlier one of the profile has been passed over.
    """

    revision: int
    connector: str
    deliveries: tuple[QueuedDelivery, ...]
    returned: dict[int, int]
    overtaking: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class EndedEvent:
    """What became of one delivery. `status` may be `queued` again. `attempted`: an attempt was made, and is written down."""

    delivery: QueuedDelivery
    ended: Ended
    status: str
    attempted: bool
    started_at: datetime
    revision: int


class LeaseLost(Exception):
    """Another pump has taken over: what this one has in hand is that one's business now."""


class EventLeases:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def acquire(self, destination_id: str, home: int) -> Lease | None:
        """Take over the lanes of this home; None if it has none. Attempts of whoever had them may begin for `wait_seconds`."""
        async with self._database.statement() as connection:
            row = (await connection.execute(_ACQUIRE, {"destination_id": destination_id, "home": home})).first()
        if row is None:
            return None
        return Lease(destination_id, home, row.epoch, tuple(row.lanes), row.outage, row.wait_seconds, row.lost)

    async def claim(
        self,
        lease: Lease,
        after: Mapping[int, int],
        returned: Mapping[int, int],
        *,
        limit: int,
        in_hand: Collection[str],
        heads_only: bool = False,
    ) -> Claim | None:
        """A permit for PERMIT_SECONDS, and the first `limit` deliveries behind the position `after`, by lane.

        A lane of which `returned` is not as the last claim said is read from its beginning. None: no attempt may begin, since the
        destination is paused or deleted, or the lease is lost. `heads_only`: only the first of each profile, if its attempt is due.
        """
        parameters = {
            **_key(lease),
            "lanes": list(after),
            "afters": list(after.values()),
            "returned": [returned.get(lane, -1) for lane in after],
            "limit": limit,
            "in_hand": list(in_hand),
            "heads_only": heads_only,
            "seconds": PERMIT_SECONDS,
        }
        async with self._database.statement() as connection:
            rows = (await connection.execute(_CLAIM, parameters)).all()
        if not rows:
            return None
        found = tuple(queued_delivery(row) for row in rows if row.id is not None)
        first = rows[0]
        returned = dict(zip(first.lanes, first.returned, strict=True))
        overtaking = frozenset(str(row.id) for row in rows if row.overtakes)
        return Claim(first.published_revision, first.connector, found, returned, overtaking)

    async def end(self, lease: Lease, ended: Sequence[EndedEvent], *, workflow_id: str, run_id: str) -> None:
        """Write down how these ended. Raises LeaseLost, and then nothing is written."""
        parameters = {**_key(lease), **_columns(ended), "workflow_id": workflow_id, "run_id": run_id}
        async with self._database.statement() as connection:
            row = (await connection.execute(_END, parameters)).one()
        if not row.held:
            raise LeaseLost

    async def rest(self, lease: Lease, scanned: Mapping[int, int], *, outage: bool) -> None:
        """Give the lanes back: nothing is left to send up to these positions. What has come just now wakes them again."""
        lanes = {"lanes": list(scanned)}
        parameters = {**_key(lease), **lanes, "scanned": list(scanned.values()), "outage": outage}
        async with self._database.statement() as connection:
            await connection.execute(_REST, parameters)
            await connection.execute(_LOOK_AGAIN, {"destination_id": lease.destination_id, **lanes})

    async def leave(self, lease: Lease, lanes: Collection[int]) -> None:
        """Leave these lanes to pumps of their own."""
        async with self._database.statement() as connection:
            await connection.execute(_LEAVE, {**_key(lease), "lanes": list(lanes)})

    async def outage(self, lease: Lease, outage: bool) -> None:
        """Note that the destination does not answer, or that it answers again."""
        async with self._database.statement() as connection:
            await connection.execute(_OUTAGE, {**_key(lease), "outage": outage})

    async def put_down(self, lease: Lease, *, probe_in: float | None = None) -> None:
        """Nothing is in hand any more and no attempt will begin under this lease; the next pump need not wait for that.

        `probe_in`: in so many seconds the next one comes, during an outage.
        """
        async with self._database.statement() as connection:
            await connection.execute(_PUT_DOWN, {**_key(lease), "probe_in": probe_in})


def _key(lease: Lease) -> dict[str, Any]:
    return {"destination_id": lease.destination_id, "home": lease.home, "epoch": lease.epoch}


def _columns(ended: Sequence[EndedEvent]) -> dict[str, list[Any]]:
    return {
        "ids": [each.delivery.id for each in ended],
        "numbers": [each.delivery.attempts + each.attempted for each in ended],
        "statuses": [each.status for each in ended],
        "reasons": [each.ended.reason for each in ended],
        "messages": [each.ended.message for each in ended],
        "delays": [each.ended.delay_seconds for each in ended],
        "finals": [each.ended.delay_seconds is None for each in ended],
        "outcomes": [each.ended.outcome if each.attempted else None for each in ended],
        "starts": [each.started_at for each in ended],
        "durations": [each.ended.duration_ms for each in ended],
        "requests": [_json(each.ended.request) for each in ended],
        "responses": [_json(each.ended.response) for each in ended],
        "arrivals": [each.ended.may_have_arrived for each in ended],
        "errors": [_json(each.ended.error) if each.attempted else None for each in ended],
        "versions": [each.delivery.profile.version for each in ended],
        "revisions": [each.revision for each in ended],
    }


def _json(value: Any) -> str | None:
    return None if value is None else json.dumps(value, ensure_ascii=False, separators=(",", ":"))
