"""Profiles whose next event failed for now, and the attempts that are made at it until it has ended; then the queue goes on."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import text

from domain.deliveries import OPEN, DeliveryStatus
from domain.events import QueuedDelivery
from storage.attempts import LOST, Ended
from storage.database import Database
from storage.queued_deliveries import queued_delivery
from storage.rate_limits import HELD_SLOT, IS_TURN, TAKE_SLOT, TURN, Turn, turn_of

CLAIM_SECONDS = 30.0  # longer than a batch of signals takes even when Temporal answers slowly
STUCK_SECONDS = 300.0  # an attempt ends within two minutes whatever happens

_CLAIM = text("""
with claimed as (
    select r.destination_id, r.profile_id
    from event_retries r join destinations d on d.id = r.destination_id and d.status = 'running'
    where r.signal is not null and (r.signal_claimed_until is null or r.signal_claimed_until < clock_timestamp())
    order by r.created_at
    limit :limit
    for update of r skip locked
)
update event_retries r set signal_claimed_until = clock_timestamp() + make_interval(secs => :seconds)
from claimed c, deliveries l
where r.destination_id = c.destination_id and r.profile_id = c.profile_id and l.id = r.delivery_id
returning r.destination_id, r.profile_id, r.signal, r.signal_epoch, case when r.signal = 'retry' then
    greatest(0, extract(epoch from coalesce(l.next_attempt_at, clock_timestamp()) - clock_timestamp()))::double precision
    else 0 end as delay
""")

_SENT = text("""
update event_retries r set signal = null, signal_claimed_until = null, run_id = s.run_id
from unnest(cast(:destination_ids as text[]), cast(:profile_ids as text[]), cast(:epochs as bigint[]), cast(:run_ids as text[]))
    as s(destination_id, profile_id, epoch, run_id)
where r.destination_id = s.destination_id and r.profile_id = s.profile_id and r.signal_epoch = s.epoch
""")

_RELEASE = text("""
update event_retries r set signal_claimed_until = clock_timestamp() + make_interval(secs => :seconds)
from unnest(cast(:destination_ids as text[]), cast(:profile_ids as text[])) as s(destination_id, profile_id)
where r.destination_id = s.destination_id and r.profile_id = s.profile_id and r.signal is not null
""")

# The safety net: what should have been tried again by now and was not.
_RESCUE = text("""
update event_retries r set signal = 'retry', signal_epoch = signal_epoch + 1, signal_claimed_until = null,
    updated_at = clock_timestamp()
from deliveries l, destinations d
where l.id = r.delivery_id and d.id = r.destination_id and d.status = 'running' and r.signal is null
    and r.updated_at < clock_timestamp() - make_interval(secs => :stuck)
    and greatest(l.next_attempt_at, l.updated_at) < clock_timestamp() - make_interval(secs => :stuck)
""")

# Whatever ended a delivery that holds back its profile (a skip, a deletion while it was on the wire): then nothing holds it back. For a
# slot of a rate limit one comes a little early, since one that is missed is lost, and looks now and then whether the limit was raised.
_NEXT = text(f"""
with orphaned as (
    update deliveries l set status = 'discarded', message = null, next_attempt_at = null,
        reason = case when d.deleted_at is null then 'profile_deleted' else 'destination_deleted' end,
        updated_at = clock_timestamp(), finished_at = clock_timestamp()
    from event_retries r join destinations d on d.id = r.destination_id join profiles p on p.id = r.profile_id
    where r.destination_id = :destination_id and r.profile_id = :profile_id and l.id = r.delivery_id
        and l.status in ('queued', 'delivering', 'retrying') and coalesce(d.deleted_at, p.deleted_at) is not null
    returning l.id
), gone as (
    delete from event_retries r using deliveries l
    where r.destination_id = :destination_id and r.profile_id = :profile_id and l.id = r.delivery_id
        and (l.status not in ('queued', 'delivering', 'retrying') or l.id in (select id from orphaned))
    returning r.destination_id, r.lane
), woken as (
    update event_lanes set scanned = 0, returned = returned + 1 from gone
    where event_lanes.destination_id = gone.destination_id and event_lanes.lane = gone.lane
), told as (
    select pg_notify('sluice_events', destination_id || '/' || lane) from gone
)
select r.delivery_id, l.mapping_id, l.attempts - l.attempts_before as used, d.status = 'paused' as paused,
    d.published_revision, d.connector, (select count(*) from told) as told, exists (select from gone) as ended,
    greatest(0, coalesce(extract(epoch from case when l.reason = 'rate_limited'
        then least(coalesce({HELD_SLOT} - interval '1 second', clock_timestamp()), clock_timestamp() + interval '10 minutes')
        else l.next_attempt_at end - clock_timestamp()), 0))::double precision as wait_seconds
from event_retries r join deliveries l on l.id = r.delivery_id join destinations d on d.id = r.destination_id
    left join rate_limits g on g.destination_id = r.destination_id
where r.destination_id = :destination_id and r.profile_id = :profile_id
""")

_BEGIN = text(f"""
with r as (
    select r.* from event_retries r
    where (r.destination_id, r.profile_id) = (select destination_id, profile_id from deliveries where id = :id)
        and r.delivery_id = :id
    for update
), ready as materialized (
    select l.id, l.updated_at as seen, d.id as destination_id, d.connector, d.published_revision, d.rate_per_second as rate,
        p.id as profile_id, p.version, p.document, p.created_at, p.updated_at, {HELD_SLOT} as held
    from r join destinations d on d.id = r.destination_id join profiles p on p.id = r.profile_id
        join deliveries l on l.id = :id
        left join rate_limits g on g.destination_id = r.destination_id and d.rate_per_second is not null
    where l.status in ('queued', 'delivering', 'retrying')
        and destination_status(r.destination_id) = 'running' and d.deleted_at is null and p.deleted_at is null
), {TAKE_SLOT}, begun as (
    update deliveries l set status = 'delivering', attempts = l.attempts + 1, next_attempt_at = null,
        reason = nullif(l.reason, 'rate_limited'), revision = ready.published_revision, profile_version = ready.version,
        workflow_id = :workflow_id, run_id = :run_id, updated_at = clock_timestamp()
    from ready left join slot on true
    where l.id = ready.id and l.status in ('queued', 'delivering', 'retrying') and {IS_TURN}
    returning l.id, l.attempts, l.attempts_before, l.mapping_id, l.lane, l.position, l.event_id, ready.destination_id,
        ready.connector, ready.published_revision, ready.profile_id, ready.version, ready.document, ready.created_at,
        ready.updated_at
), lost as (
    update attempts a set outcome = 'unknown', error = '{LOST}'
    from begun where a.delivery_id = begun.id and a.outcome is null
), noted as (
    insert into attempts (delivery_id, number, revision, profile_version, started_at)
    select id, attempts, published_revision, version, clock_timestamp() from begun
), touched as (
    update event_retries r set updated_at = clock_timestamp() from ready
    where r.destination_id = ready.destination_id and r.profile_id = ready.profile_id
)
select b.*, e.event from begun b join events e on e.id = b.event_id
""")

_WHY_NOT = text(f"""
select {TURN}, l.status, l.reason, l.message, d.status = 'paused' as paused,
    coalesce(d.deleted_at, p.deleted_at) is not null as deleted, r.delivery_id is not null as holds
from deliveries l join destinations d on d.id = l.destination_id join profiles p on p.id = l.profile_id
left join event_retries r on r.delivery_id = l.id and r.destination_id = l.destination_id and r.profile_id = l.profile_id
where l.id = :id
""")

# A success anywhere says that the destination answers: a pump that waits for the end of an outage is wanted again.
_END = text("""
with r as (
    select destination_id, profile_id, lane from event_retries
    where (destination_id, profile_id) = (select destination_id, profile_id from deliveries where id = :id)
        and delivery_id = :id
    for update
), noted as (
    update attempts set duration_ms = :duration_ms, request = cast(:request as jsonb),
        response = cast(:response as jsonb), outcome = :outcome, may_have_arrived = :may_have_arrived,
        error = cast(:error as jsonb)
    where delivery_id = :id and number = :number
), ended as (
    update deliveries l set status = :status, reason = :reason, message = :message, updated_at = clock_timestamp(),
        next_attempt_at = clock_timestamp() + make_interval(secs => cast(:delay as double precision)),
        finished_at = case when :final then clock_timestamp() end
    where l.id = :id and l.attempts = :number and l.status in ('queued', 'delivering', 'retrying')
    returning l.id
), handed_back as (
    delete from event_retries using r, ended
    where :final and event_retries.destination_id = r.destination_id and event_retries.profile_id = r.profile_id
    returning r.destination_id, r.lane
), woken as (
    update event_lanes l set
        scanned = case when l.lane = h.lane then 0 else l.scanned end,
        returned = l.returned + case when l.lane = h.lane then 1 else 0 end,
        outage_since = case when :answers then null else l.outage_since end,
        wanted = l.wanted or (:answers and l.outage_since is not null and l.home = l.lane),
        wanted_epoch = l.wanted_epoch + case when :answers and l.outage_since is not null then 1 else 0 end,
        wanted_claimed_until = case when :answers and l.outage_since is not null then null else l.wanted_claimed_until end
    from handed_back h
    where l.destination_id = h.destination_id and (l.lane = h.lane or :answers and l.outage_since is not null)
), told as (
    select pg_notify('sluice_events', destination_id || '/' || lane) from handed_back
)
select (select count(*) from told) as told
""")


@dataclass(frozen=True, slots=True)
class PendingRetry:
    """The profile's EventRetry is to be signalled, started if need be, to begin in `delay_seconds`."""

    destination_id: str
    profile_id: str
    signal: str
    epoch: int
    delay_seconds: float


@dataclass(frozen=True, slots=True)
class Blocker:
    """The delivery that its profile's later events wait for. `used`: attempts of this round."""

    delivery_id: str
    mapping_id: str
    used: int
    paused: bool
    revision: int
    connector: str
    wait_seconds: float


@dataclass(frozen=True, slots=True)
class BegunEvent:
    """An attempt that may now be made. `used` counts this round's attempts, this one included."""

    delivery: QueuedDelivery
    destination_id: str
    connector: str
    revision: int

    @property
    def number(self) -> int:
        return self.delivery.attempts

    @property
    def used(self) -> int:
        return self.delivery.attempts - self.delivery.attempts_before


@dataclass(frozen=True, slots=True)
class EventNotBegun:
    """Why not: the delivery has ended (`status`), or the destination is paused or gone, or it `holds` back its profile no more.

    If it is none of these, and there is a rate limit: it waits for its `turn`.
    """

    status: str
    reason: str | None
    message: str | None
    paused: bool
    deleted: bool
    holds: bool
    turn: Turn | None


class EventRetries:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def claim(self, limit: int) -> list[PendingRetry]:
        async with self._database.statement() as connection:
            rows = await connection.execute(_CLAIM, {"limit": limit, "seconds": CLAIM_SECONDS})
            return [
                PendingRetry(row.destination_id, row.profile_id, row.signal, row.signal_epoch, row.delay)
                for row in rows
            ]

    async def sent(self, retries: Sequence[tuple[PendingRetry, str]]) -> None:
        """These were delivered to Temporal, each to the run with the given id."""
        parameters = {
            **_keys([retry for retry, _ in retries]),
            "epochs": [retry.epoch for retry, _ in retries],
            "run_ids": [run_id for _, run_id in retries],
        }
        async with self._database.statement() as connection:
            await connection.execute(_SENT, parameters)

    async def release(self, retries: Sequence[PendingRetry], seconds: float) -> None:
        async with self._database.statement() as connection:
            await connection.execute(_RELEASE, {**_keys(retries), "seconds": seconds})

    async def rescue(self) -> int:
        async with self._database.statement() as connection:
            return (await connection.execute(_RESCUE, {"stuck": STUCK_SECONDS})).rowcount

    async def blocker(self, destination_id: str, profile_id: str) -> Blocker | None:
        """What holds this profile back now, or None: then its events have been handed back to the queue."""
        parameters = {"destination_id": destination_id, "profile_id": profile_id}
        async with self._database.statement() as connection:
            row = (await connection.execute(_NEXT, parameters)).first()
        if row is None or row.ended:
            return None
        return Blocker(
            str(row.delivery_id),
            row.mapping_id,
            row.used,
            row.paused,
            row.published_revision,
            row.connector,
            row.wait_seconds,
        )

    async def begin(self, delivery_id: str, *, workflow_id: str, run_id: str) -> BegunEvent | EventNotBegun | None:
        """Write down that an attempt begins, and read what it needs, as of now. None if there is no such delivery."""
        parameters = {"id": delivery_id, "workflow_id": workflow_id, "run_id": run_id}
        async with self._database.statement() as connection:
            row = (await connection.execute(_BEGIN, parameters)).first()
            if row is not None:
                return _begun(row)
            why = (await connection.execute(_WHY_NOT, {"id": delivery_id})).mappings().first()
        return _not_begun(why) if why is not None else None

    async def end(self, begun: BegunEvent, ended: Ended) -> None:
        """Complete the attempt; if the delivery has ended with it, hand the profile back to the queue."""
        parameters = {
            "id": begun.delivery.id,
            "number": begun.number,
            "duration_ms": ended.duration_ms,
            "request": json.dumps(ended.request),
            "response": json.dumps(ended.response),
            "outcome": ended.outcome,
            "may_have_arrived": ended.may_have_arrived,
            "error": json.dumps(ended.error),
            "status": ended.status,
            "reason": ended.reason,
            "message": ended.message,
            "delay": ended.delay_seconds,
            "final": ended.delay_seconds is None,
            "answers": ended.status is DeliveryStatus.DELIVERED,
        }
        async with self._database.statement() as connection:
            await connection.execute(_END, parameters)


def _keys(retries: Sequence[PendingRetry]) -> dict[str, list[Any]]:
    return {
        "destination_ids": [retry.destination_id for retry in retries],
        "profile_ids": [retry.profile_id for retry in retries],
    }


def _not_begun(why: Any) -> EventNotBegun:
    known = {name: why[name] for name in EventNotBegun.__slots__ if name != "turn"}
    hindered = why["paused"] or why["deleted"] or not why["holds"]
    return EventNotBegun(**known, turn=turn_of(why) if why["status"] in OPEN and not hindered else None)


def _begun(row: Any) -> BegunEvent:
    return BegunEvent(queued_delivery(row), row.destination_id, row.connector, row.published_revision)
