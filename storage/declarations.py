"""What a destination declares right now, in its draft or as published: for previews and tests."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import and_, select

from domain.destinations import DestinationSpec
from domain.errors import Conflict
from storage.database import Database
from storage.destinations import unknown_destination
from storage.tables import destination_drafts, destination_revisions, destinations


class NoDraft(Conflict):
    code = "no_draft"


class NotPublished(Conflict):
    code = "not_published"


@dataclass(frozen=True, slots=True)
class Declaration:
    """`revision` is the published one's number, None for the draft."""

    destination_id: str
    connector: str
    spec: DestinationSpec
    revision: int | None


class Declarations:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, destination_id: str, *, draft: bool | None = None) -> Declaration:
        """The draft or the published revision; for None the draft if there is one. Raises NotFound, NoDraft, NotPublished."""
        query = _QUERY.where(destinations.c.id == destination_id)
        async with self._database.statement() as connection:
            row = (await connection.execute(query)).mappings().first()
        if row is None:
            raise unknown_destination(destination_id)
        if draft and row["draft"] is None:
            raise NoDraft(f"destination {destination_id!r} has no draft; leave `draft` out to take what is published")
        if draft is False and row["published"] is None:
            raise NotPublished(
                f"destination {destination_id!r} was never published; leave `draft` out to take the draft"
            )
        of_draft = draft is not False and row["draft"] is not None
        spec = DestinationSpec.model_validate(row["draft"] if of_draft else row["published"])
        return Declaration(destination_id, row["connector"], spec, None if of_draft else row["published_revision"])


_QUERY = (
    select(
        destinations.c.connector,
        destinations.c.published_revision,
        destination_drafts.c.spec.label("draft"),
        destination_revisions.c.spec.label("published"),
    )
    .outerjoin(destination_drafts, destination_drafts.c.destination_id == destinations.c.id)
    .outerjoin(
        destination_revisions,
        and_(
            destination_revisions.c.destination_id == destinations.c.id,
            destination_revisions.c.number == destinations.c.published_revision,
        ),
    )
    .where(destinations.c.deleted_at.is_(None))
)
