"""What operators do with event deliveries, in the rows that pumps and retries work by."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg
import pytest

from domain.errors import Conflict, NotFound
from domain.events import lane_of
from storage.database import Database
from storage.destinations import Destinations
from storage.event_actions import EventActions
from storage.events import Events
from storage.profiles import Profiles
from tests.builders import a_spec, an_event, an_event_mapping, publish
from tests.storage.builders import rows

NOBODY = "0198c6a0-7b5e-7c3a-8f00-5d1f0c2b7a11"
Action = Callable[[str], Awaitable[None]]


async def queue(database: Database, count: int = 2, *, profile: str = "ada") -> list[str]:
    """Deliveries of `crm`, in the order of their events."""
    await publish(database, "crm", a_spec(mappings=[an_event_mapping()]))
    await Events(database).store([an_event(profile) for _ in range(count)])
    query = "select id from deliveries where profile_id = :profile order by position"
    return [row["id"] for row in await rows(database, query, profile=profile)]


async def change(database: Database, delivery: str, assignments: str) -> None:
    await rows(database, f"update deliveries set {assignments} where id = :id returning 1", id=delivery)


async def block(database: Database, delivery: str, *, status: str = "retrying") -> None:
    """What a pump writes when a delivery fails for now; and its lane is scanned past what waits behind it."""
    await change(
        database, delivery, f"status = '{status}', attempts = 3, reason = 'http_503', next_attempt_at = now() + '1 h'"
    )
    await rows(
        database,
        "insert into event_retries (destination_id, profile_id, lane, delivery_id)"
        " select destination_id, profile_id, lane, id from deliveries where id = :id returning 1",
        id=delivery,
    )
    await scan(database)


async def scan(database: Database, **changes: str) -> None:
    values = {"scanned": "1000000", "home": str(lane_of("ada")), **changes}
    await rows(
        database,
        f"insert into event_lanes (destination_id, lane, {', '.join(values)})"
        f" values ('crm', {lane_of('ada')}, {', '.join(values.values())}) returning 1",
    )


async def delivery(database: Database, delivery_id: str) -> dict[str, Any]:
    (found,) = await rows(database, "select * from deliveries where id = :id", id=delivery_id)
    return found


async def scanned(database: Database) -> int:
    (found,) = await rows(database, "select scanned from event_lanes")
    return int(found["scanned"])


async def told_by(database_url: str, action: Awaitable[object]) -> list[tuple[str, str]]:
    """What was notified by the time of a notification of our own after it."""
    told: asyncio.Queue[tuple[str, str]] = asyncio.Queue()
    listener = await asyncpg.connect(database_url)
    for channel in ("sluice_events", "sluice_work", "end"):
        await listener.add_listener(channel, lambda _c, _p, name, payload: told.put_nowait((name, payload)))
    await action
    await listener.execute('notify "end"')
    found = []
    while (each := await asyncio.wait_for(told.get(), 10))[0] != "end":
        found.append(each)
    await listener.close()
    return found


async def test_a_failed_delivery_goes_back_to_its_old_place(database: Database, database_url: str) -> None:
    first, second = await queue(database)
    before = await delivery(database, first)
    await change(database, first, "status = 'failed', reason = 'http_400', attempts = 15, finished_at = now()")
    await scan(database)
    told = await told_by(database_url, EventActions(database).retry(first))
    back = await delivery(database, first)
    assert (back["status"], back["reason"], back["message"]) == ("queued", "retry_requested", None)
    assert (back["attempts"], back["attempts_before"], back["finished_at"]) == (15, 15, None)
    assert back["position"] == before["position"] < (await delivery(database, second))["position"]
    assert await scanned(database) == 0
    assert told == [("sluice_events", f"crm/{lane_of('ada')}")]


async def test_a_retry_of_what_holds_back_its_profile_lets_it_go_at_once(database: Database, database_url: str) -> None:
    first, _ = await queue(database)
    await block(database, first)
    await rows(database, "update event_retries set signal_claimed_until = now() + '1 h', signal_epoch = 1 returning 1")
    assert await told_by(database_url, EventActions(database).retry(first)) == [("sluice_work", "")]
    (row,) = await rows(database, "select * from event_retries")
    assert (row["signal"], row["signal_epoch"], row["signal_claimed_until"]) == ("deliver_now", 2, None)
    due = "select status, next_attempt_at <= clock_timestamp() as due from deliveries where id = :id"
    assert await rows(database, due, id=first) == [{"status": "retrying", "due": True}]


@pytest.mark.parametrize(
    ("action", "status", "reason"), [("skip", "skipped", "skipped_by_operator"), ("park", "failed", "parked")]
)
async def test_what_holds_back_its_profile_is_ended_and_the_next_event_goes(
    database: Database, database_url: str, action: str, status: str, reason: str
) -> None:
    first, second = await queue(database)
    await block(database, first)
    told = await told_by(database_url, getattr(EventActions(database), action)(first))
    ended = await delivery(database, first)
    assert (ended["status"], ended["reason"], ended["next_attempt_at"]) == (status, reason, None)
    assert ended["finished_at"] is not None
    assert await rows(database, "select * from event_retries") == []
    assert await scanned(database) == 0
    assert told == [("sluice_events", f"crm/{lane_of('ada')}")]
    assert (await delivery(database, second))["status"] == "queued"


async def test_what_is_queued_can_be_skipped_without_waking_anybody(database: Database, database_url: str) -> None:
    first, second = await queue(database)
    await block(database, first)
    assert await told_by(database_url, EventActions(database).skip(second)) == []
    assert (await delivery(database, second))["status"] == "skipped"
    assert len(await rows(database, "select * from event_retries")) == 1


async def test_what_was_parked_can_be_retried(database: Database) -> None:
    first, _ = await queue(database)
    await block(database, first)
    await EventActions(database).park(first)
    await EventActions(database).retry(first)
    back = await delivery(database, first)
    assert (back["status"], back["attempts_before"]) == ("queued", 3)


async def test_what_retries_without_holding_anything_back_is_queued_again(database: Database) -> None:
    (lost,) = await queue(database, 1)
    await change(database, lost, "status = 'retrying'")
    await EventActions(database).retry(lost)
    assert (await delivery(database, lost))["status"] == "queued"


REFUSED = [
    ("retry", "queued", "only failed or retrying ones can"),
    ("retry", "delivered", "only failed or retrying ones can"),
    ("retry", "delivering", "an attempt is being made"),
    ("skip", "delivering", "an attempt is being made; try again when it has ended"),
    ("park", "delivering", "an attempt is being made"),
    ("skip", "failed", "a delivery that is failed cannot be skipped; only queued or retrying ones can"),
    ("park", "delivered", "cannot be parked"),
    ("skip", "discarded", "cannot be skipped"),
]


@pytest.mark.parametrize(("action", "status", "message"), REFUSED)
async def test_what_cannot_be_done_is_refused_and_changes_nothing(
    database: Database, action: str, status: str, message: str
) -> None:
    (only,) = await queue(database, 1)
    await change(database, only, f"status = '{status}'")
    before = await delivery(database, only)
    with pytest.raises(Conflict, match=message):
        await getattr(EventActions(database), action)(only)
    assert await delivery(database, only) == before


async def test_what_a_pump_has_in_hand_cannot_be_skipped(database: Database) -> None:
    first, second = await queue(database)
    await scan(database, claimed=f"array['{first}'::uuid]")
    with pytest.raises(Conflict, match="an attempt is being made"):
        await EventActions(database).skip(first)
    await EventActions(database).skip(second)
    assert (await delivery(database, first))["status"] == "queued"


async def test_what_a_dead_pump_had_in_hand_can_be_skipped(database: Database) -> None:
    (only,) = await queue(database, 1)
    await scan(database, claimed=f"array['{only}'::uuid]", updated_at="now() - interval '1 hour'")
    await EventActions(database).skip(only)
    assert (await delivery(database, only))["status"] == "skipped"


async def test_a_pump_that_takes_it_first_is_waited_for(database: Database, database_url: str) -> None:
    (only,) = await queue(database, 1)
    await scan(database)
    pump = await asyncpg.connect(database_url)
    claim = pump.transaction()
    await claim.start()
    await pump.execute(f"update event_lanes set claimed = array['{only}'::uuid]")
    skipping = asyncio.create_task(EventActions(database).skip(only))
    waits = "select count(*) as n from pg_stat_activity where wait_event_type = 'Lock' and query like '%event_lanes%'"
    while (await rows(database, waits))[0]["n"] == 0:
        await asyncio.sleep(0)
    await claim.commit()
    with pytest.raises(Conflict, match="an attempt is being made"):
        await skipping
    await pump.close()


async def test_nothing_is_done_for_a_destination_or_a_profile_that_was_deleted(database: Database) -> None:
    first, second = await queue(database)
    await change(database, first, "status = 'failed'")
    await Profiles(database).delete("ada")
    with pytest.raises(Conflict, match="its profile has been deleted"):
        await EventActions(database).retry(first)
    await Destinations(database).delete("crm")
    for action in (EventActions(database).retry, EventActions(database).skip, EventActions(database).park):
        with pytest.raises(Conflict, match="its destination has been deleted"):
            await action(second)


async def test_only_events_can_be_skipped_or_parked(database: Database) -> None:
    (only,) = await queue(database, 1)
    await change(database, only, "kind = 'profile_sync'")
    for action in (EventActions(database).skip, EventActions(database).park):
        with pytest.raises(Conflict, match="only deliveries of events can be"):
            await action(only)


async def test_what_never_was_is_not_found(database: Database) -> None:
    with pytest.raises(NotFound):
        await EventActions(database).skip(NOBODY)


async def test_of_a_skip_and_a_park_at_once_one_wins(database: Database) -> None:
    first, _ = await queue(database)
    await block(database, first)
    actions: list[Action] = [EventActions(database).skip, EventActions(database).park]
    results = await asyncio.gather(*(actions[number % 2](first) for number in range(8)), return_exceptions=True)
    assert [type(result) for result in results if result is not None] == [Conflict] * 7
