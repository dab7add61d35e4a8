"""Profiles, and what a change of one sets off: in one statement, so that nothing is half-applied."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from sqlalchemy import text

from domain.errors import NotFound, TooLarge, Unavailable
from domain.profiles import MAX_DOCUMENT_BYTES, Profile
from storage.database import Database

# A profile inserted by somebody else between our snapshot and our insert is seen at the second try.
TRIES = 3

_COLUMNS = "id, version, document, created_at, updated_at, deleted_at"

# For statements that have a `changed (id, version)`: the syncs of every destination that takes profile changes. An open debounce
# keeps its first change (for the maximum wait); a row that nobody watches gets a signal, and is watched from then on, so that a burst
# of changes sends one.
SYNCS_WANTED = """
moment as materialized (select clock_timestamp() as now), wanted as (
    insert into syncs (destination_id, profile_id, wanted_version, state, reason, first_change_at, due_at,
                       watched, signal, signal_epoch)
    select d.id, c.id, c.version, 'waiting', 'debouncing', moment.now,
           moment.now + make_interval(secs => d.quiet_seconds), true, 'profile_changed', 1
    from changed c cross join moment cross join destinations d
    where d.takes_profiles and d.deleted_at is null
    on conflict (destination_id, profile_id) do update set
        wanted_version = excluded.wanted_version,
        state = case when syncs.state in ('delivering', 'retrying') then syncs.state else 'waiting' end,
        reason = case when syncs.state in ('delivering', 'retrying') then syncs.reason else 'debouncing' end,
        message = case when syncs.state in ('delivering', 'retrying') then syncs.message end,
        first_change_at = coalesce(syncs.first_change_at, excluded.first_change_at),
        due_at = least(
            excluded.due_at,
            coalesce(syncs.first_change_at, excluded.first_change_at) + make_interval(
                secs => (select max_wait_seconds from destinations d where d.id = excluded.destination_id))),
        signal = case when syncs.watched then syncs.signal else coalesce(syncs.signal, excluded.signal) end,
        signal_epoch = syncs.signal_epoch + case when syncs.watched then 0 else 1 end,
        signal_claimed_until = case when syncs.watched then syncs.signal_claimed_until end,
        watched = true,
        updated_at = clock_timestamp()
    returning signal
), notified as (
    select pg_notify('sluice_work', '') from wanted where signal is not null limit 1
)
"""


def _change(document: str) -> str:
    """The whole statement; `document` computes the new document from `profiles.document` and `:document`."""
    return f"""
with changed as (
    insert into profiles (id, version, document)
    values (:id, 1, json_merge_patch('{{}}'::jsonb, cast(:document as jsonb)))
    on conflict (id) do update set
        document = {document}, version = profiles.version + 1, updated_at = clock_timestamp(), deleted_at = null,
        created_at = case when profiles.deleted_at is null then profiles.created_at else clock_timestamp() end
    where profiles.deleted_at is not null or {document} is distinct from profiles.document
    returning {_COLUMNS}
), {SYNCS_WANTED}
select {_COLUMNS}, true as changed, pg_column_size(document) as size, (select count(*) from notified) as notified
from changed
union all
select {_COLUMNS}, false, 0, 0 from profiles where id = :id and not exists (select from changed)
"""


_PATCH = text(_change("json_merge_patch(profiles.document, cast(:document as jsonb))"))
_REPLACE = text(_change("json_merge_patch('{}'::jsonb, cast(:document as jsonb))"))
_GET = text(f"select {_COLUMNS} from profiles where id = :id and deleted_at is null")

# In statements of their own, so that the next ones see what was stored before we got the locks; and in the order of pumps and retries.
_LOCKS = (
    text("select 1 from profiles where id = :id and deleted_at is null for no key update"),
    text("select 1 from event_retries where profile_id = :id order by destination_id for update"),
    text("""
select 1 from event_lanes
where destination_id in (
    select destination_id from deliveries where profile_id = :id and kind = 'event' and status = 'queued')
order by destination_id, lane for update
"""),
)

# A back-off is ended, so that a profile made anew need not wait for what is left of it.
_DELETE = text("""
with gone as (
    update profiles
    set document = '{}'::jsonb, version = version + 1, updated_at = clock_timestamp(), deleted_at = clock_timestamp()
    where id = :id and deleted_at is null
    returning id, version
), discarded as (
    update syncs
    set state = case when state = 'delivering' then state else 'discarded' end, reason = 'profile_deleted',
        message = null, wanted_version = gone.version, first_change_at = null, due_at = null, next_attempt_at = null,
        watched = state = 'retrying' or watched and signal is null, updated_at = clock_timestamp(),
        signal = case when state = 'retrying' then 'deliver_now' end, signal_claimed_until = null,
        signal_epoch = signal_epoch + case when state = 'retrying' then 1 else 0 end
    from gone
    where syncs.profile_id = gone.id and state in ('waiting', 'delivering', 'retrying')
    returning syncs.destination_id, syncs.profile_id, syncs.signal
), notified as (
    select pg_notify('sluice_work', '') from discarded where signal is not null limit 1
), closed as (
    update deliveries
    set status = 'discarded', reason = 'profile_deleted', next_attempt_at = null,
        updated_at = clock_timestamp(), finished_at = clock_timestamp()
    from discarded s
    where deliveries.destination_id = s.destination_id and deliveries.profile_id = s.profile_id
        and deliveries.kind <> 'event' and deliveries.status in ('queued', 'retrying')
), forgotten as (
    update sync_mappings set delivered_user = null from gone where sync_mappings.profile_id = gone.id
)
select count(*), (select count(*) from notified) from gone
""")

# A retry whose attempt is being made keeps its row, by which its workflow finds out how that ends.
_DISCARD_EVENTS = text("""
with unblocked as (
    delete from event_retries r using deliveries l
    where r.profile_id = :id and l.id = r.delivery_id and l.status <> 'delivering'
    returning r.delivery_id
), left_over as (
    select delivery_id as id from unblocked
    union all
    select id from deliveries where profile_id = :id and kind = 'event' and status = 'queued'
)
update deliveries l
set status = 'discarded', reason = 'profile_deleted', message = null, next_attempt_at = null,
    updated_at = clock_timestamp(), finished_at = clock_timestamp()
from left_over where l.id = left_over.id and l.status in ('queued', 'retrying')
""")


@dataclass(frozen=True, slots=True)
class ProfileChange:
    profile: Profile
    changed: bool


class Profiles:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def patch(self, profile_id: str, patch: dict[str, Any]) -> ProfileChange:
        """Merge `patch` (RFC 7396) into the profile, which is made if need be. No change, no version and no sync."""
        return await self._change(_PATCH, profile_id, patch)

    async def replace(self, profile_id: str, document: dict[str, Any]) -> ProfileChange:
        return await self._change(_REPLACE, profile_id, document)

    async def _change(self, statement: Any, profile_id: str, document: dict[str, Any]) -> ProfileChange:
        parameters = {"id": profile_id, "document": json.dumps(document, ensure_ascii=False)}
        for _ in range(TRIES):
            # A transaction, so that a profile that has grown past its limit is rolled back with all it set off.
            async with self._database.transaction() as connection:
                row = (await connection.execute(statement, parameters)).mappings().first()
                if row is not None:
                    if row["size"] > MAX_DOCUMENT_BYTES:
                        raise TooLarge(f"the profile would grow past {MAX_DOCUMENT_BYTES} bytes; nothing was changed")
                    return ProfileChange(_profile(row), bool(row["changed"]))
        raise Unavailable("the profile is being written by others; try again")

    async def get(self, profile_id: str) -> Profile:
        async with self._database.statement() as connection:
            row = (await connection.execute(_GET, {"id": profile_id})).mappings().first()
        if row is None:
            raise NotFound(f"there is no profile {profile_id!r}")
        return _profile(row)

    async def delete(self, profile_id: str) -> bool:
        """Empty the profile and discard what is still open for it. False if there was none."""
        async with self._database.transaction() as connection:
            for lock in _LOCKS:
                await connection.execute(lock, {"id": profile_id})
            deleted = bool((await connection.execute(_DELETE, {"id": profile_id})).scalar_one())
            if deleted:
                await connection.execute(_DISCARD_EVENTS, {"id": profile_id})
            return deleted


def _profile(row: Any) -> Profile:
    return Profile.model_construct(**{name: row[name] for name in Profile.model_fields})
