"""An attempt begins only if it may, whatever it had to wait for."""

from __future__ import annotations

import asyncio

from sqlalchemy import text

from domain.deliveries import DeliveryStatus
from storage.attempts import Attempts, NotBegun
from storage.database import Database
from storage.profiles import Profiles
from storage.syncs import LOCK, Entry, Syncs
from tests.builders import a_spec, publish


async def test_no_attempt_begins_after_a_pause_has_answered_even_if_it_waited_for_a_lock(database: Database) -> None:
    await publish(database, "crm", a_spec())
    await Profiles(database).patch("u1", {"email": "a@b.c"})
    entry = Entry.new("sync", DeliveryStatus.QUEUED)
    async with Syncs(database).locked("crm", "u1", "run") as sync:
        await sync.start([entry], workflow_id="w")
    async with database.transaction() as holding:
        await holding.execute(LOCK, {"destination_id": "crm", "profile_id": "u1"})
        beginning = asyncio.create_task(Attempts(database).begin(entry.delivery_id, workflow_id="w", run_id="r"))
        await _until_somebody_waits(database)
        async with database.statement() as pausing:
            await pausing.execute(text("update destinations set status = 'paused'"))
    begun = await beginning
    assert isinstance(begun, NotBegun)
    assert begun.paused


async def _until_somebody_waits(database: Database) -> None:
    waiting = text(
        "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()"
    )
    while True:
        async with database.statement() as connection:
            if (await connection.execute(waiting)).scalar_one():
                return
        await asyncio.sleep(0.01)
