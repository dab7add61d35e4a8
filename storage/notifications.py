"""`LISTEN`: being woken when there is work, over a connection of its own that is renewed when it breaks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import asyncpg
import structlog

from storage.database import Database, listening_url

WORK = "sluice_work"  # something for the dispatcher
EVENTS = "sluice_events"  # `destination/lane destination/lane …` have events queued; an empty payload: look everywhere
MAX_PAYLOADS = 1_000  # notifications kept until somebody asks; past that: look everywhere
RECONNECT_SECONDS = 1.0
CONNECT_TIMEOUT_SECONDS = 5.0
CHECK_SECONDS = 15.0  # a connection that broke silently is noticed this late; the sweep covers the gap

_log = structlog.get_logger("storage.notifications")


class Wake:
    """Set by a notification."""

    def __init__(self) -> None:
        self.event = asyncio.Event()
        self._lanes: set[str] = set()
        self._anywhere = False

    async def wait(self, seconds: float) -> None:
        """Until there is work, or for `seconds`."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):  # unlike wait_for in Python 3.11, it never swallows a cancellation
                await self.event.wait()
        self.event.clear()

    def take_lanes(self) -> set[tuple[str, int]] | None:
        """The lanes that events were queued for since this was last asked; None: maybe any."""
        lanes, anywhere = self._lanes, self._anywhere
        self._lanes, self._anywhere = set(), False
        pairs = (lane.rpartition("/") for lane in lanes)
        return None if anywhere else {(destination_id, int(lane)) for destination_id, _, lane in pairs}

    def notified(self, channel: str, payload: str) -> None:
        if channel == EVENTS:
            self._lanes.update(payload.split())
            self._anywhere = self._anywhere or not payload or len(self._lanes) > MAX_PAYLOADS
        self.event.set()


class Notifications:
    """`channels`: WORK, EVENTS or both."""

    def __init__(self, database: Database, *channels: str) -> None:
        self._url = listening_url(database.url)
        self._channels = channels or (WORK, EVENTS)

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
            for channel in self._channels:
                await connection.add_listener(channel, lambda _, __, channel, payload: wake.notified(channel, payload))
                wake.notified(channel, "")  # what was notified while nobody listened
            while True:
                await asyncio.sleep(CHECK_SECONDS)
                await connection.fetchval("select 1", timeout=CONNECT_TIMEOUT_SECONDS)
        finally:
            connection.terminate()
