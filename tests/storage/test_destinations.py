"""Destinations in the database: what is told to whom, and what is closed, when they change."""

from __future__ import annotations

import asyncio
from typing import Any

import asyncpg
import pytest

from domain.errors import InvalidInput, NotFound
from storage.database import Database
from storage.destinations import Destinations
from storage.drafts import Drafts
from storage.events import Events
from storage.profiles import Profiles
from storage.publications import NothingToPublish, Publications
from tests.builders import an_event, an_event_mapping
from tests.storage.builders import ACCEPT_ALL, a_delivery, a_destination, a_spec, a_sync, rows


async def row(database: Database, destination_id: str = "crm") -> dict[str, Any]:
    (found,) = await rows(database, "select * from destinations where id = :id", id=destination_id)
    return found


async def test_publishing_sets_what_the_fan_out_reads(database: Database) -> None:
    await a_destination(database, debounce={"quiet_seconds": 5, "max_wait_seconds": 50})
    found = await row(database)
    assert (found["takes_profiles"], found["quiet_seconds"], found["max_wait_seconds"]) == (True, 5.0, 50.0)
    assert (found["published_revision"], found["status"]) == (1, "running")


@pytest.mark.parametrize("changes", [{"mappings": []}, {"sources": ["web"]}])
async def test_without_profile_mappings_or_the_profile_source_changes_do_not_concern_it(
    database: Database, changes: dict[str, Any]
) -> None:
    await a_destination(database, **changes)
    assert (await row(database))["takes_profiles"] is False


async def test_what_is_not_admitted_is_not_published_and_the_draft_stays(database: Database) -> None:
    def refuse(connector: str, _: object) -> None:
        raise InvalidInput(f"not for {connector}")

    await Destinations(database).create("crm", "webhook", a_spec())
    with pytest.raises(InvalidInput, match="not for webhook"):
        await Publications(database).publish("crm", note=None, by=None, admit=refuse)
    assert (await row(database))["published_revision"] is None
    assert (await Drafts(database).get("crm")).spec == a_spec()


async def test_of_many_publishers_one_publishes(database: Database) -> None:
    await Destinations(database).create("crm", "webhook", a_spec())
    publications = Publications(database)
    results = await asyncio.gather(
        *(publications.publish("crm", note=None, by=None, admit=ACCEPT_ALL) for _ in range(8)), return_exceptions=True
    )
    assert [result for result in results if not isinstance(result, NothingToPublish)] == [1]


async def test_of_many_creators_one_creates(database: Database) -> None:
    destinations = Destinations(database)
    results = await asyncio.gather(
        *(destinations.create("crm", "webhook", a_spec(name=str(number))) for number in range(8)),
        return_exceptions=True,
    )
    assert len([result for result in results if not isinstance(result, Exception)]) == 1


async def test_pause_resume_and_delete_are_told_once_each(database: Database) -> None:
    await a_destination(database)
    destinations = Destinations(database)
    epochs = []
    for change in (
        destinations.pause("crm", "why"),
        destinations.pause("crm", "another reason"),
        destinations.resume("crm"),
        destinations.resume("crm"),
        destinations.delete("crm"),
    ):
        await change
        epochs.append((await row(database))["tell_epoch"])
    assert epochs == [1, 1, 2, 2, 3]


async def test_the_dispatcher_is_woken_by_every_change_it_must_act_on(database: Database, database_url: str) -> None:
    await a_destination(database)
    woken: asyncio.Queue[str] = asyncio.Queue()
    listener = await asyncpg.connect(database_url)
    await listener.add_listener("sluice_work", lambda *_: woken.put_nowait("work"))
    destinations = Destinations(database)
    for change in (destinations.pause("crm", None), destinations.resume("crm"), destinations.delete("crm")):
        await change
        assert await asyncio.wait_for(woken.get(), 10) == "work"
    await listener.close()


async def test_deleting_closes_what_is_open_but_not_what_is_being_sent(database: Database) -> None:
    await a_destination(database)
    await a_destination(database, "other")
    profiles = Profiles(database)
    states = {"waits": "waiting", "retries": "retrying", "sends": "delivering", "done": "idle", "gave-up": "failed"}
    for name, state in states.items():
        await profiles.patch(name, {"email": f"{name}@example.com"})
        await a_sync(database, "crm", name, state=state, reason="http_503")
    made = {
        status: await a_delivery(database, status=status)
        for status in ("queued", "retrying", "delivering", "delivered", "failed")
    }
    await Destinations(database).delete("crm")
    syncs = await rows(
        database, "select profile_id, state, reason, due_at, signal from syncs where destination_id = 'crm'"
    )
    assert {each["profile_id"]: each["state"] for each in syncs} == {
        "waits": "discarded",
        "retries": "discarded",
        "sends": "delivering",
        "done": "idle",
        "gave-up": "failed",
    }
    closed = [each for each in syncs if each["state"] == "discarded"]
    assert all(
        (each["reason"], each["due_at"], each["signal"]) == ("destination_deleted", None, None) for each in closed
    )
    log = {each["id"]: each for each in await rows(database, "select id, status, reason, finished_at from deliveries")}
    assert {status: log[key]["status"] for status, key in made.items()} == {
        "queued": "discarded",
        "retrying": "discarded",
        "delivering": "delivering",
        "delivered": "delivered",
        "failed": "failed",
    }
    assert log[made["queued"]]["reason"] == "destination_deleted"
    assert log[made["queued"]]["finished_at"] is not None
    others = await rows(database, "select state from syncs where destination_id = 'other'")
    assert {each["state"] for each in others} == {"waiting"}


async def test_a_deleted_destination_takes_no_changes_any_more(database: Database) -> None:
    await a_destination(database)
    await Destinations(database).delete("crm")
    await Profiles(database).patch("ada", {"email": "a@example.com"})
    assert await rows(database, "select * from syncs") == []
    for attempt in (
        Destinations(database).get("crm"),
        Destinations(database).pause("crm", None),
        Drafts(database).get("crm"),
        Publications(database).page("crm", cursor=None, limit=1),
    ):
        with pytest.raises(NotFound):
            await attempt


async def test_held_counts_syncs_and_event_deliveries_once(database: Database) -> None:
    await a_destination(database)
    for name in ("waits", "retries", "sends"):
        await Profiles(database).patch(name, {"email": f"{name}@example.com"})
    await a_sync(database, "crm", "retries", state="retrying")
    await a_sync(database, "crm", "sends", state="delivering")
    await a_delivery(database, profile_id="retries", status="retrying")  # the same thing as the sync in back-off
    await a_delivery(database, kind="event", status="queued")
    destinations = Destinations(database)
    assert (await destinations.get("crm")).held == 0
    assert (await destinations.pause("crm", None)).held == 3


async def a_blocked_profile(database: Database, destination_id: str, profile_id: str) -> str:
    """With one event in back-off and one queued behind it. Answers the first one's delivery."""
    await Events(database).store([an_event(profile_id), an_event(profile_id)])
    key = {"destination": destination_id, "profile": profile_id}
    query = "select id from deliveries where destination_id = :destination and profile_id = :profile order by position"
    first = (await rows(database, query, **key))[0]["id"]
    await rows(database, "update deliveries set status = 'retrying' where id = :id returning 1", id=first)
    await rows(
        database,
        "insert into event_retries (destination_id, profile_id, lane, delivery_id)"
        " values (:destination, :profile, 0, :id) returning 1",
        **key,
        id=first,
    )
    return str(first)


async def a_scanned_lane(database: Database, destination_id: str = "crm") -> None:
    await rows(
        database,
        "insert into event_lanes (destination_id, lane, home, scanned) values (:id, 0, 0, 77) returning 1",
        id=destination_id,
    )


async def test_deleting_ends_its_events_and_their_queue(database: Database) -> None:
    await a_destination(database, mappings=[an_event_mapping()])
    await a_blocked_profile(database, "crm", "ada")
    sends = await a_blocked_profile(database, "crm", "bob")
    await rows(database, "update deliveries set status = 'delivering' where id = :id returning 1", id=sends)
    await a_scanned_lane(database)
    await Destinations(database).delete("crm")
    ended = await rows(database, "select id, status, reason from deliveries where status <> 'discarded'")
    assert [(each["id"], each["status"]) for each in ended] == [(sends, "delivering")]
    left = await rows(database, "select delivery_id from event_retries")
    assert [each["delivery_id"] for each in left] == [sends]


async def test_resuming_and_publishing_make_pumps_look_at_the_whole_queue(
    database: Database, database_url: str
) -> None:
    await a_destination(database)
    await a_destination(database, "other")
    await a_scanned_lane(database)
    await a_scanned_lane(database, "other")
    destinations = Destinations(database)
    await destinations.pause("crm", None)
    told: asyncio.Queue[str] = asyncio.Queue()
    listener = await asyncpg.connect(database_url)
    await listener.add_listener("sluice_events", lambda *each: told.put_nowait(each[3]))
    lanes = "select destination_id, scanned from event_lanes order by destination_id"
    await destinations.resume("crm")
    assert await asyncio.wait_for(told.get(), 10) == ""
    after = [{"destination_id": "crm", "scanned": 0}, {"destination_id": "other", "scanned": 77}]
    assert await rows(database, lanes) == after
    await rows(database, "update event_lanes set scanned = 77 returning 1")
    await Publications(database).restore("crm", 1, by=None, admit=ACCEPT_ALL)
    assert await asyncio.wait_for(told.get(), 10) == ""
    assert await rows(database, lanes) == after
    await listener.close()


async def test_resuming_ends_the_back_off_of_events(database: Database) -> None:
    await a_destination(database, mappings=[an_event_mapping()])
    await a_blocked_profile(database, "crm", "ada")
    await rows(database, "update event_retries set signal_claimed_until = now(), signal_epoch = 1 returning 1")
    await Destinations(database).pause("crm", None)
    await Destinations(database).resume("crm")
    found = await rows(database, "select signal, signal_epoch, signal_claimed_until from event_retries")
    assert found == [{"signal": "deliver_now", "signal_epoch": 2, "signal_claimed_until": None}]
    due = "select status from deliveries where next_attempt_at <= clock_timestamp()"
    assert await rows(database, due) == [{"status": "retrying"}]


async def test_the_queue_is_counted_while_it_runs_and_what_is_in_back_off_when_held(database: Database) -> None:
    await a_destination(database, mappings=[an_event_mapping()])
    await a_blocked_profile(database, "crm", "ada")
    destinations = Destinations(database)
    running = await destinations.get("crm")
    assert (running.queued, running.held, running.outage_since) == (1, 0, None)
    paused = await destinations.pause("crm", None)
    assert (paused.queued, paused.held) == (0, 2)


async def test_revisions_are_listed_newest_first_page_by_page(database: Database) -> None:
    await a_destination(database)
    publications = Publications(database)
    for number in range(2, 6):
        await Drafts(database).put("crm", a_spec(name=str(number)))
        await publications.publish("crm", note=str(number), by="me", admit=ACCEPT_ALL)
    first = await publications.page("crm", cursor=None, limit=3)
    second = await publications.page("crm", cursor=first.next_cursor, limit=3)
    assert [each.number for each in first.data + second.data] == [5, 4, 3, 2, 1]
    assert second.next_cursor is None
