"""One profile's events keep their order whatever comes between: several mappings, outages, and what operators do with single ones."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from sqlalchemy import text
from temporalio.testing import WorkflowEnvironment

from domain.events import lane_of
from storage.destinations import Destinations
from storage.event_actions import EventActions
from storage.event_retries import EventRetries, PendingRetry
from tests.builders import EVENT_BODY, a_spec, an_event, an_event_mapping, publish
from tests.end_to_end.event_evidence import Evidence
from tests.product import Product, dev_server, product
from tests.receiver import Answer, Received, Receiver, eventually

LONG = {"initial_seconds": 600.0}
NEIGHBOUR = next(name for name in map("neighbour-{}".format, range(100)) if lane_of(name) == lane_of("u1"))

# The first event of `u1` has its position and becomes visible only when nobody holds the lock any more.
SLOW_COMMIT = """
do $$ begin
    create function wait_for_lock() returns trigger language plpgsql as
        'begin perform pg_advisory_xact_lock_shared(4711); return new; end';
    create trigger slow after insert on events for each row when (new.profile_id = 'u1') execute function wait_for_lock();
end $$
"""


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


def mapped(name: str) -> dict[str, Any]:
    template = {**EVENT_BODY["template"], "mapping": name}  # type: ignore[dict-item]
    return an_event_mapping(id=name, body={"format": "json", "template": template})


class TestSeveralMappings:
    async def test_each_event_goes_through_all_of_them_before_the_next(
        self, running: Product, receiver: Receiver
    ) -> None:
        await publish(running.database, "crm", a_spec(receiver.url, mappings=[mapped("b"), mapped("a"), mapped("c")]))
        await store(running, range(20))
        await receiver.received(60)
        assert [(r.json["n"], r.json["mapping"]) for r in receiver.requests] == [
            (n, mapping) for n in range(20) for mapping in "bac"
        ]
        assert len({r.key for r in receiver.requests}) == 60

    async def test_one_that_fails_for_now_holds_back_the_others_and_the_next_event(
        self, running: Product, receiver: Receiver
    ) -> None:
        failed: list[Received] = []

        def answer(request: Received) -> Answer:
            if request.json["n"] == 1 and request.json["mapping"] == "a" and len(failed) < 2:
                failed.append(request)
                return Answer(503)
            return Answer()

        receiver.script = answer
        spec = a_spec(receiver.url, mappings=[mapped("b"), mapped("a"), mapped("c")], retry={"initial_seconds": 0.2})
        await publish(running.database, "crm", spec)
        await store(running, range(3))
        await receiver.received(11)
        assert [(r.json["n"], r.json["mapping"]) for r in receiver.requests] == [
            *[(0, "b"), (0, "a"), (0, "c")],
            *[(1, "b"), (1, "a"), (1, "a"), (1, "a"), (1, "c")],
            *[(2, "b"), (2, "a"), (2, "c")],
        ]


class TestCommits:
    """Positions are taken from a sequence, and what is stored at the same time need not become visible in that order."""

    async def test_what_becomes_visible_behind_where_the_pump_reads_goes_before_the_profiles_next(
        self, running: Product, receiver: Receiver
    ) -> None:
        let_go = asyncio.Event()
        evidence = Evidence(lambda event, _: Answer(wait_for=let_go if event[0] == "busy" else None))
        receiver.script = evidence.answer
        await publish(running.database, "crm", a_spec(receiver.url, mappings=[an_event_mapping()]))
        await running.execute(SLOW_COMMIT)
        # Something is in hand all the while: a pump whose hands are empty reads from the beginning.
        await running.events.store([an_event("busy", properties={"n": 0})])
        await receiver.received(1)
        async with running.database.statement() as connection:
            await connection.execute(text("select pg_advisory_lock(4711)"))
            first = asyncio.create_task(store(running, range(1)))
            await eventually(lambda: waiting(running, 1), what="a store that has its position and is not committed")
            await running.events.store([an_event(NEIGHBOUR, properties={"n": n}) for n in range(20)])
            await receiver.received(21)
            second = asyncio.create_task(store(running, range(1, 20)))
            await eventually(lambda: waiting(running, 2), what="the next one behind it")
            await connection.execute(text("select pg_advisory_unlock(4711)"))
        await asyncio.gather(first, second)
        await receiver.received(41)
        let_go.set()
        assert evidence.too_early == []


class TestHandBacks:
    async def test_profiles_that_are_handed_back_one_after_the_other_keep_their_order(
        self, running: Product, receiver: Receiver
    ) -> None:
        """Their later events are queued alternately, so that one's are behind where the pump reads and another's before it."""
        ill = [f"ill-{number}" for number in range(12)]
        evidence = Evidence(lambda event, times: Answer(503 if event[1] == times == 0 and event[0] in ill else 200))
        receiver.script = evidence.answer
        spec = a_spec(receiver.url, mappings=[an_event_mapping()], retry={"initial_seconds": 0.5})
        await publish(running.database, "crm", spec)
        profiles = [
            each for number, name in enumerate(ill) for each in (name, *(f"well-{number}-{n}" for n in range(3)))
        ]
        for n in range(10):
            await running.events.store([an_event(profile, properties={"n": n}) for profile in profiles])
        stored = dict.fromkeys(profiles, 10)
        await eventually(lambda: arrived(evidence, stored), what="all events")
        assert evidence.too_early == []
        assert evidence.unexpected_orders == {}


class TestSignals:
    async def test_that_an_earlier_blockers_signal_was_sent_says_nothing_of_the_next_ones(
        self, running: Product, receiver: Receiver
    ) -> None:
        """The dispatcher notes what it sent when a whole batch has been; by then the profile may have another blocker."""
        receiver.script = lambda _: Answer(503)
        await publish(running.database, "crm", a_spec(receiver.url, mappings=[an_event_mapping()], retry=LONG))
        await store(running, range(2))
        await eventually(lambda: has(running, 0, "retrying"), what="a back-off")
        await running.stop_dispatcher()
        [row] = await running.rows("select signal_epoch from event_retries")
        sent = PendingRetry("crm", "u1", "retry", row["signal_epoch"], 0.0)
        await EventActions(running.database).skip(await delivery_of(running, 0))
        await eventually(lambda: has(running, 1, "retrying"), what="a back-off of the next one")
        await EventRetries(running.database).sent([(sent, "a run")])
        assert [row["signal"] for row in await running.rows("select signal from event_retries")] == ["retry"]


class TestOutages:
    async def test_probes_take_each_profiles_first_event_and_no_later_one(
        self, running: Product, receiver: Receiver
    ) -> None:
        """One profile's events follow each other in the queue, so that a probe that just reads on comes upon its next one."""
        profiles = [f"u{number}" for number in range(10)]
        evidence = Evidence(lambda *_: Answer(503 if len(evidence.seen) < 25 else 200))
        receiver.script = evidence.answer
        spec = a_spec(receiver.url, mappings=[an_event_mapping()], retry={"initial_seconds": 0.5})
        await publish(running.database, "crm", spec)
        await running.execute("update destinations set status = 'paused' where id = 'crm'")
        for profile in profiles:
            await running.events.store([an_event(profile, properties={"n": n}) for n in range(5)])
        await running.execute("update destinations set status = 'running' where id = 'crm'")
        await eventually(lambda: arrived(evidence, dict.fromkeys(profiles, 5)), timeout=60, what="all events")
        assert evidence.too_early == []
        assert evidence.unexpected_orders == {}


class TestWhatOperatorsDo:
    async def test_a_dead_letter_that_is_retried_goes_before_what_was_queued_later(
        self, running: Product, receiver: Receiver
    ) -> None:
        await self._fail_first(running, receiver)
        destinations = Destinations(running.database)
        await destinations.pause("crm", None)
        await store(running, range(1, 30))
        await EventActions(running.database).retry(await delivery_of(running, 0))
        await destinations.resume("crm")
        await receiver.received(31)
        assert numbers(receiver) == [0, *range(30)]

    async def test_a_dead_letter_that_is_retried_goes_before_what_comes_right_after(
        self, running: Product, receiver: Receiver
    ) -> None:
        """While the pump is at work, which has read past its place."""
        await self._fail_first(running, receiver)
        await EventActions(running.database).retry(await delivery_of(running, 0))
        await store(running, range(1, 4))
        await receiver.received(5)
        assert numbers(receiver) == [0, 0, 1, 2, 3]
        assert len({request.key for request in receiver.requests[:2]}) == 1

    async def test_a_dead_letter_that_is_retried_during_a_later_ones_back_off_follows_it(
        self, running: Product, receiver: Receiver
    ) -> None:
        receiver.script = lambda r: Answer({0: 400, 1: 503}.get(r.json["n"], 200))
        spec = a_spec(receiver.url, mappings=[an_event_mapping()], retry={"initial_seconds": 2.0})
        await publish(running.database, "crm", spec)
        await store(running, range(4))
        await eventually(lambda: has(running, 1, "retrying"), what="a back-off")
        receiver.script = lambda _: Answer()
        await EventActions(running.database).retry(await delivery_of(running, 0))
        await receiver.received(6)
        assert numbers(receiver) == [0, 1, 1, 0, 2, 3]

    @pytest.mark.parametrize(("action", "status", "reason"), [("skip", "skipped", None), ("park", "failed", "parked")])
    async def test_a_blocker_that_is_skipped_or_parked_lets_the_next_go(
        self, running: Product, receiver: Receiver, action: str, status: str, reason: str | None
    ) -> None:
        await self._block(running, receiver)
        blocker = await delivery_of(running, 0)
        await getattr(EventActions(running.database), action)(blocker)
        await receiver.received(4)
        assert numbers(receiver) == [0, 1, 2, 3]
        [row] = await running.rows("select status, reason from deliveries where id = cast(:id as uuid)", id=blocker)
        assert row["status"] == status
        assert reason in (None, row["reason"])
        assert await running.rows("select 1 as one from event_retries") == []

    async def test_what_was_parked_goes_out_when_it_is_retried(self, running: Product, receiver: Receiver) -> None:
        await self._block(running, receiver)
        blocker = await delivery_of(running, 0)
        await EventActions(running.database).park(blocker)
        await receiver.received(4)
        receiver.script = lambda _: Answer()
        await EventActions(running.database).retry(blocker)
        await receiver.received(5)
        assert receiver.requests[-1].key == receiver.requests[0].key == blocker

    async def test_a_blocker_that_is_retried_goes_at_once_and_the_others_after_it(
        self, running: Product, receiver: Receiver
    ) -> None:
        await self._block(running, receiver)
        receiver.script = lambda _: Answer()
        await EventActions(running.database).retry(await delivery_of(running, 0))
        await receiver.received(5)
        assert numbers(receiver) == [0, 0, 1, 2, 3]

    async def test_a_queued_one_that_is_skipped_leaves_the_others_their_order(
        self, running: Product, receiver: Receiver
    ) -> None:
        await self._block(running, receiver)
        actions = EventActions(running.database)
        await actions.skip(await delivery_of(running, 2))
        await actions.skip(await delivery_of(running, 0))
        await receiver.received(3)
        assert numbers(receiver) == [0, 1, 3]

    async def _fail_first(self, running: Product, receiver: Receiver) -> None:
        """Event 0 is a dead letter, and whatever comes next succeeds."""
        receiver.then(Answer(400))
        await publish(running.database, "crm", a_spec(receiver.url, mappings=[an_event_mapping()]))
        await store(running, range(1))
        await eventually(lambda: has(running, 0, "failed"), what="a dead letter")

    async def _block(self, running: Product, receiver: Receiver) -> None:
        """Event 0 is in a back-off of ten minutes, and events 1 to 3 wait behind it."""
        receiver.script = lambda request: Answer(503 if request.json["n"] == 0 else 200)
        await publish(running.database, "crm", a_spec(receiver.url, mappings=[an_event_mapping()], retry=LONG))
        await store(running, range(4))
        await eventually(lambda: has(running, 0, "retrying"), what="a back-off")
        await eventually(lambda: signalled(running), what="a workflow that waits")
        assert numbers(receiver) == [0]


async def store(running: Product, ns: range) -> None:
    await running.events.store([an_event("u1", properties={"n": n}) for n in ns])


async def arrived(evidence: Evidence, stored: dict[str, int]) -> bool:
    return evidence.has_all(stored)


def numbers(receiver: Receiver) -> list[int]:
    return [request.json["n"] for request in receiver.requests]


async def delivery_of(running: Product, n: int) -> str:
    query = (
        "select l.id from deliveries l join events e on e.id = l.event_id"
        " where cast(e.event #>> '{properties,n}' as integer) = :n"
    )
    [row] = await running.rows(query, n=n)
    return str(row["id"])


async def waiting(running: Product, stores: int) -> bool:
    """So many sessions wait for a lock."""
    query = "select count(*) as n from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()"
    return bool((await running.rows(query))[0]["n"] == stores)


async def has(running: Product, n: int, status: str) -> bool:
    query = "select 1 as one from deliveries where id = cast(:id as uuid) and status = :status"
    return bool(await running.rows(query, id=await delivery_of(running, n), status=status))


async def signalled(running: Product) -> bool:
    return bool(await running.rows("select 1 as one from event_retries where signal is null"))
