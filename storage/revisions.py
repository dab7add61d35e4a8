"""Published revisions, as deliveries read them."""

from __future__ import annotations

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from domain.destinations import DestinationSpec
from domain.errors import NotFound
from storage.database import Database

_SPEC = text("select spec from destination_revisions where destination_id = :destination_id and number = :number")


class Revisions:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def spec(self, destination_id: str, number: int) -> DestinationSpec:
        async with self._database.statement() as connection:
            return await read_spec(connection, destination_id, number)


async def read_spec(connection: AsyncConnection, destination_id: str, number: int) -> DestinationSpec:
    """Raises NotFound."""
    row = (await connection.execute(_SPEC, {"destination_id": destination_id, "number": number})).first()
    if row is None:
        raise NotFound(f"destination {destination_id!r} has no revision {number}")
    return DestinationSpec.model_validate(row.spec)
