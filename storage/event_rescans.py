"""Making pumps look at their whole queue again: what they passed over may go now."""

from __future__ import annotations

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

# In order, so that two of these cannot deadlock. Without a lane named, whoever listens looks at all of them.
_RESCAN = text("""
with locked as (select lane from event_lanes where destination_id = :id order by lane for update)
update event_lanes l set scanned = 0 from locked where l.destination_id = :id and l.lane = locked.lane
""")

_WAKE = text("select pg_notify('sluice_events', '')")


async def rescan_lanes(connection: AsyncConnection, destination_id: str) -> None:
    """From the commit on."""
    await connection.execute(_RESCAN, {"id": destination_id})
    await connection.execute(_WAKE)
