"""Publishing: a draft, or an older revision, becomes the newest revision. Revisions are only ever added."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from domain.destinations import DestinationSpec
from domain.errors import Conflict, NotFound
from storage.credentials import require_credentials
from storage.cursors import Page, decode_number_cursor, page_of
from storage.database import Database
from storage.destinations import WAKE, lock_destination, unknown_destination
from storage.event_rescans import rescan_lanes
from storage.event_routes import replace_routes
from storage.rate_limits import FORGET_SLOTS
from storage.tables import destination_drafts, destination_revisions, destinations

Admit = Callable[[str, DestinationSpec], object]
"""Given the connector's slug and the spec; raises what makes it unfit to be published."""


class NothingToPublish(Conflict):
    code = "nothing_to_publish"


@dataclass(frozen=True, slots=True)
class Revision:
    number: int
    spec: DestinationSpec
    note: str | None
    published_at: datetime
    published_by: str | None


class Publications:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def publish(self, destination_id: str, *, note: str | None, by: str | None, admit: Admit) -> int:
        """Make the draft live and answer its number. Raises NotFound, NothingToPublish and what `admit` raises."""
        async with self._database.transaction() as connection:
            row = await lock_destination(connection, destination_id)
            own = destination_drafts.c.destination_id == destination_id
            draft = await connection.execute(delete(destination_drafts).where(own).returning(destination_drafts.c.spec))
            found = draft.scalar_one_or_none()
            if found is None:
                raise NothingToPublish(f"destination {destination_id!r} has no draft")
            return await _make_live(
                connection, row, DestinationSpec.model_validate(found), note=note, by=by, admit=admit
            )

    async def restore(self, destination_id: str, number: int, *, by: str | None, admit: Admit) -> int:
        """Publish once more what revision `number` was; a draft stays. Raises NotFound and what `admit` raises."""
        async with self._database.transaction() as connection:
            row = await lock_destination(connection, destination_id)
            query = select(destination_revisions.c.spec).where(
                destination_revisions.c.destination_id == destination_id, destination_revisions.c.number == number
            )
            found = (await connection.execute(query)).scalar_one_or_none()
            if found is None:
                raise NotFound(f"destination {destination_id!r} has no revision {number}")
            spec = DestinationSpec.model_validate(found)
            return await _make_live(connection, row, spec, note=f"Restores revision {number}", by=by, admit=admit)

    async def page(self, destination_id: str, *, cursor: str | None, limit: int) -> Page[Revision]:
        """Newest first. Raises NotFound."""
        before = decode_number_cursor("revisions", cursor)
        known = select(destinations.c.id).where(
            destinations.c.id == destination_id, destinations.c.deleted_at.is_(None)
        )
        query = (
            select(*[destination_revisions.c[name] for name in Revision.__dataclass_fields__])
            .where(destination_revisions.c.destination_id == destination_id)
            .order_by(destination_revisions.c.number.desc())
            .limit(limit + 1)
        )
        if before is not None:
            query = query.where(destination_revisions.c.number < before)
        async with self._database.transaction() as connection:
            if (await connection.execute(known)).first() is None:
                raise unknown_destination(destination_id)
            rows = (await connection.execute(query)).mappings().all()
        return page_of("revisions", [_revision(row) for row in rows], limit, lambda found: str(found.number))


async def _make_live(
    connection: AsyncConnection, row: Any, spec: DestinationSpec, *, note: str | None, by: str | None, admit: Admit
) -> int:
    admit(row["connector"], spec)
    if spec.credentials is not None:
        await require_credentials(connection, spec.credentials, row["connector"])
    number = int(row["published_revision"] or 0) + 1
    rate = spec.rate_limit.per_second if spec.rate_limit is not None else None
    live = {
        "published_revision": number,
        "takes_profiles": spec.takes_profiles,
        "quiet_seconds": spec.debounce.quiet_seconds,
        "max_wait_seconds": spec.debounce.max_wait_seconds,
        "rate_per_second": rate,
        "updated_at": func.now(),
    }
    revision = {
        "destination_id": row["id"],
        "number": number,
        "spec": spec.model_dump(mode="json"),
        "note": note,
        # Not now(): that is when the transaction began, maybe long before it got the lock.
        "published_at": func.clock_timestamp(),
        "published_by": by,
    }
    await connection.execute(update(destinations).where(destinations.c.id == row["id"]).values(live))
    await connection.execute(insert(destination_revisions).values(revision))
    if rate != row["rate_per_second"]:
        await connection.execute(FORGET_SLOTS, {"destination_id": row["id"]})
    await replace_routes(connection, row["id"], spec)
    await rescan_lanes(connection, row["id"])
    await connection.execute(WAKE)
    return number


def _revision(row: Any) -> Revision:
    return Revision(**{**row, "spec": DestinationSpec.model_validate(row["spec"])})
