"""Attempts and the state of their sync: what the row says is what is happening."""

from __future__ import annotations

import asyncio
from typing import Any

from sqlalchemy import text

from domain.deliveries import AttemptOutcome, DeliveryStatus
from storage.attempts import Attempts, Begun, Ended
from storage.database import Database
from storage.destinations import Destinations
from storage.profiles import Profiles
from storage.reconciliation import Reconciliation
from storage.syncs import Entry, Syncs
from tests.storage.builders import A_MAPPING, a_destination, a_sync, rows

DELIVERED = Ended(AttemptOutcome.DELIVERED, DeliveryStatus.DELIVERED)
RETRYING = Ended(AttemptOutcome.RETRY, DeliveryStatus.RETRYING, "http_503", "503", delay_seconds=600)
FAILED = Ended(AttemptOutcome.DEFINITIVE, DeliveryStatus.FAILED, "http_400", "400")


async def ada(database: Database, *mapping_ids: str) -> list[Begun]:
    """Ada's change to `crm`, with an attempt begun for each mapping."""
    await a_destination(
        database,
        mappings=[{**A_MAPPING, "id": mapping_id} for mapping_id in mapping_ids],
        debounce={"quiet_seconds": 0, "max_wait_seconds": 0},
    )
    await Profiles(database).patch("ada", {"email": "a@example.com"})
    entries = [Entry.new(mapping_id, DeliveryStatus.QUEUED) for mapping_id in mapping_ids]
    async with Syncs(database).locked("crm", "ada", "run") as sync:
        await sync.start(entries, workflow_id="workflow")
        await sync.watch(True, planned=True)
    return [await begin(database, entry.delivery_id) for entry in entries]


async def begin(database: Database, delivery_id: str) -> Begun:
    begun = await Attempts(database).begin(delivery_id, workflow_id="workflow", run_id="run")
    assert isinstance(begun, Begun)
    return begun


async def sync(database: Database) -> dict[str, Any]:
    [row] = await rows(database, "select * from syncs")
    return row


async def held(database: Database) -> tuple[int, int]:
    """Once the destination is paused: as its own page counts it, and as the books do."""
    destination = await Destinations(database).pause("crm", None)
    return destination.held, (await Reconciliation(database).accounts())["crm"].held


async def test_a_mapping_in_back_off_is_held_although_another_was_delivered_last(database: Database) -> None:
    failing, working = await ada(database, "failing", "working")
    attempts = Attempts(database)
    await attempts.end(failing, RETRYING, only=False)
    assert (await sync(database))["state"] == "delivering"
    await attempts.end(working, DELIVERED, only=False)
    row = await sync(database)
    assert (row["state"], row["next_attempt_at"] is not None) == ("retrying", True)
    assert await held(database) == (1, 1)


async def test_an_attempt_being_made_is_not_held_although_another_mapping_failed_last(database: Database) -> None:
    failing, _ = await ada(database, "failing", "slow")
    await Attempts(database).end(failing, RETRYING, only=False)
    assert await held(database) == (0, 0)


async def test_ends_at_the_same_moment_see_each_other(database: Database) -> None:
    begun = await ada(database, "one", "two")
    attempts = Attempts(database)
    async with database.transaction() as connection:  # both wait for the lock, then go one after the other
        await connection.execute(text("select 1 from syncs for update"))
        ends = [asyncio.create_task(attempts.end(each, RETRYING, only=False)) for each in begun]
        await waiting_for_locks(database, len(ends))
    await asyncio.gather(*ends)
    assert (await sync(database))["state"] == "retrying"


async def waiting_for_locks(database: Database, sessions: int) -> None:
    query = "select count(*) as n from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()"
    while (await rows(database, query))[0]["n"] < sessions:
        await asyncio.sleep(0)


async def test_a_change_that_came_during_the_attempt_waits_and_is_held(database: Database) -> None:
    [begun] = await ada(database, "only")
    await Profiles(database).patch("ada", {"email": "b@example.com"})
    assert not await Attempts(database).end(begun, DELIVERED, only=True)
    row = await sync(database)
    assert (row["state"], row["reason"]) == ("waiting", "debouncing")
    assert await held(database) == (1, 1)


async def test_the_end_of_one_that_was_thought_cut_short_counts(database: Database) -> None:
    [begun] = await ada(database, "only")
    async with Syncs(database).locked("crm", "ada", "run") as locked:
        await locked.cut_short()
    assert (await sync(database))["state"] == "retrying"
    assert await Attempts(database).end(begun, DELIVERED, only=True)
    assert (await sync(database))["state"] == "idle"


async def test_the_end_of_an_attempt_that_another_followed_changes_nothing(database: Database) -> None:
    [first] = await ada(database, "only")
    await begin(database, first.delivery_id)
    assert not await Attempts(database).end(first, FAILED, only=True)
    assert (await sync(database))["state"] == "delivering"


async def test_deleting_the_destination_waits_for_a_plan_being_made_and_not_the_other_way_round(
    database: Database,
) -> None:
    await ada(database, "only")
    await a_sync(database, "crm", "ada", state="waiting")
    async with Syncs(database).locked("crm", "ada", "run") as locked:
        deleting = asyncio.create_task(Destinations(database).delete("crm"))
        await waiting_for_locks(database, 1)
        await locked.start([Entry.new("only", DeliveryStatus.QUEUED)], workflow_id="workflow")
    await deleting
    assert (await sync(database))["state"] == "discarded"
