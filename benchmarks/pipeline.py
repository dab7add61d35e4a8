"""One way from POST /v1/batch to the receiver: an API, its database, and whoever pumps."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import asyncpg

from benchmarks.api_client import ApiClient
from benchmarks.calls import batches
from benchmarks.receiver import Receiver

__all__ = ["Pipeline", "running_pipeline"]

POSTERS = 4
PATIENCE_SECONDS = 240
_LOOK_SECONDS = 0.005
_OPEN = """
select exists (
    select from deliveries where kind = 'event' and status in ('queued', 'retrying') and destination_id = any($1::text[]))
"""
_NOT_DELIVERED = "select count(*) from deliveries where destination_id = any($1::text[]) and status <> 'delivered'"
_AWAKE = "select exists (select from event_lanes where home is not null and destination_id = any($1::text[]))"


class Pipeline:
    def __init__(self, api: ApiClient, sql: asyncpg.Connection, receiver: Receiver) -> None:
        self.api = api
        self.sql = sql
        self._receiver = receiver

    async def rate(self, event: str, destination_ids: Sequence[str], *, events: int) -> float:
        """Deliveries a second, from the first post to the last row. Every event goes to every destination."""
        of_posters = batches(event, events, posters=POSTERS)
        wanted = await self._receiver.count() + events * len(destination_ids)
        started = time.perf_counter()
        await self.api.post_batches(of_posters)
        await self._receiver.has_counted(wanted, PATIENCE_SECONDS)
        await self.settled(destination_ids)
        seconds = time.perf_counter() - started
        assert await self.sql.fetchval(_NOT_DELIVERED, list(destination_ids)) == 0
        return events * len(destination_ids) / seconds

    async def settled(self, destination_ids: Sequence[str]) -> None:
        """Once every row of theirs has its end."""
        await self._until_none(_OPEN, destination_ids)

    async def asleep(self, destination_ids: Sequence[str]) -> None:
        """Once nobody pumps for them any more."""
        await self._until_none(_AWAKE, destination_ids)

    async def _until_none(self, query: str, destination_ids: Sequence[str]) -> None:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while await self.sql.fetchval(query, list(destination_ids)):
                await asyncio.sleep(_LOOK_SECONDS)


@asynccontextmanager
async def running_pipeline(api_url: str, database_url: str, receiver: Receiver) -> AsyncIterator[Pipeline]:
    sql = await asyncpg.connect(database_url)
    try:
        async with ApiClient(api_url) as api:
            yield Pipeline(api, sql, receiver)
    finally:
        await sql.close()
