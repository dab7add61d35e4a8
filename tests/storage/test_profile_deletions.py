"""Deleting a profile ends what its events wait for, and nobody else's."""

from __future__ import annotations

import asyncio

import asyncpg

from storage.database import Database
from storage.events import Events
from storage.profiles import Profiles
from tests.builders import a_spec, an_event, an_event_mapping, publish
from tests.storage.builders import rows


async def happen(database: Database, profile: str) -> list[str]:
    """Three events; the first one fails for now. Answers their deliveries in order."""
    await publish(database, "crm", a_spec(mappings=[an_event_mapping()]))
    await Events(database).store([an_event(profile) for _ in range(3)])
    query = "select id from deliveries where profile_id = :profile order by position"
    made = [each["id"] for each in await rows(database, query, profile=profile)]
    await rows(database, "update deliveries set status = 'retrying' where id = :id returning 1", id=made[0])
    await rows(
        database,
        "insert into event_retries (destination_id, profile_id, lane, delivery_id)"
        " values ('crm', :profile, 0, :id) returning 1",
        profile=profile,
        id=made[0],
    )
    return made


async def statuses(database: Database, profile: str) -> list[tuple[str, str | None]]:
    query = "select status, reason from deliveries where profile_id = :profile order by position"
    return [(each["status"], each["reason"]) for each in await rows(database, query, profile=profile)]


async def test_what_is_queued_and_what_is_in_back_off_is_discarded(database: Database) -> None:
    await happen(database, "ada")
    await happen(database, "bob")
    await Profiles(database).delete("ada")
    assert await statuses(database, "ada") == [("discarded", "profile_deleted")] * 3
    assert [status for status, _ in await statuses(database, "bob")] == ["retrying", "queued", "queued"]
    assert [each["profile_id"] for each in await rows(database, "select * from event_retries")] == ["bob"]
    ended = await rows(database, "select finished_at from deliveries where profile_id = 'ada'")
    assert all(each["finished_at"] is not None for each in ended)


async def test_an_attempt_under_way_ends_normally_and_keeps_its_row(database: Database) -> None:
    first, *_ = await happen(database, "ada")
    await rows(database, "update deliveries set status = 'delivering' where id = :id returning 1", id=first)
    await Profiles(database).delete("ada")
    assert [status for status, _ in await statuses(database, "ada")] == ["delivering", "discarded", "discarded"]
    assert [each["delivery_id"] for each in await rows(database, "select * from event_retries")] == [first]


async def test_what_has_ended_stays_as_it_was(database: Database) -> None:
    await happen(database, "ada")
    await rows(database, "update deliveries set status = 'delivered' returning 1")
    await Profiles(database).delete("ada")
    assert await statuses(database, "ada") == [("delivered", None)] * 3


async def test_an_event_that_was_being_stored_is_discarded_with_the_others(
    database: Database, database_url: str
) -> None:
    """The deletion waits for the profile's row, and then sees what was stored under its lock."""
    await happen(database, "ada")
    storing = await asyncpg.connect(database_url)
    transaction = storing.transaction()
    await transaction.start()
    await storing.execute("select 1 from profiles where id = 'ada' for no key update")
    await storing.execute(
        "insert into deliveries (id, kind, destination_id, mapping_id, profile_id, status, lane, position)"
        " values (gen_random_uuid(), 'event', 'crm', 'events', 'ada', 'queued', 0, 1000000)"
    )
    deleting = asyncio.create_task(Profiles(database).delete("ada"))
    waiting = "select count(*) as n from pg_stat_activity where wait_event_type = 'Lock'"
    while (await rows(database, waiting))[0]["n"] == 0:
        await asyncio.sleep(0)
    await transaction.commit()
    assert await deleting is True
    assert await statuses(database, "ada") == [("discarded", "profile_deleted")] * 4
    await storing.close()
