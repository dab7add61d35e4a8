"""A pause is answered when nobody may begin an attempt any more."""

from __future__ import annotations

import asyncio

import pytest
from structlog.testing import capture_logs

from storage import event_permits
from storage.database import Database
from storage.destinations import Destinations
from storage.event_leases import EventLeases
from tests.storage.builders import a_destination, rows


async def permit(database: Database, until: str, lane: int = 0) -> None:
    await a_lane(database, lane=lane)
    await rows(database, f"update event_lanes set permit_until = {until} where lane = :lane returning 1", lane=lane)


async def a_lane(database: Database, lane: int = 0, destination: str = "crm") -> None:
    await rows(
        database,
        "insert into event_lanes (destination_id, lane, home, scanned) values (:destination, :lane, :lane, 77) returning 1",
        destination=destination,
        lane=lane,
    )


async def paused(database: Database) -> bool:
    return bool(await rows(database, "select 1 as yes from destinations where id = 'crm' and status = 'paused'"))


async def test_a_pause_waits_until_every_permit_has_run_out(database: Database) -> None:
    await a_destination(database)
    await permit(database, "clock_timestamp() + interval '0.1 s'")
    await permit(database, "clock_timestamp() + interval '0.4 s'", lane=1)
    await Destinations(database).pause("crm", None)
    lasting = "select 1 as yes from event_lanes where permit_until > clock_timestamp()"
    assert await rows(database, lasting) == []


async def test_a_permit_that_is_given_back_ends_the_wait(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_permits, "WAIT_SECONDS", 60.0)
    await a_destination(database)
    await permit(database, "clock_timestamp() + interval '1 hour'")
    pausing = asyncio.create_task(Destinations(database).pause("crm", None))
    while not await paused(database):
        await asyncio.sleep(0)
    assert not pausing.done()
    await rows(database, "update event_lanes set permit_until = null returning 1")
    assert (await pausing).status == "paused"


async def test_pausing_what_is_paused_waits_too(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    await a_destination(database)
    await Destinations(database).pause("crm", None)
    monkeypatch.setattr(event_permits, "WAIT_SECONDS", 60.0)
    await permit(database, "clock_timestamp() + interval '0.2 s'")
    await Destinations(database).pause("crm", "again")
    lasting = "select 1 as yes from event_lanes where permit_until > clock_timestamp()"
    assert await rows(database, lasting) == []


async def test_a_permit_that_never_ends_does_not_keep_a_pause_from_its_answer(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_permits, "WAIT_SECONDS", 0.05)
    await a_destination(database)
    await permit(database, "clock_timestamp() + interval '1 hour'")
    with capture_logs() as logged:
        assert (await Destinations(database).pause("crm", None)).status == "paused"
    assert [(each["event"], each["destination_id"]) for each in logged] == [("permit_outlasts_pause", "crm")]


async def test_permits_of_other_destinations_are_not_waited_for(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_permits, "WAIT_SECONDS", 60.0)
    await a_destination(database)
    await a_destination(database, "other")
    await a_lane(database, destination="other")
    await rows(database, "update event_lanes set permit_until = now() + interval '1 hour' returning 1")
    assert (await Destinations(database).pause("crm", None)).status == "paused"


async def test_a_claim_that_saw_the_destination_running_is_made_to_look_again(database: Database) -> None:
    """It read the status before the pause was committed, and then waited for the lane, which the pause had locked."""
    await a_destination(database)
    await a_lane(database)
    leases = EventLeases(database)
    lease = await leases.acquire("crm", 0)
    assert lease is not None
    async with database.transaction() as connection:
        await connection.execute(event_permits._REVOKE, {"id": "crm"})
        claiming = asyncio.create_task(leases.claim(lease, {0: 0}, {}, limit=1, in_hand=[]))
        waiting = "select count(*) as n from pg_stat_activity where wait_event_type = 'Lock'"
        while (await rows(database, waiting))[0]["n"] == 0:
            await asyncio.sleep(0)
        await rows(database, "update destinations set status = 'paused' returning 1")
    assert await claiming is None
    assert await rows(database, "select permit_until from event_lanes") == [{"permit_until": None}]
