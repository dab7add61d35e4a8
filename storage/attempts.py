"""Attempts: each is written down when it begins and completed when it ends, so that even one cut short leaves a trace."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from sqlalchemy import text

from domain.deliveries import OPEN, AttemptOutcome, DeliveryStatus
from domain.profiles import Profile
from storage.database import Database
from storage.rate_limits import HELD_SLOT, IS_TURN, TAKE_SLOT, TURN, Turn, turn_of
from storage.syncs import LOCK

LOST = '{"code": "unknown_outcome", "message": "the worker ended during this attempt; the receiver may have had it"}'

# The sync row is locked first, as everywhere: two statements that take the same rows in different orders can deadlock.
_BEGIN = text(f"""
with s as (
    select s.destination_id, s.profile_id from syncs s
    where (s.destination_id, s.profile_id) = (select destination_id, profile_id from deliveries where id = :id)
    for update
), ready as materialized (
    select l.id, l.updated_at as seen, d.id as destination_id, d.connector, d.published_revision, d.rate_per_second as rate,
        p.id as profile_id, p.version, p.document, p.created_at as profile_created_at, p.updated_at as profile_updated_at,
        {HELD_SLOT} as held
    from s join destinations d on d.id = s.destination_id join profiles p on p.id = s.profile_id
        join deliveries l on l.id = :id
        left join rate_limits g on g.destination_id = s.destination_id and d.rate_per_second is not null
    where l.status in ('queued', 'delivering', 'retrying')
        and destination_status(s.destination_id) = 'running' and d.deleted_at is null and p.deleted_at is null
        and not exists (
            select from attempts a
            where a.delivery_id = l.id and a.may_have_arrived and a.profile_version <> p.version)
), {TAKE_SLOT}, begun as (
    update deliveries l set status = 'delivering', attempts = l.attempts + 1, next_attempt_at = null,
        reason = nullif(l.reason, 'rate_limited'), revision = ready.published_revision, profile_version = ready.version,
        workflow_id = :workflow_id, run_id = :run_id, updated_at = clock_timestamp()
    from ready left join slot on true
    where l.id = ready.id and l.status in ('queued', 'delivering', 'retrying') and {IS_TURN}
    returning l.id, l.attempts, l.attempts_before, l.mapping_id, ready.destination_id, ready.connector,
        ready.published_revision, ready.profile_id, ready.version, ready.document, ready.profile_created_at,
        ready.profile_updated_at
), lost as (
    update attempts a set outcome = 'unknown', error = '{LOST}' from begun where a.delivery_id = begun.id and a.outcome is null
), noted as (
    insert into attempts (delivery_id, number, revision, profile_version, started_at)
    select id, attempts, published_revision, version, clock_timestamp() from begun
), marked as (
    update syncs set state = 'delivering', reason = nullif(reason, 'rate_limited'), next_attempt_at = null,
        updated_at = clock_timestamp()
    from begun where syncs.destination_id = begun.destination_id and syncs.profile_id = begun.profile_id
), queued_up as (
    update syncs set state = case w.status when 'queued' then 'waiting' else 'retrying' end, reason = 'rate_limited',
        message = null, next_attempt_at = w.next_attempt_at, updated_at = clock_timestamp()
    from s, waiting w
    where syncs.destination_id = s.destination_id and syncs.profile_id = s.profile_id and not exists (
        select from sync_mappings m join deliveries o on o.id = m.delivery_id
        where m.destination_id = s.destination_id and m.profile_id = s.profile_id and o.id <> w.id
            and o.status = 'delivering')
)
select b.*, m.delivered_user, m.delivered_version
from begun b left join sync_mappings m
    on m.destination_id = b.destination_id and m.profile_id = b.profile_id and m.mapping_id = b.mapping_id
""")

_WHY_NOT = text(f"""
select {TURN}, l.status, l.reason, l.message, l.destination_id, l.profile_id, l.attempts, l.attempts_before,
    d.status = 'paused' as paused, d.deleted_at is not null as destination_deleted,
    p.deleted_at is not null as profile_deleted,
    exists (
        select from attempts a
        where a.delivery_id = l.id and a.may_have_arrived and a.profile_version <> p.version) as outdated
from deliveries l join destinations d on d.id = l.destination_id left join profiles p on p.id = l.profile_id
where l.id = :id
""")

# What the receiver may have under this key is an older state: a newer one under the same key would be taken for a repetition and
# dropped. So this delivery ends here, and planning opens another, with a key of its own.
_SUPERSEDE = text(f"""
with s as (
    select s.destination_id, s.profile_id from syncs s
    where (s.destination_id, s.profile_id) = (select destination_id, profile_id from deliveries where id = :id)
    for update
), closed as (
    update deliveries l set status = 'discarded', reason = 'superseded', next_attempt_at = null,
        message = 'the profile changed after an attempt that the receiver may have had; a new delivery carries the new state',
        updated_at = clock_timestamp(), finished_at = clock_timestamp()
    from s where l.id = :id and l.status in ('queued', 'delivering', 'retrying')
    returning l.mapping_id
), lost as (
    update attempts set outcome = 'unknown', error = '{LOST}'
    where delivery_id = :id and outcome is null
), reopened as (
    update sync_mappings m set status = 'discarded' from s, closed
    where m.destination_id = s.destination_id and m.profile_id = s.profile_id and m.mapping_id = closed.mapping_id
        and m.delivery_id = :id
)
update syncs set state = 'waiting', reason = 'superseded', message = null, next_attempt_at = null,
    updated_at = clock_timestamp()
from s, closed where syncs.destination_id = s.destination_id and syncs.profile_id = s.profile_id
""")

_END = text("""
with s as (
    select s.destination_id, s.profile_id, s.wanted_version from syncs s
    where (s.destination_id, s.profile_id) = (select destination_id, profile_id from deliveries where id = :id)
    for update
), noted as (
    update attempts set duration_ms = :duration_ms, request = cast(:request as jsonb),
        response = cast(:response as jsonb), outcome = :outcome, may_have_arrived = :may_have_arrived, error = cast(:error as jsonb)
    where delivery_id = :id and number = :number
), ended as (
    update deliveries l set status = :status, reason = :reason, message = :message, updated_at = clock_timestamp(),
        next_attempt_at = clock_timestamp() + make_interval(secs => cast(:delay as double precision)),
        finished_at = case when :final then clock_timestamp() end
    from s where l.id = :id and l.attempts = :number and l.status in ('queued', 'delivering', 'retrying')
    returning l.mapping_id
), progressed as (
    update sync_mappings m set status = :status,
        settled_version = case when :final then greatest(settled_version, :version) else settled_version end,
        delivered_version =
            case when :delivered then greatest(coalesce(delivered_version, 0), :version) else delivered_version end,
        delivered_user = case when :delivered and :version >= coalesce(delivered_version, 0)
            then cast(:user as jsonb) else delivered_user end
    from s, ended
    where m.destination_id = s.destination_id and m.profile_id = s.profile_id and m.mapping_id = ended.mapping_id
        and m.delivery_id = :id
), others as (
    select coalesce(bool_or(l.status = 'delivering'), false) as delivering,
        min(l.next_attempt_at) filter (where l.status = 'retrying') as next_attempt_at,
        min(l.next_attempt_at) filter (where l.status = 'queued' and l.reason = 'rate_limited') as slot_at
    from s join sync_mappings m on m.destination_id = s.destination_id and m.profile_id = s.profile_id
        join deliveries l on l.id = m.delivery_id
    where l.id <> :id
), settles as (
    select :delivered and :only and s.wanted_version <= :version as yes, others.delivering, others.slot_at,
        least(others.next_attempt_at, clock_timestamp() + make_interval(secs => cast(:delay as double precision)))
            as next_attempt_at
    from s, ended, others
)
update syncs set
    state = case when settles.yes then 'idle' when settles.delivering then 'delivering'
        when settles.next_attempt_at is not null then 'retrying' else 'waiting' end,
    reason = case when settles.yes then null when :status = 'retrying' then :reason
        when first_change_at is not null then 'debouncing' when settles.slot_at is not null then 'rate_limited' end,
    message = case when :status = 'retrying' then :message end,
    first_change_at = case when settles.yes then null else first_change_at end,
    due_at = case when settles.yes then null else due_at end,
    delivered_version = case when settles.yes then :version else delivered_version end,
    watched = watched and not settles.yes,
    next_attempt_at = case when not settles.delivering then coalesce(settles.next_attempt_at, settles.slot_at) end,
    updated_at = clock_timestamp()
from s, settles
where syncs.destination_id = s.destination_id and syncs.profile_id = s.profile_id
returning settles.yes as settled
""")


@dataclass(frozen=True, slots=True)
class Begun:
    """An attempt that may now be made, with everything it is made from. `used` counts this round's attempts, this one included."""

    delivery_id: str
    number: int
    used: int
    destination_id: str
    mapping_id: str
    connector: str
    revision: int
    profile: Profile
    delivered_user: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class NotBegun:
    """Why no attempt may be made: the delivery has ended (`status`) or was `outdated`, the destination paused, or something deleted.

    If it is none of these, and there is a rate limit: it waits for its `turn`.
    """

    status: str
    reason: str | None
    message: str | None
    paused: bool
    destination_deleted: bool
    profile_deleted: bool
    outdated: bool
    turn: Turn | None


@dataclass(frozen=True, slots=True)
class Ended:
    """How an attempt ended, and what that makes of its delivery. `delay_seconds` until the next attempt, if there is one.

    `is_whole`: its mapping was the only one of the revision it was made with. `asked_seconds`: so long the receiver wants to be left alone.
    """

    outcome: AttemptOutcome
    status: DeliveryStatus
    reason: str | None = None
    message: str | None = None
    delay_seconds: float | None = None
    duration_ms: float | None = None
    request: dict[str, Any] | None = None
    response: dict[str, Any] | None = None
    may_have_arrived: bool = False
    is_whole: bool = False
    asked_seconds: float | None = None

    @property
    def error(self) -> dict[str, Any] | None:
        if self.outcome is AttemptOutcome.DELIVERED:
            return None
        return {"code": self.reason, "message": self.message}


class Attempts:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def begin(self, delivery_id: str, *, workflow_id: str, run_id: str) -> Begun | NotBegun | None:
        """Write down that an attempt begins, and read what it needs, as of now. None if there is no such delivery."""
        parameters = {"id": delivery_id, "workflow_id": workflow_id, "run_id": run_id}
        async with self._database.statement() as connection:
            row = (await connection.execute(_BEGIN, parameters)).mappings().first()
            if row is not None:
                return _begun(row)
            why = (await connection.execute(_WHY_NOT, {"id": delivery_id})).mappings().first()
            if why is not None and why["outdated"] and not why["paused"]:
                await connection.execute(_SUPERSEDE, {"id": delivery_id})
        if why is None:
            return None
        return _not_begun(why)

    async def end(self, begun: Begun, ended: Ended, *, only: bool) -> bool:
        """Complete the attempt. True if the whole sync is settled by it, which is so if this delivery was the `only` one."""
        delivered = ended.status is DeliveryStatus.DELIVERED
        parameters = {
            "id": begun.delivery_id,
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
            "delivered": delivered,
            "version": begun.profile.version,
            "user": json.dumps(begun.profile.as_user()) if delivered else None,
            "only": only,
        }
        if only:
            async with self._database.statement() as connection:
                return bool((await connection.execute(_END, parameters)).scalar_one_or_none())
        # What other mappings' attempts wrote while we waited for the lock counts: so it is taken before the snapshot is.
        async with self._database.transaction() as connection:
            await connection.execute(LOCK, {"destination_id": begun.destination_id, "profile_id": begun.profile.id})
            return bool((await connection.execute(_END, parameters)).scalar_one_or_none())


def _not_begun(why: Any) -> NotBegun:
    known = {name: why[name] for name in NotBegun.__slots__ if name != "turn"}
    hindered = why["paused"] or why["destination_deleted"] or why["profile_deleted"] or why["outdated"]
    return NotBegun(**known, turn=turn_of(why) if why["status"] in OPEN and not hindered else None)


def _begun(row: Any) -> Begun:
    return Begun(
        delivery_id=str(row["id"]),
        number=row["attempts"],
        used=row["attempts"] - row["attempts_before"],
        destination_id=row["destination_id"],
        mapping_id=row["mapping_id"],
        connector=row["connector"],
        revision=row["published_revision"],
        profile=Profile.model_construct(
            id=row["profile_id"],
            version=row["version"],
            document=row["document"],
            created_at=row["profile_created_at"],
            updated_at=row["profile_updated_at"],
            deleted_at=None,
        ),
        delivered_user=row["delivered_user"],
    )
