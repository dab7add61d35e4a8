"""Waiting until nobody may begin an attempt any more: pumps begin them under permits that are a moment long."""

from __future__ import annotations

import asyncio
import time

import structlog
from sqlalchemy import text

from storage.database import Database

POLL_SECONDS = 0.02  # pumps give their permits back as soon as they notice
WAIT_SECONDS = 1.5  # a permit is given for a second at most, and by the clock of the database

# An update, though it changes nothing: a claim in progress must look at the destination's status again.
_REVOKE = text("""
with locked as (select lane from event_lanes where destination_id = :id order by lane for update)
update event_lanes l set permit_until = permit_until
from locked where l.destination_id = :id and l.lane = locked.lane
returning coalesce(permit_until > clock_timestamp(), false) as lasts
""")

_LAST = text("select exists (select from event_lanes where destination_id = :id and permit_until > clock_timestamp())")

_log = structlog.get_logger("storage.event_permits")


async def outlast_permits(database: Database, destination_id: str) -> None:
    """Return when every permit given before the destination's pause was committed has run out or was given back."""
    async with database.statement() as connection:
        lasting = [row.lasts for row in await connection.execute(_REVOKE, {"id": destination_id})]
    until = time.monotonic() + WAIT_SECONDS
    while any(lasting):
        if time.monotonic() > until:
            _log.warning("permit_outlasts_pause", destination_id=destination_id)
            return
        await asyncio.sleep(POLL_SECONDS)
        async with database.statement() as connection:
            lasting = [bool((await connection.execute(_LAST, {"id": destination_id})).scalar_one())]
