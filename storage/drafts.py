"""Drafts: what an editor changes. Nothing here touches traffic."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import delete, select

from domain.destinations import DestinationSpec
from domain.errors import Conflict, NotFound
from storage.credentials import SealedCredentials, insert_credentials
from storage.database import Database
from storage.destinations import lock_destination, unknown_destination, write_draft
from storage.tables import destination_drafts, destinations


class NeverPublished(Conflict):
    """The draft is all there is of the destination: delete the destination instead."""

    code = "never_published"


@dataclass(frozen=True, slots=True)
class Draft:
    destination_id: str
    connector: str
    spec: DestinationSpec
    updated_at: datetime


class Drafts:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, destination_id: str) -> Draft:
        """Raises NotFound, also when the destination exists but has no draft."""
        query = (
            select(destinations.c.connector, destination_drafts.c.spec, destination_drafts.c.updated_at)
            .outerjoin(destination_drafts, destination_drafts.c.destination_id == destinations.c.id)
            .where(destinations.c.id == destination_id, destinations.c.deleted_at.is_(None))
        )
        async with self._database.statement() as connection:
            row = (await connection.execute(query)).mappings().first()
        if row is None:
            raise unknown_destination(destination_id)
        if row["spec"] is None:
            raise NotFound(f"destination {destination_id!r} has no draft")
        spec = DestinationSpec.model_validate(row["spec"])
        return Draft(destination_id, row["connector"], spec, row["updated_at"])

    async def put(
        self, destination_id: str, spec: DestinationSpec, *, inline: SealedCredentials | None = None
    ) -> Draft:
        """Raises NotFound, InvalidInput for credentials that do not fit."""
        async with self._database.transaction() as connection:
            row = await lock_destination(connection, destination_id)
            if inline is not None:
                await insert_credentials(connection, inline)
            await write_draft(connection, destination_id, row["connector"], spec)
        return await self.get(destination_id)

    async def discard(self, destination_id: str) -> None:
        """Without a draft nothing happens. Raises NotFound, NeverPublished."""
        async with self._database.transaction() as connection:
            row = await lock_destination(connection, destination_id)
            if row["published_revision"] is None:
                raise NeverPublished(f"destination {destination_id!r} was never published; delete it instead")
            await connection.execute(
                delete(destination_drafts).where(destination_drafts.c.destination_id == destination_id)
            )
