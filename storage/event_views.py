"""Events as operators read them: what was received, and what became of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, select, text

from domain.errors import NotFound
from domain.event_explanations import DeclaredMapping, DeliveryState, EventFate, explain_absence, explain_delivery
from domain.mapping_filters import EventFilter
from storage.cursors import Page, decode_id_cursor, page_of
from storage.database import Database
from storage.tables import events

# An event's id is made by the API's clock, `received_at` by the database's: so far apart they may be, and a span of time is still
# found by the ids, which have an index.
CLOCKS_DIFFER = timedelta(days=1)

_COUNTS = text("""
select l.event_id::text as event_id,
    case when d.status = 'paused' and l.status in ('queued', 'retrying') then 'held' else l.status end as status,
    count(*) as deliveries
from deliveries l join destinations d on d.id = l.destination_id
where l.event_id = any(cast(:ids as uuid[])) and l.kind = 'event'
group by 1, 2
""")

_FATES = text("""
with declared as (
    select d.id as destination_id, m.mapping ->> 'id' as mapping_id, m.ordinal, m.mapping -> 'events' as events,
        coalesce(cast(m.mapping ->> 'enabled' as boolean), true) as enabled, r.spec -> 'sources' as sources
    from destinations d
    join destination_revisions r on r.destination_id = d.id and r.number = d.published_revision
    cross join json_array_elements(r.spec -> 'mappings') with ordinality as m(mapping, ordinal)
    where d.deleted_at is null and m.mapping ->> 'source' = 'events'
), made as (
    select l.id::text, l.destination_id, l.mapping_id, l.status, l.reason, l.message, l.attempts, l.next_attempt_at,
        l.workflow_id, l.run_id, b.delivery_id::text as blocker
    from deliveries l
    left join event_retries b on b.destination_id = l.destination_id and b.profile_id = l.profile_id
    where l.event_id = :id and l.kind = 'event'
)
select d.id as destination_id, coalesce(made.mapping_id, declared.mapping_id) as mapping_id,
    d.status = 'paused' and d.deleted_at is null as paused, d.pause_reason,
    made.id, made.status, made.reason, made.message, made.attempts, made.next_attempt_at, made.workflow_id, made.run_id,
    made.blocker, declared.events, declared.enabled, declared.sources
from declared full join made on made.destination_id = declared.destination_id and made.mapping_id = declared.mapping_id
join destinations d on d.id = coalesce(made.destination_id, declared.destination_id)
order by d.id, declared.ordinal nulls last, 2, made.id
""")


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """`event` is the object that conditions and templates see; `source_id` is "" for the API itself."""

    id: str
    source_id: str
    type: str
    name: str | None
    profile_id: str
    received_at: datetime
    event: dict[str, Any]


@dataclass(frozen=True, slots=True)
class EventSummary:
    """`deliveries` counts the event's deliveries by their shown status."""

    id: str
    source_id: str
    type: str
    name: str | None
    profile_id: str
    received_at: datetime
    deliveries: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class EventsWanted:
    """None means any. `since` is included, `until` is not; both compare when the event was received."""

    profile: str | None = None
    name: str | None = None
    type: str | None = None
    source: str | None = None
    since: datetime | None = None
    until: datetime | None = None


class EventViews:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def page(self, wanted: EventsWanted, *, cursor: str | None, limit: int) -> Page[EventSummary]:
        """Newest first."""
        before = decode_id_cursor("events", cursor)
        query = select(*_SUMMARY).where(*_conditions(wanted)).order_by(events.c.id.desc()).limit(limit + 1)
        if before is not None:
            query = query.where(events.c.id < before)
        async with self._database.statement() as connection:
            rows = (await connection.execute(query)).mappings().all()
            found = {row["id"]: EventSummary(**row) for row in rows}
            for row in (await connection.execute(_COUNTS, {"ids": list(found)})).mappings():
                found[row["event_id"]].deliveries[row["status"]] = row["deliveries"]
        return page_of("events", list(found.values()), limit, lambda each: each.id)

    async def get(self, event_id: str) -> StoredEvent:
        """Raises NotFound."""
        query = select(*_STORED).where(events.c.id == event_id)
        async with self._database.statement() as connection:
            row = (await connection.execute(query)).mappings().first()
        if row is None:
            raise NotFound(f"there is no event {event_id}")
        return StoredEvent(**row)

    async def fates(self, event: StoredEvent) -> list[EventFate]:
        """Of every delivery, and of every live mapping of events that has none; by destination, in the order of the mappings."""
        async with self._database.statement() as connection:
            rows = (await connection.execute(_FATES, {"id": event.id})).mappings().all()
        return [_fate(row, event) for row in rows]


_STORED = [events.c[name] for name in StoredEvent.__dataclass_fields__]
_SUMMARY = [events.c[name] for name in EventSummary.__dataclass_fields__ if name != "deliveries"]


def _conditions(wanted: EventsWanted) -> list[ColumnElement[bool]]:
    equal = {
        events.c.profile_id: wanted.profile,
        events.c.name: wanted.name,
        events.c.type: wanted.type,
        events.c.source_id: wanted.source,
    }
    conditions = [column == value for column, value in equal.items() if value is not None]
    if wanted.since is not None:
        conditions += [events.c.received_at >= wanted.since, events.c.id >= _first_id(wanted.since - CLOCKS_DIFFER)]
    if wanted.until is not None:
        conditions += [events.c.received_at < wanted.until, events.c.id < _first_id(wanted.until + CLOCKS_DIFFER)]
    return conditions


def _first_id(moment: datetime) -> str:
    """The smallest UUIDv7 of that moment: its first 48 bits are milliseconds since 1970."""
    milliseconds = max(0, int(moment.timestamp() * 1000))
    return str(UUID(int=milliseconds << 80))


def _fate(row: Any, event: StoredEvent) -> EventFate:
    if row["id"] is None:
        mapping = DeclaredMapping(
            row["enabled"], row["sources"] or ["*"], EventFilter.model_validate(row["events"] or {})
        )
        return explain_absence(
            mapping, event.event, event.source_id, destination_id=row["destination_id"], mapping_id=row["mapping_id"]
        )
    return explain_delivery(
        DeliveryState(**{name: row[name] for name in DeliveryState.__dataclass_fields__}),
        destination_id=row["destination_id"],
        mapping_id=row["mapping_id"],
        paused=row["paused"],
        pause_reason=row["pause_reason"],
    )
