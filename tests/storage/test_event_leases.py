"""The queue as pumps see it: leases that end each other, permits, claims in order, ends that only the holder of the lease may write."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import text

from domain.deliveries import AttemptOutcome, DeliveryStatus
from domain.events import LANES, lane_of
from storage.attempts import Ended
from storage.database import Database
from storage.destinations import Destinations
from storage.event_lanes import EventLanes, WantedPump
from storage.event_leases import Claim, EndedEvent, EventLeases, Lease, LeaseLost
from storage.event_retries import BegunEvent, EventNotBegun, EventRetries
from storage.events import Events
from storage.profiles import Profiles
from tests.builders import a_spec, an_event, an_event_mapping, publish

DELIVERED = Ended(AttemptOutcome.DELIVERED, DeliveryStatus.DELIVERED, request={}, response={"status": 200})
FAILED_FOR_NOW = Ended(
    AttemptOutcome.RETRY, DeliveryStatus.RETRYING, "http_503", "503", delay_seconds=1.0, request={}, response={}
)


async def rows(database: Database, query: str) -> list[dict[str, Any]]:
    async with database.statement() as connection:
        return [dict(row) for row in (await connection.execute(text(query))).mappings()]


async def execute(database: Database, statement: str) -> None:
    async with database.statement() as connection:
        await connection.execute(text(statement))


async def queue(database: Database, *profiles: str) -> list[str]:
    """One event of each; the ids of their deliveries in order."""
    await publish(database, "crm", a_spec(mappings=[an_event_mapping()]))
    await Events(database).store([an_event(profile) for profile in profiles])
    return [str(row["id"]) for row in await rows(database, "select id from deliveries order by position")]


async def lease(database: Database) -> Lease:
    lanes = EventLanes(database)
    await lanes.rouse(await lanes.asleep())
    home = (await rows(database, "select lane from event_lanes where home = lane"))[0]["lane"]
    acquired = await EventLeases(database).acquire("crm", home)
    assert acquired is not None
    return acquired


async def claim(database: Database, held: Lease, **changes: Any) -> Claim | None:
    given: dict[str, Any] = {
        "limit": 100,
        "in_hand": (),
        "after": dict.fromkeys(held.lanes, 0),
        "returned": {},
        **changes,
    }
    return await EventLeases(database).claim(held, given.pop("after"), given.pop("returned"), **given)


async def end(database: Database, held: Lease, claimed: Claim | None, ended: Ended) -> None:
    assert claimed is not None
    made = [EndedEvent(each, ended, ended.status, True, datetime.now(UTC), 1) for each in claimed.deliveries]
    await EventLeases(database).end(held, made, workflow_id="w", run_id="r")


def ids(claimed: Claim | None) -> list[str]:
    assert claimed is not None
    return [each.id for each in claimed.deliveries]


async def test_one_pump_serves_all_lanes_of_a_destination(database: Database) -> None:
    await queue(database, *(f"u{n}" for n in range(20)))
    assert (await lease(database)).lanes == tuple(range(LANES))


async def test_a_claim_is_in_order_and_reads_on_where_it_is_told(database: Database) -> None:
    queued = await queue(database, *(f"u{n}" for n in range(20)))
    held = await lease(database)
    first = await claim(database, held, limit=7)
    assert ids(first) == queued[:7]
    assert first is not None
    after = dict.fromkeys(held.lanes, first.deliveries[-1].position)
    assert ids(await claim(database, held, after=after, returned=first.returned)) == queued[7:]


async def test_a_lane_to_which_something_was_handed_back_is_read_from_its_beginning(database: Database) -> None:
    queued = await queue(database, "u1", "u1", "u1")
    held = await lease(database)
    first = await claim(database, held)
    assert first is not None
    after = dict.fromkeys(held.lanes, first.deliveries[-1].position)
    await execute(database, "update event_lanes set returned = returned + 1")
    assert ids(await claim(database, held, after=after, returned=first.returned)) == queued


async def test_a_profile_that_failed_is_left_out_until_it_is_handed_back(database: Database) -> None:
    queued = await queue(database, "ill", "well", "ill")
    held = await lease(database)
    await end(database, held, await claim(database, held, limit=1), FAILED_FOR_NOW)
    assert ids(await claim(database, held)) == [queued[1]]
    retries = EventRetries(database)
    begun = await retries.begin(queued[0], workflow_id="w", run_id="r")
    assert isinstance(begun, BegunEvent)
    await retries.end(begun, DELIVERED)
    assert ids(await claim(database, held)) == queued[1:]


async def test_a_probe_takes_the_first_event_of_a_profile_or_none_of_it(database: Database) -> None:
    queued = await queue(database, "u1", "u1", "u2")
    held = await lease(database)
    await execute(
        database, f"update deliveries set next_attempt_at = now() + interval '1 hour' where id = '{queued[0]}'"
    )
    assert ids(await claim(database, held, heads_only=True)) == [queued[2]]


async def test_only_the_last_lease_counts(database: Database) -> None:
    await queue(database, "u1")
    old = await lease(database)
    claimed = await claim(database, old)
    new = await EventLeases(database).acquire("crm", old.home)
    assert new is not None
    assert await claim(database, old) is None
    with pytest.raises(LeaseLost):
        await end(database, old, claimed, DELIVERED)
    assert (await rows(database, "select status from deliveries"))[0]["status"] == "queued"


async def test_a_new_lease_waits_for_the_permit_of_the_old_one_and_notes_what_that_had_in_hand(
    database: Database,
) -> None:
    await queue(database, "u1")
    old = await lease(database)
    await claim(database, old)
    new = await EventLeases(database).acquire("crm", old.home)
    assert new is not None
    assert 0 < new.wait_seconds <= 1
    assert new.lost == 1
    delivery = (await rows(database, "select status, attempts, attempts_before from deliveries"))[0]
    assert delivery == {"status": "queued", "attempts": 1, "attempts_before": 1}  # no policy counts it
    assert (await rows(database, "select outcome from attempts"))[0]["outcome"] == "unknown"


@pytest.mark.parametrize("change", ["status = 'paused'", "deleted_at = now()"])
async def test_no_permit_is_given_for_a_destination_that_does_not_run(database: Database, change: str) -> None:
    await queue(database, "u1")
    held = await lease(database)
    await execute(database, f"update destinations set {change}")
    assert await claim(database, held) is None


async def test_what_was_discarded_while_it_was_in_hand_stays_so_with_its_attempt(database: Database) -> None:
    await queue(database, "u1")
    held = await lease(database)
    claimed = await claim(database, held)
    await Profiles(database).delete("u1")
    await end(database, held, claimed, DELIVERED)
    assert (await rows(database, "select status, attempts from deliveries"))[0] == {
        "status": "discarded",
        "attempts": 1,
    }
    assert (await rows(database, "select outcome from attempts"))[0]["outcome"] == "delivered"


async def test_lanes_that_rest_are_roused_by_what_comes_and_not_by_what_is_held_back(database: Database) -> None:
    await queue(database, "ill", "ill")
    held = await lease(database)
    leases, lanes = EventLeases(database), EventLanes(database)
    claimed = await claim(database, held)
    assert claimed is not None
    first = replace(claimed, deliveries=claimed.deliveries[:1])
    await end(database, held, first, FAILED_FOR_NOW)
    await leases.rest(held, dict.fromkeys(held.lanes, claimed.deliveries[-1].position), outage=False)
    assert await lanes.asleep() == []
    await Events(database).store([an_event("ill")])
    assert await lanes.asleep() == [("crm", lane_of("ill"))]


async def test_what_came_while_a_pump_went_to_rest_wakes_it_again(database: Database) -> None:
    await queue(database, "u1")
    held = await lease(database)
    await EventLeases(database).rest(held, dict.fromkeys(held.lanes, 10**9), outage=False)
    assert await EventLanes(database).asleep() == [("crm", lane_of("u1"))]


async def test_a_lane_that_is_left_gets_a_pump_of_its_own(database: Database) -> None:
    await queue(database, *(f"u{n}" for n in range(20)))
    held = await lease(database)
    left = [lane for lane in held.lanes if lane != held.home]
    await EventLeases(database).leave(held, left)
    roused = await EventLanes(database).rouse([("crm", lane) for lane in left])
    assert sorted(pump.lane for pump in roused) == left
    alone = await EventLeases(database).acquire("crm", left[0])
    assert alone is not None
    assert alone.lanes == (left[0],)


async def test_of_two_dispatchers_one_rouses(database: Database) -> None:
    await queue(database, *(f"u{n}" for n in range(20)))
    lanes = EventLanes(database)
    asleep = await lanes.asleep()
    assert [len(await lanes.rouse(asleep)), len(await lanes.rouse(asleep))] == [1, 0]
    assert await lanes.claim(10) == []  # whoever roused it starts it


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("update profiles set deleted_at = now()", "profile_deleted"),
        ("update destinations set deleted_at = now()", "destination_deleted"),
    ],
)
async def test_what_is_deleted_while_a_retry_is_on_the_wire_is_not_tried_again(
    database: Database, change: str, reason: str
) -> None:
    queued = await queue(database, "u1")
    held = await lease(database)
    await end(database, held, await claim(database, held), FAILED_FOR_NOW)
    retries = EventRetries(database)
    begun = await retries.begin(queued[0], workflow_id="w", run_id="r")
    assert isinstance(begun, BegunEvent)
    await execute(database, change)
    await retries.end(begun, FAILED_FOR_NOW)
    assert isinstance(await retries.begin(queued[0], workflow_id="w", run_id="r"), EventNotBegun)
    assert await retries.blocker("crm", "u1") is None
    delivery = (await rows(database, "select status, reason from deliveries"))[0]
    assert delivery == {"status": "discarded", "reason": reason}
    assert await rows(database, "select 1 as one from event_retries") == []


async def test_a_permit_that_is_renewed_leaves_the_note_of_what_is_in_hand(database: Database) -> None:
    queued = await queue(database, "u1", "u2")
    held = await lease(database)
    await claim(database, held)
    assert await claim(database, held, limit=0) is not None
    noted = (await rows(database, "select claimed from event_lanes where home = lane"))[0]["claimed"]
    assert [str(each) for each in noted] == queued


async def test_what_is_on_the_wire_to_a_destination_that_is_deleted_is_logged(database: Database) -> None:
    await queue(database, "u1")
    held = await lease(database)
    claimed = await claim(database, held)
    await Destinations(database).delete("crm")
    await end(database, held, claimed, DELIVERED)
    assert (await rows(database, "select status, attempts from deliveries"))[0] == {
        "status": "discarded",
        "attempts": 1,
    }
    assert await EventLanes(database).rescue() == 0


async def test_what_became_visible_behind_the_place_read_to_is_not_overtaken(database: Database) -> None:
    queued = await queue(database, "late", "other", "late")
    held = await lease(database)
    third = (await rows(database, "select position from deliveries order by position offset 1 limit 1"))[0]["position"]
    first = await claim(database, held, limit=0)
    assert first is not None
    after = dict.fromkeys(held.lanes, third)
    found = await claim(database, held, after=after, returned=first.returned)
    assert found is not None
    assert (ids(found), found.overtaking) == ([queued[2]], {queued[2]})
    in_hand = await claim(database, held, after=after, returned=first.returned, in_hand=[queued[0]])
    assert in_hand is not None
    assert in_hand.overtaking == frozenset()


async def test_a_pump_that_waits_out_an_outage_is_not_taken_for_lost(database: Database) -> None:
    await queue(database, "u1")
    held = await lease(database)
    lanes = EventLanes(database)
    await lanes.started(
        [WantedPump("crm", held.home, (await rows(database, "select max(wanted_epoch) as n from event_lanes"))[0]["n"])]
    )
    await EventLeases(database).put_down(held, probe_in=3600)
    await execute(database, "update event_lanes set updated_at = now() - interval '10 minutes'")
    assert await lanes.rescue() == 0
    await execute(database, "update event_lanes set probe_at = now() - interval '10 minutes'")
    assert await lanes.rescue() == 1
