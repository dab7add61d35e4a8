"""Single deliveries under a rate limit: each holds a slot, and begins when that has come."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

from sqlalchemy import text
from uuid_utils.compat import uuid7

from domain.deliveries import AttemptOutcome, DeliveryStatus
from domain.destinations import DestinationSpec
from storage.attempts import Attempts, Begun, Ended, NotBegun
from storage.database import Database
from storage.destinations import Destinations
from storage.drafts import Drafts
from storage.event_retries import BegunEvent, EventNotBegun, EventRetries
from storage.profiles import Profiles
from storage.publications import Publications
from storage.syncs import Entry, Syncs
from tests.builders import a_mapping, a_spec, publish

SLOW = {"per_second": 0.1}  # ten seconds apart: whatever a test takes, the next slot has not come


async def test_the_first_begins_at_once_and_the_others_hold_slots_one_after_the_other(database: Database) -> None:
    ids = await _deliveries(database, 8)
    begun = await asyncio.gather(*(_begin(database, each) for each in ids))
    assert sum(isinstance(each, Begun) for each in begun) == 1
    rows = await _rows(database, "select * from deliveries where status = 'queued' order by next_attempt_at")
    assert [row["reason"] for row in rows] == ["rate_limited"] * 7
    slots = [row["next_attempt_at"] for row in rows]
    assert {later - earlier for earlier, later in pairwise(slots)} == {timedelta(seconds=10)}
    assert await _next_at(database) == slots[-1] + timedelta(seconds=10)


async def test_who_asks_again_too_early_keeps_the_slot(database: Database) -> None:
    _, waiting = await _one_begun_one_waiting(database)
    slot, next_at = await _slot(database, waiting), await _next_at(database)
    again = await _begin(database, waiting)
    assert isinstance(again, NotBegun)
    assert again.turn is not None
    assert 5 < again.turn.wait_seconds <= 10
    assert (await _slot(database, waiting), await _next_at(database)) == (slot, next_at)


async def test_a_slot_that_has_come_is_used_and_takes_no_other(database: Database) -> None:
    _, waiting = await _one_begun_one_waiting(database)
    await _come(database, waiting)
    next_at = await _next_at(database)
    begun = await _begin(database, waiting)
    assert isinstance(begun, Begun)
    assert begun.used == 1
    assert await _next_at(database) == next_at
    [row] = await _rows(database, "select * from deliveries where id = :id", id=waiting)
    assert (row["status"], row["reason"], row["next_attempt_at"]) == ("delivering", None, None)


async def test_a_slot_that_was_missed_is_no_leave_to_send_now(database: Database) -> None:
    first, second, third = await _deliveries(database, 3)
    for each in (first, second, third):
        await _begin(database, each)
    await _come(database, second, late=60)
    await _begin(database, second)
    assert await _slot(database, second) - await _slot(database, third) == timedelta(seconds=10)


async def test_who_begins_the_same_delivery_twice_uses_its_slot_once(database: Database) -> None:
    _, waiting = await _one_begun_one_waiting(database)
    await _come(database, waiting)
    begun = await asyncio.gather(*(_begin(database, waiting) for _ in range(4)))
    assert sum(isinstance(each, Begun) for each in begun) == 1


async def test_a_failed_attempt_takes_a_further_slot_for_the_next(database: Database) -> None:
    begun, _ = await _one_begun_one_waiting(database)
    ended = Ended(AttemptOutcome.RETRY, DeliveryStatus.RETRYING, "http_503", "no", delay_seconds=0)
    await Attempts(database).end(begun, ended, only=False)
    assert isinstance(await _begin(database, begun.delivery_id), NotBegun)
    [row] = await _rows(database, "select * from deliveries where id = :id", id=begun.delivery_id)
    assert (row["status"], row["reason"], row["attempts"]) == ("retrying", "rate_limited", 1)
    [sync] = await _rows(database, "select * from syncs where profile_id = 'u0'")
    assert (sync["state"], sync["reason"], sync["next_attempt_at"]) == (
        "retrying",
        "rate_limited",
        row["next_attempt_at"],
    )


async def test_nothing_is_taken_while_the_destination_is_paused(database: Database) -> None:
    _, waiting = await _one_begun_one_waiting(database)
    [other] = await _deliveries(database, 1, first=7)
    await _execute(database, "update destinations set status = 'paused'")
    next_at = await _next_at(database)
    for each in (waiting, other):
        answer = await _begin(database, each)
        assert isinstance(answer, NotBegun)
        assert (answer.paused, answer.turn) == (True, None)
    assert await _next_at(database) == next_at


async def test_a_destination_without_a_limit_keeps_no_slots(database: Database) -> None:
    ids = await _deliveries(database, 3, rate_limit=None)
    assert all([isinstance(await _begin(database, each), Begun) for each in ids])
    assert await _rows(database, "select * from rate_limits") == []


async def test_a_limit_that_was_taken_away_holds_nobody_back(database: Database) -> None:
    _, waiting = await _one_begun_one_waiting(database)
    await publish(database, "crm", a_spec())
    assert isinstance(await _begin(database, waiting), Begun)


async def test_another_limit_forgets_the_slots_of_the_one_before(database: Database) -> None:
    publications = Publications(database)
    await Destinations(database).create("crm", "webhook", _spec(0.001))
    await publications.publish("crm", note=None, by=None, admit=lambda *_: None)
    first, *waiting = await _made(database, 4)
    for each in (first, *waiting):
        await _begin(database, each)
    far = await _next_at(database)
    await Drafts(database).put("crm", _spec(0.1))
    await publications.publish("crm", note=None, by=None, admit=lambda *_: None)
    assert isinstance(await _begin(database, waiting[2]), Begun)
    await _begin(database, waiting[0])
    await _begin(database, waiting[1])
    assert await _slot(database, waiting[1]) - await _slot(database, waiting[0]) == timedelta(seconds=10)
    assert far - await _next_at(database) > timedelta(seconds=3000)


async def test_one_mapping_that_waits_for_its_slot_is_what_the_sync_waits_for(database: Database) -> None:
    mappings = [a_mapping(), a_mapping(id="other")]
    one, other = await _deliveries(database, 1, mapping_ids=("sync", "other"), mappings=mappings)
    begun = await _begin(database, one)
    assert isinstance(begun, Begun)
    await _begin(database, other)
    [sync] = await _rows(database, "select * from syncs")
    assert (sync["state"], sync["next_attempt_at"]) == ("delivering", None)
    await Attempts(database).end(begun, Ended(AttemptOutcome.DELIVERED, DeliveryStatus.DELIVERED), only=False)
    [sync] = await _rows(database, "select * from syncs")
    assert (sync["state"], sync["reason"]) == ("waiting", "rate_limited")
    assert sync["next_attempt_at"] == await _slot(database, other)


async def test_events_that_are_tried_again_hold_slots_in_the_same_queue(database: Database) -> None:
    _, waiting = await _one_begun_one_waiting(database)
    event = await _a_failed_event(database)
    retries = EventRetries(database)
    answer = await retries.begin(event, workflow_id="w", run_id="r")
    assert isinstance(answer, EventNotBegun)
    assert answer.turn is not None
    assert await _slot(database, event) - await _slot(database, waiting) == timedelta(seconds=10)
    blocker = await retries.blocker("crm", "e1")
    assert blocker is not None
    assert 10 < blocker.wait_seconds <= 19
    await _come(database, event)
    begun = await retries.begin(event, workflow_id="w", run_id="r")
    assert isinstance(begun, BegunEvent)
    assert begun.used == 2


async def test_an_event_does_not_wait_for_a_slot_of_a_limit_that_was_taken_away(database: Database) -> None:
    await _one_begun_one_waiting(database)
    event = await _a_failed_event(database)
    retries = EventRetries(database)
    await retries.begin(event, workflow_id="w", run_id="r")
    await publish(database, "crm", a_spec())
    blocker = await retries.blocker("crm", "e1")
    assert blocker is not None
    assert blocker.wait_seconds == 0
    assert isinstance(await retries.begin(event, workflow_id="w", run_id="r"), BegunEvent)


async def test_a_far_slot_is_looked_at_again_before_it_comes(database: Database) -> None:
    await _deliveries(database, 1, rate_limit={"per_second": 0.0001})
    await _execute(database, "insert into rate_limits (destination_id, next_at) values ('crm', now() + '1 day')")
    event = await _a_failed_event(database)
    retries = EventRetries(database)
    await retries.begin(event, workflow_id="w", run_id="r")
    blocker = await retries.blocker("crm", "e1")
    assert blocker is not None
    assert 500 < blocker.wait_seconds <= 600


def _spec(per_second: float) -> DestinationSpec:
    return DestinationSpec.model_validate(a_spec(rate_limit={"per_second": per_second}))


async def _one_begun_one_waiting(database: Database) -> tuple[Begun, str]:
    first, second = await _deliveries(database, 2)
    begun = await _begin(database, first)
    assert isinstance(begun, Begun)
    assert isinstance(await _begin(database, second), NotBegun)
    return begun, second


async def _deliveries(
    database: Database, count: int, *, first: int = 0, mapping_ids: tuple[str, ...] = ("sync",), **changes: Any
) -> list[str]:
    """Of so many profiles, ready to be sent to `crm`, which takes one in ten seconds unless told otherwise."""
    await publish(database, "crm", a_spec(**{"rate_limit": SLOW, **changes}))
    return await _made(database, count, first=first, mapping_ids=mapping_ids)


async def _made(
    database: Database, count: int, *, first: int = 0, mapping_ids: tuple[str, ...] = ("sync",)
) -> list[str]:
    made = []
    for number in range(first, first + count):
        await Profiles(database).patch(f"u{number}", {"email": "a@b.c"})
        entries = [Entry.new(each, DeliveryStatus.QUEUED) for each in mapping_ids]
        async with Syncs(database).locked("crm", f"u{number}", "run") as sync:
            await sync.start(entries, workflow_id="w")
            await sync.watch(True, planned=True)
        made += [entry.delivery_id for entry in entries]
    return made


async def _a_failed_event(database: Database) -> str:
    delivery_id, event_id = str(uuid7()), str(uuid7())
    await _execute(
        database,
        "insert into profiles (id, version, document) values ('e1', 1, '{}')",
    )
    await _execute(
        database,
        "insert into events (id, sequence, source_id, message_id, type, profile_id, event, received_at)"
        " values (:event, 1, '', 'm1', 'track', 'e1', '{}', now())",
        event=event_id,
    )
    await _execute(
        database,
        "insert into deliveries (id, kind, destination_id, mapping_id, profile_id, event_id, status, attempts, lane, position)"
        " values (:id, 'event', 'crm', 'sync', 'e1', :event, 'retrying', 1, 0, 1)",
        id=delivery_id,
        event=event_id,
    )
    await _execute(
        database,
        "insert into event_retries (destination_id, profile_id, lane, delivery_id) values ('crm', 'e1', 0, :id)",
        id=delivery_id,
    )
    return delivery_id


async def _begin(database: Database, delivery_id: str) -> Begun | NotBegun | None:
    return await Attempts(database).begin(delivery_id, workflow_id="w", run_id="r")


async def _come(database: Database, delivery_id: str, *, late: float = 0) -> None:
    """Let its slot have come, so many seconds ago."""
    await _execute(
        database,
        "update deliveries set next_attempt_at = clock_timestamp() - make_interval(secs => :late) where id = :id",
        id=delivery_id,
        late=late,
    )


async def _slot(database: Database, delivery_id: str) -> datetime:
    [row] = await _rows(database, "select next_attempt_at, reason from deliveries where id = :id", id=delivery_id)
    assert row["reason"] == "rate_limited"
    slot: datetime = row["next_attempt_at"]
    return slot


async def _next_at(database: Database) -> datetime:
    [row] = await _rows(database, "select next_at from rate_limits")
    next_at: datetime = row["next_at"]
    return next_at


async def _execute(database: Database, statement: str, **parameters: Any) -> None:
    async with database.statement() as connection:
        await connection.execute(text(statement), parameters)


async def _rows(database: Database, query: str, **parameters: Any) -> list[dict[str, Any]]:
    async with database.statement() as connection:
        return [dict(row) for row in (await connection.execute(text(query), parameters)).mappings()]
