"""What Temporal still has to be told: signals for single syncs, and pauses and resumes of whole destinations.

Rows are claimed for a while (`FOR UPDATE SKIP LOCKED`), so that several replicas share the work, and are never locked while Temporal is
called: a change that arrives meanwhile raises the epoch, and its signal stays wanted.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import text

from storage.database import Database

CLAIM_SECONDS = (
    30.0  # longer than a batch of signals takes even when Temporal answers slowly; then another replica tries
)
OVERDUE_SECONDS = 60.0  # a workflow is never this late by itself; if it is, it is not there
STUCK_SECONDS = 300.0  # an attempt ends within two minutes whatever happens

_CLAIM = text("""
with claimed as (
    select s.destination_id, s.profile_id
    from syncs s join destinations d on d.id = s.destination_id
    where s.signal is not null and (s.signal_claimed_until is null or s.signal_claimed_until < clock_timestamp())
        and (d.status = 'running' or d.deleted_at is not null)
    order by s.due_at
    limit :limit
    for update of s skip locked
)
update syncs s set signal_claimed_until = clock_timestamp() + make_interval(secs => :seconds)
from claimed c, destinations d
where s.destination_id = c.destination_id and s.profile_id = c.profile_id and d.id = s.destination_id
returning s.destination_id, s.profile_id, s.signal, s.signal_epoch,
    greatest(0, extract(epoch from coalesce(s.due_at, clock_timestamp()) - clock_timestamp()))::double precision as delay
""")

_SENT = text("""
update syncs s set signal = null, signal_claimed_until = null, run_id = coalesce(e.run_id, s.run_id)
from jsonb_to_recordset(cast(:sent as jsonb)) as e(destination_id text, profile_id text, epoch bigint, run_id text)
where s.destination_id = e.destination_id and s.profile_id = e.profile_id and s.signal_epoch = e.epoch
""")

_RELEASE = text("""
update syncs s set signal_claimed_until = clock_timestamp() + make_interval(secs => :seconds)
from jsonb_to_recordset(cast(:failed as jsonb)) as e(destination_id text, profile_id text, epoch bigint)
where s.destination_id = e.destination_id and s.profile_id = e.profile_id and s.signal is not null
""")

# The safety net: what should have happened by now and has not is signalled again.
_RESCUE = text("""
with late as (
    select s.destination_id, s.profile_id
    from syncs s join destinations d on d.id = s.destination_id
    where s.state in ('waiting', 'delivering', 'retrying') and s.signal is null
        and (d.status = 'running' or d.deleted_at is not null)
        and s.updated_at < clock_timestamp() - make_interval(secs => :overdue)
        and case s.state
            when 'waiting' then
                coalesce(greatest(s.due_at, s.next_attempt_at), s.updated_at) < clock_timestamp() - make_interval(secs => :overdue)
            when 'retrying' then
                coalesce(s.next_attempt_at, s.updated_at) < clock_timestamp() - make_interval(secs => :stuck)
            else s.updated_at < clock_timestamp() - make_interval(secs => :stuck) end
    limit :limit
    for update of s skip locked
)
update syncs s set signal = 'profile_changed', signal_epoch = signal_epoch + 1, signal_claimed_until = null,
    updated_at = clock_timestamp()
from late where s.destination_id = late.destination_id and s.profile_id = late.profile_id
""")

_TO_TELL = text("""
select id, tell_epoch, case when deleted_at is not null or status = 'running' then 'resume' else 'pause' end as signal,
    (extract(epoch from updated_at) * 1000)::bigint as at_ms
from destinations where tell_epoch > told_epoch order by updated_at limit 100
""")

_DEBOUNCING = text("""
select destination_id, profile_id, signal_epoch from syncs
where destination_id = :id and state = 'waiting' and due_at > clock_timestamp() + interval '1 second'
limit :limit
""")

_TOLD = text("update destinations set told_epoch = greatest(told_epoch, :epoch) where id = :id")

_COUNT = text("select count(*) from syncs where signal is not null")


@dataclass(frozen=True, slots=True)
class PendingSignal:
    destination_id: str
    profile_id: str
    signal: str
    epoch: int
    delay_seconds: float


@dataclass(frozen=True, slots=True)
class PendingTell:
    """Every running workflow of the destination is to be sent `signal`, in one batch. `at_ms`: when it was decided."""

    destination_id: str
    signal: str
    epoch: int
    at_ms: int


class Outbox:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def claim(self, limit: int) -> list[PendingSignal]:
        async with self._database.statement() as connection:
            rows = await connection.execute(_CLAIM, {"limit": limit, "seconds": CLAIM_SECONDS})
            return [
                PendingSignal(row.destination_id, row.profile_id, row.signal, row.signal_epoch, row.delay)
                for row in rows
            ]

    async def sent(self, signals: Sequence[tuple[PendingSignal, str | None]]) -> None:
        """These were delivered to Temporal, each to the run with the given id."""
        listed = [{**_key(signal), "run_id": run_id} for signal, run_id in signals]
        async with self._database.statement() as connection:
            await connection.execute(_SENT, {"sent": json.dumps(listed)})

    async def release(self, signals: Sequence[PendingSignal], seconds: float) -> None:
        """These could not be delivered; they may be tried again after `seconds`."""
        listed = [_key(signal) for signal in signals]
        async with self._database.statement() as connection:
            await connection.execute(_RELEASE, {"failed": json.dumps(listed), "seconds": seconds})

    async def rescue(self, limit: int) -> int:
        """Signal again what is overdue: its workflow was lost or missed its signal. Returns how many."""
        async with self._database.statement() as connection:
            parameters = {"overdue": OVERDUE_SECONDS, "stuck": STUCK_SECONDS, "limit": limit}
            return (await connection.execute(_RESCUE, parameters)).rowcount

    async def to_tell(self) -> list[PendingTell]:
        async with self._database.statement() as connection:
            return [
                PendingTell(row.id, row.signal, row.tell_epoch, row.at_ms) for row in await connection.execute(_TO_TELL)
            ]

    async def debouncing(self, destination_id: str, limit: int) -> list[PendingSignal]:
        """A `pause` for each sync whose run may not have begun: while its start is delayed, a batch does not wake it."""
        async with self._database.statement() as connection:
            rows = await connection.execute(_DEBOUNCING, {"id": destination_id, "limit": limit})
            return [PendingSignal(row.destination_id, row.profile_id, "pause", row.signal_epoch, 0.0) for row in rows]

    async def told(self, tell: PendingTell) -> None:
        async with self._database.statement() as connection:
            await connection.execute(_TOLD, {"id": tell.destination_id, "epoch": tell.epoch})

    async def waiting(self) -> int:
        """How many signals Temporal has not been sent yet."""
        async with self._database.statement() as connection:
            return int((await connection.execute(_COUNT)).scalar_one())


def _key(signal: PendingSignal) -> dict[str, object]:
    return {"destination_id": signal.destination_id, "profile_id": signal.profile_id, "epoch": signal.epoch}
