"""Making pumps and retries look again: what they passed over, or what waits out a back-off, may go now."""

from __future__ import annotations

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

# In order, so that two of these cannot deadlock. A pump that waits out an outage is woken: what is published now may end it. Without a
# lane named, whoever listens looks at all of them.
_RESCAN = text("""
with locked as (select lane from event_lanes where destination_id = :id order by lane for update)
update event_lanes l set scanned = 0, returned = returned + 1,
    wanted = wanted or (outage_since is not null and home = l.lane),
    wanted_epoch = wanted_epoch + case when outage_since is not null then 1 else 0 end,
    wanted_claimed_until = case when outage_since is null then wanted_claimed_until end
from locked where l.destination_id = :id and l.lane = locked.lane
""")

_LOCK_RETRIES = text("select 1 from event_retries where destination_id = :id order by profile_id for update")

# By a signal to each: a batch of signals does not reach a workflow whose start is delayed, as that of a first back-off is.
_HURRY = text("""
with due as (
    update deliveries l set next_attempt_at = clock_timestamp(), updated_at = clock_timestamp()
    from event_retries r where r.destination_id = :id and l.id = r.delivery_id and l.status = 'retrying'
    returning l.id
)
update event_retries r set signal = 'deliver_now', signal_epoch = signal_epoch + 1, signal_claimed_until = null,
    updated_at = clock_timestamp()
from due where r.delivery_id = due.id
""")

_WAKE = text("select pg_notify('sluice_events', '')")


async def rescan_lanes(connection: AsyncConnection, destination_id: str) -> None:
    """From the commit on."""
    await connection.execute(_RESCAN, {"id": destination_id})
    await connection.execute(_WAKE)


async def end_back_offs(connection: AsyncConnection, destination_id: str) -> None:
    """Events in back-off go at once, from the commit on. The dispatcher is yet to be woken."""
    await connection.execute(_LOCK_RETRIES, {"id": destination_id})
    await connection.execute(_HURRY, {"id": destination_id})
