"""What operators do with single event deliveries: try them again, skip them, set them aside."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from domain.deliveries import DeliveryKind, DeliveryStatus, Reason
from domain.errors import Conflict, NotFound
from storage.database import Database

# A pump that lives says so every second, and once a minute during an outage. What a dead one had in hand is not being sent any more.
IN_HAND_SECONDS = 180.0

_FIND = text("select id, kind, destination_id, profile_id from deliveries where id = :id")

_LOCK_BLOCKER = text("""
select 1 from event_retries where destination_id = :destination_id and profile_id = :profile_id for update
""")

# Only under this lock can a pump take something into its hands. All lanes: one pump may serve several, and only its own row says so.
_LOCK_LANES = text("select 1 from event_lanes where destination_id = :destination_id order by lane for update")

# After the locks, in a statement of its own: its snapshot holds everything that was committed before we got them.
_FACTS = text("""
select l.id, l.status, d.deleted_at is not null as destination_deleted, p.deleted_at is not null as profile_deleted,
    exists (select from event_retries r where r.delivery_id = l.id) as blocks,
    l.status = 'queued' and exists (
        select from event_lanes e
        where e.destination_id = l.destination_id and l.id = any(e.claimed)
            and e.updated_at > clock_timestamp() - make_interval(secs => :in_hand_seconds)) as in_hand
from deliveries l join destinations d on d.id = l.destination_id left join profiles p on p.id = l.profile_id
where l.id = :id
""")

_REQUEUE = text("""
with back as (
    update deliveries set status = 'queued', reason = 'retry_requested', message = null, finished_at = null,
        next_attempt_at = null, attempts_before = attempts, updated_at = clock_timestamp()
    where id = :id and status = :status
    returning destination_id, lane
), found as (
    update event_lanes e set scanned = 0, returned = returned + 1
    from back where e.destination_id = back.destination_id and e.lane = back.lane
)
select pg_notify('sluice_events', destination_id || '/' || lane) from back
""")

_HURRY = text("""
with due as (
    update deliveries set updated_at = clock_timestamp(),
        next_attempt_at = case when reason = 'rate_limited' then next_attempt_at else clock_timestamp() end
    where id = :id and status = :status
    returning id
), signalled as (
    update event_retries r set signal = 'deliver_now', signal_epoch = signal_epoch + 1, signal_claimed_until = null,
        updated_at = clock_timestamp()
    from due where r.delivery_id = due.id
    returning 1
)
select pg_notify('sluice_work', '') from signalled
""")

# A workflow in back-off for it finds nothing at its next look. Should the profile's next event fail before then, its signal wakes it.
_END = text("""
with ended as (
    update deliveries set status = :ends_as, reason = :reason, message = null, next_attempt_at = null,
        updated_at = clock_timestamp(), finished_at = clock_timestamp()
    where id = :id and status = :status
    returning id
), unblocked as (
    delete from event_retries r using ended where r.delivery_id = ended.id
    returning r.destination_id, r.lane
), found as (
    update event_lanes e set scanned = 0, returned = returned + 1
    from unblocked u where e.destination_id = u.destination_id and e.lane = u.lane
)
select (select count(*) from ended), (select pg_notify('sluice_events', destination_id || '/' || lane) from unblocked)
from ended
""")


class EventActions:
    """Each raises NotFound, and Conflict when the delivery is none that this can be done with."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def retry(self, delivery_id: str) -> None:
        """Bring a failed one back to its old place in the queue, or let one that waits for its next attempt go at once."""
        async with self._database.transaction() as connection:
            facts = await _locked(connection, delivery_id, "retried")
            _require(facts, "retried", (DeliveryStatus.FAILED, DeliveryStatus.RETRYING))
            if facts["profile_deleted"]:
                raise Conflict("its profile has been deleted")
            await _change(connection, _HURRY if facts["blocks"] else _REQUEUE, facts)

    async def skip(self, delivery_id: str) -> None:
        """End it for good, unsent; its profile's next event goes."""
        await self._end(delivery_id, "skipped", DeliveryStatus.SKIPPED, Reason.SKIPPED_BY_OPERATOR)

    async def park(self, delivery_id: str) -> None:
        """Make a dead letter of it, which can be retried later; its profile's next event goes."""
        await self._end(delivery_id, "parked", DeliveryStatus.FAILED, Reason.PARKED)

    async def _end(self, delivery_id: str, verb: str, ends_as: DeliveryStatus, reason: Reason) -> None:
        async with self._database.transaction() as connection:
            facts = await _locked(connection, delivery_id, verb)
            _require(facts, verb, (DeliveryStatus.QUEUED, DeliveryStatus.RETRYING))
            await _change(connection, _END, facts, ends_as=ends_as, reason=reason)


async def _locked(connection: AsyncConnection, delivery_id: str, verb: str) -> Any:
    """The delivery's facts. What a pump or a retry writes of it happens before them or after our commit."""
    found = (await connection.execute(_FIND, {"id": delivery_id})).mappings().first()
    if found is None:
        raise NotFound(f"there is no delivery {delivery_id}")
    if found["kind"] != DeliveryKind.EVENT:  # to retry others: syncs.py
        raise Conflict(f"only deliveries of events can be {verb}; this one is a {found['kind']}")
    key = {"destination_id": found["destination_id"], "profile_id": found["profile_id"]}
    await connection.execute(_LOCK_BLOCKER, key)
    await connection.execute(_LOCK_LANES, {"destination_id": found["destination_id"]})
    parameters = {"id": delivery_id, "in_hand_seconds": IN_HAND_SECONDS}
    return (await connection.execute(_FACTS, parameters)).mappings().one()


def _require(facts: Any, verb: str, statuses: Collection[str]) -> None:
    if facts["destination_deleted"]:
        raise Conflict("its destination has been deleted")
    if facts["status"] == DeliveryStatus.DELIVERING or facts["in_hand"]:
        raise _being_sent()
    if facts["status"] not in statuses:
        only = " or ".join(statuses)
        raise Conflict(f"a delivery that is {facts['status']} cannot be {verb}; only {only} ones can")


async def _change(connection: AsyncConnection, statement: Any, facts: Any, **values: str) -> None:
    """`status` is still what the facts say, or this raises."""
    parameters = {"id": facts["id"], "status": facts["status"], **values}
    if (await connection.execute(statement, parameters)).first() is None:
        raise _being_sent()  # what came between is the one thing that our locks do not keep out: its first retry begins


def _being_sent() -> Conflict:
    return Conflict("an attempt is being made; try again when it has ended")
