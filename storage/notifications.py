"""`LISTEN`: being woken when there is work, over a connection of its own that is renewed when it breaks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import asyncpg
import structlog

from storage.database import Database, listening_url

CHANNEL = "sluice_work"
RECONNECT_SECONDS = 1.0
CONNECT_TIMEOUT_SECONDS = 5.0
CHECK_SECONDS = 15.0  # a connection that broke silently is noticed this late; the sweep covers the gap

_log = structlog.get_logger("storage.notifications")


class Wake:
    """Set by a notification."""

    def __init__(self) -> None:
        self.event = asyncio.Event()

    async def wait(self, seconds: float) -> None:
        """Until there is work, or for `seconds`."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self.event.wait(), seconds)
        self.event.clear()


class Notifications:
    def __init__(self, database: Database) -> None:
        self._url = listening_url(database.url)

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[Wake]:
        """Never fails: while the database is away it keeps trying, and whoever waits is woken by the sweep instead."""
        wake = Wake()
        listener = asyncio.create_task(self._listen(wake))
        try:
            yield wake
        finally:
            listener.cancel()
            with suppress(asyncio.CancelledError):
                await listener

    async def _listen(self, wake: Wake) -> None:
        while True:
            try:
                await self._listen_once(wake)
            except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
                _log.warning("listen_interrupted", reason=str(error) or type(error).__name__)
            await asyncio.sleep(RECONNECT_SECONDS)

    async def _listen_once(self, wake: Wake) -> None:
        connection = await asyncpg.connect(
            self._url, timeout=CONNECT_TIMEOUT_SECONDS, server_settings={"application_name": "sluice-listen"}
        )
        try:
            await connection.add_listener(CHANNEL, lambda *_: wake.event.set())
            wake.event.set()  # what was notified while nobody listened
            while True:
                await asyncio.sleep(CHECK_SECONDS)
                await connection.fetchval("select 1", timeout=CONNECT_TIMEOUT_SECONDS)
        finally:
            connection.terminate()
