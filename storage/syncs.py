"""The `syncs` rows: read and changed under their own lock, so that planning and new changes never pass each other."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import uuid_utils.compat as uuid
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from domain.deliveries import DeliveryStatus
from domain.destinations import DestinationSpec
from domain.errors import Conflict, NotFound
from domain.profiles import Profile
from domain.syncs import MappingProgress, SyncFacts, SyncState
from storage.database import Database
from storage.revisions import read_spec

LOCK = text("select 1 from syncs where destination_id = :destination_id and profile_id = :profile_id for update")

# After the lock, in a statement of its own: its snapshot then holds everything that was committed before we got the lock.
_FACTS = text("""
select d.connector, d.status = 'running' as running, d.deleted_at is not null as deleted, d.published_revision,
    p.version, p.document, p.created_at, p.updated_at, p.deleted_at,
    s.wanted_version, s.state, s.reason, s.message,
    case when s.first_change_at is not null
        then extract(epoch from s.due_at - clock_timestamp())::double precision end as due_in,
    (select coalesce(json_agg(json_build_object(
        'mapping_id', m.mapping_id, 'settled_version', m.settled_version, 'delivered_version', m.delivered_version,
        'delivered_user', m.delivered_user, 'delivery_id', m.delivery_id, 'status', coalesce(l.status, m.status),
        'reason', l.reason, 'message', l.message, 'attempts_used', coalesce(l.attempts - l.attempts_before, 0))), '[]')
     from sync_mappings m left join deliveries l on l.id = m.delivery_id
     where m.destination_id = s.destination_id and m.profile_id = s.profile_id) as progress
from syncs s join destinations d on d.id = s.destination_id join profiles p on p.id = s.profile_id
where s.destination_id = :destination_id and s.profile_id = :profile_id
""")

_START = text("""
with made as (
    insert into deliveries (id, kind, destination_id, mapping_id, profile_id, status, reason, message, revision,
                            profile_version, workflow_id, run_id, finished_at)
    select id, 'profile_sync', :destination_id, mapping_id, :profile_id, status, reason, message, :revision,
           :profile_version, :workflow_id, :run_id, case when status <> 'queued' then clock_timestamp() end
    from jsonb_to_recordset(cast(:entries as jsonb))
        as e(id uuid, mapping_id text, status text, reason text, message text)
    on conflict (id) do nothing
)
insert into sync_mappings (destination_id, profile_id, mapping_id, settled_version, delivery_id, status)
select :destination_id, :profile_id, mapping_id, case when status = 'queued' then 0 else :profile_version end, id, status
from jsonb_to_recordset(cast(:entries as jsonb)) as e(id uuid, mapping_id text, status text)
on conflict (destination_id, profile_id, mapping_id) do update set
    settled_version = greatest(sync_mappings.settled_version, excluded.settled_version),
    delivery_id = excluded.delivery_id, status = excluded.status
""")

_PLANNED = text("""
update syncs set first_change_at = null, due_at = null, watched = :watched, run_id = :run_id,
    updated_at = clock_timestamp()
where destination_id = :destination_id and profile_id = :profile_id
""")

_WATCH = text("""
update syncs set watched = :watched, run_id = :run_id, updated_at = clock_timestamp()
where destination_id = :destination_id and profile_id = :profile_id
""")

_SETTLE = text("""
update syncs set state = :state, reason = :reason, message = :message, first_change_at = null, due_at = null,
    next_attempt_at = null, watched = false, run_id = :run_id, updated_at = clock_timestamp(),
    delivered_version = case when :state = 'idle' then wanted_version else delivered_version end
where destination_id = :destination_id and profile_id = :profile_id
""")

_DISCARD_DELIVERIES = text("""
update deliveries set status = 'discarded', reason = :reason, message = null, next_attempt_at = null,
    updated_at = clock_timestamp(), finished_at = clock_timestamp()
where id in (select delivery_id from sync_mappings
             where destination_id = :destination_id and profile_id = :profile_id)
    and status in ('queued', 'delivering', 'retrying')
""")

# A worker that died during an attempt left it so; the next one under the same key finds out more.
_CUT_SHORT = text("""
with cut_short as (
    update deliveries set status = 'retrying', next_attempt_at = clock_timestamp(), reason = 'unknown_outcome',
        message = 'the worker ended during this attempt; the receiver may have had it', updated_at = clock_timestamp()
    where status = 'delivering' and id in (
        select delivery_id from sync_mappings where destination_id = :destination_id and profile_id = :profile_id)
)
update syncs set state = 'retrying', reason = 'unknown_outcome', updated_at = clock_timestamp()
where destination_id = :destination_id and profile_id = :profile_id
""")

_SKIP = text("""
with skipped as (
    update sync_mappings set status = 'skipped'
    where destination_id = :destination_id and profile_id = :profile_id and mapping_id = any(:mapping_ids)
    returning delivery_id
)
update deliveries l set status = 'skipped', reason = :reason, message = :message, next_attempt_at = null,
    updated_at = clock_timestamp(), finished_at = clock_timestamp()
from skipped where l.id = skipped.delivery_id and l.status in ('queued', 'delivering', 'retrying')
""")

_FOR_RETRY = text("""
select l.kind, l.status, l.destination_id, l.profile_id, l.mapping_id, m.delivery_id = l.id as newest,
    d.deleted_at is not null as deleted
from deliveries l join destinations d on d.id = l.destination_id
left join sync_mappings m on m.destination_id = l.destination_id and m.profile_id = l.profile_id
    and m.mapping_id = l.mapping_id
where l.id = :id
""")

_RETRY = text("""
with wanted as (
    update syncs set state = 'waiting', reason = 'retry_requested', message = null, next_attempt_at = null,
        first_change_at = coalesce(first_change_at, clock_timestamp()), due_at = clock_timestamp(),
        watched = true, signal = 'deliver_now', signal_epoch = signal_epoch + 1, signal_claimed_until = null,
        updated_at = clock_timestamp()
    where destination_id = :destination_id and profile_id = :profile_id
    returning destination_id, profile_id, wanted_version
), reopened as (
    update deliveries set status = 'queued', reason = 'retry_requested', message = null, finished_at = null,
        next_attempt_at = null, attempts_before = attempts, updated_at = clock_timestamp()
    where id = :id
), unsettled as (
    update sync_mappings m set status = 'queued', settled_version = least(settled_version, w.wanted_version - 1)
    from wanted w
    where m.destination_id = w.destination_id and m.profile_id = w.profile_id and m.mapping_id = :mapping_id
)
select pg_notify('sluice_work', '')
""")


@dataclass(frozen=True, slots=True)
class Entry:
    """A delivery to be recorded: `queued` to be sent, or already ended as `skipped` or `failed` with a reason."""

    mapping_id: str
    status: DeliveryStatus
    delivery_id: str
    reason: str | None = None
    message: str | None = None

    @staticmethod
    def new(mapping_id: str, status: DeliveryStatus, reason: str | None = None, message: str | None = None) -> Entry:
        return Entry(mapping_id, status, str(uuid.uuid7()), reason, message)


class LockedSync:
    """One sync, locked. What is written here and what a new change writes happen one after the other."""

    def __init__(self, connection: AsyncConnection, key: dict[str, str], facts: SyncFacts, run_id: str) -> None:
        self._connection = connection
        self._key = key
        self._run = {"run_id": run_id}
        self.facts = facts

    async def spec(self, destination_id: str, number: int) -> DestinationSpec:
        """The published revision, read here: to wait for a second connection with this one in hand can starve the pool."""
        return await read_spec(self._connection, destination_id, number)

    async def start(self, entries: Sequence[Entry], *, workflow_id: str) -> None:
        """Record what is to be delivered and what was refused."""
        if entries:
            listed = [
                {
                    "id": entry.delivery_id,
                    "mapping_id": entry.mapping_id,
                    "status": entry.status,
                    "reason": entry.reason,
                    "message": entry.message,
                }
                for entry in entries
            ]
            await self._connection.execute(
                _START,
                {
                    **self._key,
                    **self._run,
                    "entries": json.dumps(listed),
                    "revision": self.facts.revision,
                    "profile_version": self.facts.profile.version,
                    "workflow_id": workflow_id,
                },
            )

    async def watch(self, watched: bool, *, planned: bool = False) -> None:
        """Say whether a workflow will look again by itself, and whether the changes so far are planned for."""
        statement = _PLANNED if planned else _WATCH
        await self._connection.execute(statement, {**self._key, **self._run, "watched": watched})

    async def settle(self, state: SyncState, reason: str | None, message: str | None) -> None:
        await self._connection.execute(
            _SETTLE, {**self._key, **self._run, "state": state, "reason": reason, "message": message}
        )

    async def cut_short(self) -> None:
        """No attempt of this sync is being made, whatever its row says."""
        await self._connection.execute(_CUT_SHORT, self._key)

    async def skip(self, mapping_ids: Collection[str], reason: str, message: str | None) -> None:
        """End what is open of these mappings."""
        values = {"mapping_ids": list(mapping_ids), "reason": reason, "message": message}
        await self._connection.execute(_SKIP, {**self._key, **values})

    async def discard(self, reason: str) -> None:
        await self._connection.execute(_DISCARD_DELIVERIES, {**self._key, "reason": reason})
        await self.settle(SyncState.DISCARDED, reason, None)

    async def progress(self) -> SyncFacts:
        """The facts as they are after what was written here."""
        self.facts = await _facts(self._connection, self._key)
        return self.facts


class Syncs:
    def __init__(self, database: Database) -> None:
        self._database = database

    @asynccontextmanager
    async def locked(self, destination_id: str, profile_id: str, run_id: str) -> AsyncIterator[LockedSync]:
        key = {"destination_id": destination_id, "profile_id": profile_id}
        async with self._database.transaction() as connection:
            if (await connection.execute(LOCK, key)).first() is None:
                raise NotFound(f"there is no sync of profile {profile_id!r} to destination {destination_id!r}")
            yield LockedSync(connection, key, await _facts(connection, key), run_id)

    async def retry(self, delivery_id: str) -> None:
        """Bring a failed delivery back, or let one that waits for its next attempt go at once."""
        async with self._database.transaction() as connection:
            row = (await connection.execute(_FOR_RETRY, {"id": delivery_id})).mappings().first()
            if row is None:
                raise NotFound(f"there is no delivery {delivery_id}")
            key = {"destination_id": row["destination_id"], "profile_id": row["profile_id"]}
            if row["profile_id"] is not None:
                await connection.execute(LOCK, key)
                row = (await connection.execute(_FOR_RETRY, {"id": delivery_id})).mappings().one()
            _check_retriable(row)
            await connection.execute(_RETRY, {**key, "id": delivery_id, "mapping_id": row["mapping_id"]})


def _check_retriable(row: Any) -> None:
    retriable: Collection[str] = (DeliveryStatus.FAILED, DeliveryStatus.RETRYING)
    if row["kind"] != "profile_sync":
        raise Conflict("a test is not retried; send another one")
    if row["deleted"]:
        raise Conflict("its destination has been deleted")
    if row["status"] not in retriable:
        raise Conflict(f"a delivery that is {row['status']} cannot be retried; only failed or retrying ones can")
    if not row["newest"]:
        raise Conflict("a newer sync of this profile has taken its place; retry that one if it failed")


async def _facts(connection: AsyncConnection, key: dict[str, str]) -> SyncFacts:
    row = (await connection.execute(_FACTS, key)).mappings().one()
    return SyncFacts(
        destination_id=key["destination_id"],
        profile_id=key["profile_id"],
        connector=row["connector"],
        running=row["running"],
        deleted=row["deleted"],
        revision=row["published_revision"],
        profile=Profile.model_construct(
            id=key["profile_id"],
            version=row["version"],
            document=row["document"],
            created_at=row["created_at"],
            updated_at=row["updated_at"],
            deleted_at=row["deleted_at"],
        ),
        wanted_version=row["wanted_version"],
        state=row["state"],
        reason=row["reason"],
        message=row["message"],
        due_in_seconds=row["due_in"],
        progress={item["mapping_id"]: MappingProgress(**item) for item in row["progress"]},
    )
