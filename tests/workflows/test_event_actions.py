"""What operators do with event deliveries, with the pump and the retries running: on a real Temporal server and a real PostgreSQL."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest_asyncio
from temporalio.testing import WorkflowEnvironment

from storage.destinations import Destinations
from storage.event_actions import EventActions
from storage.profiles import Profiles
from tests.builders import a_spec, an_event, an_event_mapping, publish
from tests.product import Product, dev_server, product
from tests.receiver import Answer, Received, Receiver, eventually

NEVER = {"initial_seconds": 3600.0, "backoff": 1.0}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def environment() -> AsyncIterator[WorkflowEnvironment]:
    async with dev_server() as server:
        yield server


@pytest_asyncio.fixture
async def running(environment: WorkflowEnvironment, database_url: str) -> AsyncIterator[Product]:
    async with product(environment.client, database_url) as parts:
        yield parts


@pytest_asyncio.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with Receiver() as made:
        yield made


class Ill:
    """Answers 503 to the event with `n` 0 until it is well. Others get through, so that there is no outage."""

    well = False

    def __call__(self, request: Received) -> Answer:
        return Answer(503) if request.json["n"] == 0 and not self.well else Answer()


async def a_blocked_profile(running: Product, receiver: Receiver) -> tuple[Ill, str]:
    """Three events of u1, the first of which will not be tried again for an hour by itself. Answers its delivery."""
    ill = Ill()
    receiver.script = ill
    await publish(running.database, "crm", a_spec(receiver.url, mappings=[an_event_mapping()], retry=NEVER))
    await running.events.store([an_event("u1", properties={"n": n}) for n in range(3)])
    await eventually(lambda: running.rows("select 1 as one from event_retries where signal is null"), what="the retry")
    return ill, str((await running.rows("select id from deliveries where status = 'retrying'"))[0]["id"])


async def ended(running: Product, *expected: str) -> None:
    async def so() -> bool:
        found = await running.rows("select status from deliveries order by position")
        return [row["status"] for row in found] == list(expected)

    await eventually(so, what=f"deliveries that are {expected}")
    assert await running.rows("select 1 as one from event_retries") == []


def sent(receiver: Receiver) -> list[Any]:
    return [request.json["n"] for request in receiver.requests]


async def test_a_retry_goes_at_once_and_the_rest_follows_in_order(running: Product, receiver: Receiver) -> None:
    ill, blocker = await a_blocked_profile(running, receiver)
    ill.well = True
    await EventActions(running.database).retry(blocker)
    await ended(running, "delivered", "delivered", "delivered")
    assert sent(receiver) == [0, 0, 1, 2]
    assert receiver.requests[0].key == receiver.requests[1].key == blocker


async def test_after_a_skip_the_profiles_next_events_go(running: Product, receiver: Receiver) -> None:
    _, blocker = await a_blocked_profile(running, receiver)
    await EventActions(running.database).skip(blocker)
    await ended(running, "skipped", "delivered", "delivered")
    assert sent(receiver) == [0, 1, 2]


async def test_what_was_parked_goes_when_it_is_retried(running: Product, receiver: Receiver) -> None:
    ill, blocker = await a_blocked_profile(running, receiver)
    await EventActions(running.database).park(blocker)
    await ended(running, "failed", "delivered", "delivered")
    ill.well = True
    await EventActions(running.database).retry(blocker)
    await ended(running, "delivered", "delivered", "delivered")
    assert sent(receiver) == [0, 1, 2, 0]
    assert receiver.requests[-1].key == blocker


async def test_a_new_failure_after_a_skip_is_retried_though_the_old_back_off_still_runs(
    running: Product, receiver: Receiver
) -> None:
    _, blocker = await a_blocked_profile(running, receiver)
    await EventActions(running.database).skip(blocker)
    await ended(running, "skipped", "delivered", "delivered")
    refuse = True
    receiver.script = lambda _: Answer(503, {"Retry-After": "1"}) if refuse else Answer()
    spec = a_spec(receiver.url, mappings=[an_event_mapping()], retry={"initial_seconds": 0.1, "backoff": 1.0})
    await publish(running.database, "crm", spec)
    await running.events.store([an_event("u1", properties={"n": 9})])
    await eventually(lambda: running.rows("select 1 as one from event_retries"), what="the second blocker")
    refuse = False
    await ended(running, "skipped", "delivered", "delivered", "delivered")


async def test_nothing_is_sent_of_a_profile_that_is_deleted_while_its_events_wait(
    running: Product, receiver: Receiver
) -> None:
    ill, _ = await a_blocked_profile(running, receiver)
    await Profiles(running.database).delete("u1")
    ill.well = True
    await running.events.store([an_event("u1", properties={"n": 9})])
    await ended(running, "discarded", "discarded", "discarded", "delivered")
    assert sent(receiver) == [0, 9]


async def test_what_was_held_is_counted_and_goes_on_when_resumed(running: Product, receiver: Receiver) -> None:
    ill, _ = await a_blocked_profile(running, receiver)
    destinations = Destinations(running.database)
    paused = await destinations.pause("crm", None)
    assert (paused.held, paused.queued) == (3, 0)
    ill.well = True
    await destinations.resume("crm")
    await ended(running, "delivered", "delivered", "delivered")
    assert sent(receiver) == [0, 0, 1, 2]


async def test_no_request_begins_after_the_answer_to_a_pause(running: Product, receiver: Receiver) -> None:
    await publish(running.database, "crm", a_spec(receiver.url, mappings=[an_event_mapping()]))
    await running.events.store([an_event(f"u{n % 50}", properties={"n": n}) for n in range(2000)])
    await receiver.received(100)
    destinations = Destinations(running.database)
    await destinations.pause("crm", None)
    (answered,) = await running.rows("select clock_timestamp() as at")

    async def rest() -> bool:
        return not await running.rows("select 1 as one from event_lanes where home is not null")

    await eventually(rest, what="the pumps' rest")
    arrived = len(receiver.requests)
    held = (await destinations.get("crm")).held
    (delivered,) = await running.rows("select count(*) as n from deliveries where status = 'delivered'")
    assert (delivered["n"], held) == (arrived, 2000 - arrived)
    assert await running.rows("select 1 as one from attempts where started_at > :at", at=answered["at"]) == []
    await destinations.resume("crm")
    requests = await receiver.received(2000)
    assert len({request.key for request in requests}) == len(requests) == 2000
