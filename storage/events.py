"""Events, and what receiving them sets off: stored with their profiles and deliveries in one statement, so that nothing is half-applied."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import text

from domain.errors import TooLarge
from domain.events import IncomingEvent, lane_of
from domain.profiles import MAX_DOCUMENT_BYTES
from storage.database import Database
from storage.profiles import SYNCS_WANTED

# Deliveries of one event follow each other in the order of its mappings, of which a destination has fewer than this.
POSITIONS_PER_EVENT = 128

# A profile's row is locked by the insert, changed or not, until its events are committed: so their sequence is the order in which
# others see them, and no later event can overtake one that is not visible yet. Sorted, so that two batches cannot deadlock.
_STORE = text(f"""
with incoming as (
    select * from unnest(
        cast(:ids as uuid[]), cast(:message_ids as text[]), cast(:types as text[]), cast(:names as text[]),
        cast(:profile_ids as text[]), cast(:lanes as smallint[]), cast(:events as text[]), cast(:documents as text[]),
        cast(:patches as text[])
    ) with ordinality as i(id, message_id, type, name, profile_id, lane, event, document, patch, ordinal)
), fresh as materialized (
    select distinct on (i.message_id) i.* from incoming i
    where not exists (select from events e where e.source_id = :source_id and e.message_id = i.message_id)
    order by i.message_id, i.ordinal
), patches as materialized (
    select coalesce(jsonb_object_agg(profile_id, patches), '{{}}') as of_profiles from (
        select profile_id, jsonb_agg(cast(patch as jsonb) order by ordinal) as patches
        from fresh where patch is not null group by profile_id) p
), changed as (
    insert into profiles (id, version, document)
    select p.id, 1, identified(p.document, coalesce((select of_profiles from patches) -> p.id, '[]'))
    from (select distinct on (profile_id) profile_id as id, cast(document as jsonb) as document
          from fresh order by profile_id, ordinal) p
    on conflict (id) do update set
        document = case when profiles.deleted_at is null
            then identified(profiles.document, (select of_profiles from patches) -> profiles.id) else excluded.document end,
        created_at = case when profiles.deleted_at is null then profiles.created_at else clock_timestamp() end,
        version = profiles.version + 1, updated_at = clock_timestamp(), deleted_at = null
    where profiles.deleted_at is not null or ((select of_profiles from patches) ? profiles.id
        and identified(profiles.document, (select of_profiles from patches) -> profiles.id) is distinct from profiles.document)
    returning id, version, document
), {SYNCS_WANTED}, stored as (
    insert into events (id, sequence, source_id, message_id, type, name, profile_id, event, received_at)
    select id, nextval('event_sequence'), :source_id, message_id, type, name, profile_id, cast(event as json), clock_timestamp()
    from (select i.* from fresh i cross join (select count(*) from changed) locked order by i.ordinal) i
    on conflict (source_id, message_id) do nothing
    returning id, sequence, name, type, profile_id
), queued as (
    insert into deliveries (id, kind, destination_id, mapping_id, profile_id, event_id, status, lane, position)
    select uuid7(), 'event', r.destination_id, r.mapping_id, s.profile_id, s.id, 'queued', i.lane,
        s.sequence * {POSITIONS_PER_EVENT} + r.ordinal
    from stored s join incoming i on i.id = s.id cross join event_routes r
    where ('*' = any(r.sources) or :source_id = any(r.sources))
        and (r.mode = 'all' or (coalesce(nullif(s.name, ''), s.type) = any(r.names)) = (r.mode = 'only'))
    returning destination_id, lane
), lanes as (
    select string_agg(distinct destination_id || '/' || lane, ' ') as listed from queued
), told as (
    select pg_notify('sluice_events', case when length(listed) > 7000 then '' else listed end) from lanes
    where listed is not null
)
select array(select id from stored) as stored,
    array(select id from changed where pg_column_size(document) > :max_bytes) as too_large,
    (select count(*) from told) + (select count(*) from notified) as told
""")


class ProfilesTooLarge(TooLarge):
    """These profiles would grow past their limit; nothing of what came with them was stored."""

    def __init__(self, profile_ids: Collection[str]) -> None:
        super().__init__(f"a profile would grow past {MAX_DOCUMENT_BYTES} bytes; nothing was stored")
        self.profile_ids = frozenset(profile_ids)


class Events:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def store(self, events: Sequence[IncomingEvent], *, source_id: str = "") -> set[str]:
        """Store the events in this order, change and make profiles, and queue what follows: all of it or, when this raises, nothing.

        Returns the ids of those that were stored; the others' message ids are known from before, and change nothing.
        Raises ProfilesTooLarge.
        """
        parameters = _parameters(events, source_id)
        if not any(parameters["patches"]):  # then no profile grows, and the statement is a transaction of its own
            async with self._database.statement() as connection:
                row = (await connection.execute(_STORE, parameters)).one()
        else:
            async with self._database.transaction() as connection:
                row = (await connection.execute(_STORE, parameters)).one()
                if row.too_large:
                    raise ProfilesTooLarge(row.too_large)
        return {str(each) for each in row.stored}


def _parameters(events: Sequence[IncomingEvent], source_id: str) -> dict[str, Any]:
    return {
        "source_id": source_id,
        "ids": [each.id for each in events],
        "message_ids": [each.message_id for each in events],
        "types": [each.event["type"] for each in events],
        "names": [each.event["name"] for each in events],
        "profile_ids": [each.profile_id for each in events],
        "lanes": [lane_of(each.profile_id) for each in events],
        "events": [_json(each.event) for each in events],
        "documents": [_json(each.document) for each in events],
        "patches": [_json(each.patch) if each.patch else None for each in events],
        "max_bytes": MAX_DOCUMENT_BYTES,
    }


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
