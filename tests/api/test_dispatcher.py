"""The dispatcher over a real database, with a Temporal that takes connections and never answers."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from sqlalchemy import text
from temporalio.client import Client

from api.dispatcher import Dispatcher
from runtime.temporal import data_converter
from storage.database import Database
from storage.notifications import Notifications
from storage.outbox import Outbox
from storage.profiles import Profiles
from tests.builders import a_spec, publish
from tests.receiver import eventually


async def test_a_dispatcher_that_is_stopped_gives_back_what_it_had_claimed(database: Database) -> None:
    await publish(database, "crm", a_spec())
    await Profiles(database).patch("u1", {"properties": {"n": 1}})
    async with await asyncio.start_server(lambda *_: None, "127.0.0.1", 0) as silent:
        port = silent.sockets[0].getsockname()[1]
        client = await Client.connect(f"127.0.0.1:{port}", lazy=True, data_converter=data_converter({}))
        running = asyncio.create_task(Dispatcher(Outbox(database), Notifications(database), client).run())
        await eventually(lambda: _claimed(database), what="a claim")
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
        assert [signal.profile_id for signal in await Outbox(database).claim(10)] == ["u1"]


async def _claimed(database: Database) -> bool:
    async with database.statement() as connection:
        claims = await connection.execute(text("select count(*) from syncs where signal_claimed_until is not null"))
        return bool(claims.scalar_one())
