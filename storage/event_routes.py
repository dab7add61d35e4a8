"""The routes of events: what fan-out reads of the published revisions, kept in step with them."""

from __future__ import annotations

from typing import Any

from sqlalchemy import delete, insert
from sqlalchemy.ext.asyncio import AsyncConnection

from domain.destinations import DestinationSpec
from storage.tables import event_routes


async def replace_routes(connection: AsyncConnection, destination_id: str, spec: DestinationSpec | None) -> None:
    """The routes of this destination are those of `spec` from the commit on; None: it takes nothing any more."""
    await connection.execute(delete(event_routes).where(event_routes.c.destination_id == destination_id))
    if spec is not None and (rows := _rows(destination_id, spec)):
        await connection.execute(insert(event_routes), rows)


def _rows(destination_id: str, spec: DestinationSpec) -> list[dict[str, Any]]:
    return [
        {
            "destination_id": destination_id,
            "mapping_id": mapping.id,
            "ordinal": ordinal,
            "sources": spec.sources,
            "mode": mapping.events.mode,
            "names": mapping.events.names,
        }
        for ordinal, mapping in enumerate(spec.mappings)
        if mapping.enabled and mapping.source == "events"
    ]
