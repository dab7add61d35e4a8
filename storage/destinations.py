"""Destinations: what exists and whether it runs. What they send is versioned: see drafts.py and publications.py."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, case, delete, func, select, text, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from domain.deliveries import DeliveryStatus, Reason
from domain.destinations import DestinationSpec, Status
from domain.errors import Conflict, NotFound
from domain.syncs import SyncState
from storage.credentials import SealedCredentials, insert_credentials, require_credentials
from storage.cursors import Page, decode_cursor, page_of
from storage.database import Database
from storage.event_permits import outlast_permits
from storage.event_rescans import end_back_offs, rescan_lanes
from storage.event_routes import replace_routes
from storage.tables import (
    deliveries,
    destination_drafts,
    destination_revisions,
    destinations,
    event_lanes,
    event_retries,
    syncs,
)

WAKE = text("select pg_notify('sluice_work', '')")

HELD_SYNCS = (SyncState.WAITING, SyncState.RETRYING)
HELD_DELIVERIES = (DeliveryStatus.QUEUED, DeliveryStatus.RETRYING)


@dataclass(frozen=True, slots=True)
class Destination:
    """`spec` is the published one, or the draft of what was never published.

    `held` counts what a pause holds back, `queued` the event deliveries that wait their turn while it runs. `outage_since`: it has
    answered no event since then.
    """

    id: str
    connector: str
    status: Status
    pause_reason: str | None
    paused_at: datetime | None
    published_revision: int | None
    has_draft: bool
    held: int
    queued: int
    outage_since: datetime | None
    spec: DestinationSpec
    created_at: datetime
    updated_at: datetime


class Destinations:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(
        self, destination_id: str, connector: str, spec: DestinationSpec, *, inline: SealedCredentials | None = None
    ) -> Destination:
        """Store it as a draft, so that nothing flows. Raises Conflict, and InvalidInput for bad credentials."""
        async with self._database.transaction() as connection:
            made = await connection.execute(
                upsert(destinations)
                .values(id=destination_id, connector=connector, **_INITIAL)
                .on_conflict_do_nothing()
                .returning(destinations.c.id)
            )
            if made.first() is None:
                raise Conflict(f"the id {destination_id!r} is taken, perhaps by a destination that was deleted")
            if inline is not None:
                await insert_credentials(connection, inline)
            await write_draft(connection, destination_id, connector, spec)
            return await _shown(connection, destination_id)

    async def get(self, destination_id: str) -> Destination:
        """Raises NotFound."""
        async with self._database.statement() as connection:
            return await _shown(connection, destination_id)

    async def page(self, *, cursor: str | None, limit: int) -> Page[Destination]:
        after = decode_cursor("destinations", cursor)
        query = _QUERY.order_by(destinations.c.id).limit(limit + 1)
        if after is not None:
            query = query.where(destinations.c.id > after)
        async with self._database.statement() as connection:
            rows = (await connection.execute(query)).mappings().all()
        return page_of("destinations", [_destination(row) for row in rows], limit, lambda found: found.id)

    async def pause(self, destination_id: str, reason: str | None) -> Destination:
        """When this returns no new attempt starts. Pausing again only replaces the reason, if there is a new one."""
        async with self._database.transaction() as connection:
            row = await lock_destination(connection, destination_id)
            if row["status"] == "running":
                change = {"status": "paused", "pause_reason": reason, "paused_at": func.now()}
                await _tell(connection, destination_id, change)
            elif reason is not None:
                change = {"pause_reason": reason, "updated_at": func.now()}
                await connection.execute(update(destinations).where(destinations.c.id == destination_id).values(change))
            paused = await _shown(connection, destination_id)
        await outlast_permits(self._database, destination_id)
        return paused

    async def resume(self, destination_id: str) -> Destination:
        async with self._database.transaction() as connection:
            row = await lock_destination(connection, destination_id)
            if row["status"] == "paused":
                await _tell(connection, destination_id, {"status": "running", "pause_reason": None, "paused_at": None})
                await rescan_lanes(connection, destination_id)
                await end_back_offs(connection, destination_id)
            return await _shown(connection, destination_id)

    async def delete(self, destination_id: str) -> None:
        """Discard what is still open for it. An attempt being made right now ends normally; the id stays taken."""
        async with self._database.transaction() as connection:
            await lock_destination(connection, destination_id)
            await _tell(connection, destination_id, {"deleted_at": func.now(), "takes_profiles": False})
            await replace_routes(connection, destination_id, None)
            await _lock_event_queue(connection, destination_id)
            await connection.execute(
                update(syncs)
                .where(syncs.c.destination_id == destination_id, syncs.c.state.in_(HELD_SYNCS))
                .values(_DISCARDED_SYNC)
            )
            await connection.execute(
                update(deliveries)
                .where(deliveries.c.destination_id == destination_id, deliveries.c.status.in_(HELD_DELIVERIES))
                .values(_DISCARDED_DELIVERY)
            )
            await _forget_event_queue(connection, destination_id)
        await outlast_permits(self._database, destination_id)


async def lock_destination(connection: AsyncConnection, destination_id: str) -> Any:
    """The row, locked until the transaction ends. Raises NotFound."""
    query = (
        select(destinations)
        .where(destinations.c.id == destination_id, destinations.c.deleted_at.is_(None))
        .with_for_update(
            key_share=True
        )  # not against the foreign keys of what is written for it meanwhile: that can deadlock
    )
    row = (await connection.execute(query)).mappings().first()
    if row is None:
        raise unknown_destination(destination_id)
    return row


async def write_draft(connection: AsyncConnection, destination_id: str, connector: str, spec: DestinationSpec) -> None:
    """Raises InvalidInput when the credentials it names do not exist or are another connector's."""
    if spec.credentials is not None:
        await require_credentials(connection, spec.credentials, connector)
    values = {"spec": spec.model_dump(mode="json"), "updated_at": func.now()}
    await connection.execute(
        upsert(destination_drafts)
        .values(destination_id=destination_id, **values)
        .on_conflict_do_update(index_elements=["destination_id"], set_=values)
    )


def unknown_destination(destination_id: str) -> NotFound:
    return NotFound(f"there is no destination {destination_id!r}")


async def _tell(connection: AsyncConnection, destination_id: str, change: dict[str, Any]) -> None:
    """Change the row such that the running workflows hear of it."""
    values = {**change, "tell_epoch": destinations.c.tell_epoch + 1, "updated_at": func.now()}
    await connection.execute(update(destinations).where(destinations.c.id == destination_id).values(values))
    await connection.execute(WAKE)


async def _lock_event_queue(connection: AsyncConnection, destination_id: str) -> None:
    """Before its deliveries, and in the order in which pumps and retries lock them: otherwise that can deadlock."""
    for table, key in ((event_retries, event_retries.c.profile_id), (event_lanes, event_lanes.c.lane)):
        of_it = select(key).where(table.c.destination_id == destination_id).order_by(key).with_for_update()
        await connection.execute(of_it)


async def _forget_event_queue(connection: AsyncConnection, destination_id: str) -> None:
    """A retry whose attempt is being made keeps its row, by which its workflow finds out how that ends; lanes keep theirs, by which a
    pump writes down how what it has on the wire ends."""
    being_made = select(deliveries.c.id).where(
        deliveries.c.id == event_retries.c.delivery_id, deliveries.c.status == DeliveryStatus.DELIVERING
    )
    of_it = event_retries.c.destination_id == destination_id
    await connection.execute(delete(event_retries).where(of_it, ~being_made.exists()))


async def _shown(connection: AsyncConnection, destination_id: str) -> Destination:
    row = (await connection.execute(_QUERY.where(destinations.c.id == destination_id))).mappings().first()
    if row is None:
        raise unknown_destination(destination_id)
    return _destination(row)


def _destination(row: Any) -> Destination:
    values = {name: row[name] for name in Destination.__dataclass_fields__}
    return Destination(**{**values, "spec": DestinationSpec.model_validate(row["spec"])})


def _held() -> ColumnElement[int]:
    """Profile syncs and event deliveries; a profile delivery in back-off is part of its sync and not counted twice."""
    of_syncs = (
        select(func.count())
        .where(syncs.c.destination_id == destinations.c.id, syncs.c.state.in_(HELD_SYNCS))
        .correlate(destinations)
        .scalar_subquery()
    )
    return case((destinations.c.status == "paused", of_syncs + _events_queued() + _events_retrying()), else_=0)


def _queued() -> ColumnElement[int]:
    return case((destinations.c.status == "running", _events_queued()), else_=0)


def _events_queued() -> ColumnElement[int]:
    """Spelt as the index of the queue is, which then counts them without the rows."""
    is_queued = text("deliveries.kind = 'event' and deliveries.status = 'queued'")
    of_it = deliveries.c.destination_id == destinations.c.id
    return select(func.count()).where(of_it, is_queued).correlate(destinations).scalar_subquery()


def _events_retrying() -> ColumnElement[int]:
    is_retrying = text("deliveries.kind = 'event' and deliveries.status = 'retrying'")
    of_it = deliveries.c.destination_id == destinations.c.id
    return select(func.count()).where(of_it, is_retrying).correlate(destinations).scalar_subquery()


def _outage_since() -> ColumnElement[datetime]:
    return (
        select(func.min(event_lanes.c.outage_since))
        .where(event_lanes.c.destination_id == destinations.c.id)
        .correlate(destinations)
        .scalar_subquery()
    )


def _query() -> Select[Any]:
    own = [column for column in destinations.c if column.name in Destination.__dataclass_fields__]
    published = and_(
        destination_revisions.c.destination_id == destinations.c.id,
        destination_revisions.c.number == destinations.c.published_revision,
    )
    return (
        select(
            *own,
            destination_drafts.c.destination_id.is_not(None).label("has_draft"),
            _held().label("held"),
            _queued().label("queued"),
            _outage_since().label("outage_since"),
            func.coalesce(destination_revisions.c.spec, destination_drafts.c.spec).label("spec"),
        )
        .outerjoin(destination_revisions, published)
        .outerjoin(destination_drafts, destination_drafts.c.destination_id == destinations.c.id)
        .where(destinations.c.deleted_at.is_(None))
    )


_QUERY = _query()
_INITIAL = {
    "status": "running",
    "takes_profiles": False,
    "quiet_seconds": 0.0,  # until a revision is published no change is fanned out, so these are not read
    "max_wait_seconds": 0.0,
    "tell_epoch": 0,
    "told_epoch": 0,
    "created_at": func.now(),
    "updated_at": func.now(),
}
_DISCARDED_SYNC = {
    "state": SyncState.DISCARDED,
    "reason": Reason.DESTINATION_DELETED,
    "message": None,
    "first_change_at": None,
    "due_at": None,
    "next_attempt_at": None,
    "signal": None,
    "updated_at": func.now(),
}
_DISCARDED_DELIVERY = {
    "status": DeliveryStatus.DISCARDED,
    "reason": Reason.DESTINATION_DELETED,
    "next_attempt_at": None,
    "updated_at": func.now(),
    "finished_at": func.now(),
}
