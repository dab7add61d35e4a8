"""A destination that hangs, crawls or is flooded costs the others nothing, and several workers share one that is flooded.

What is claimed is an order of things, not a time: that one got all it should while another still had most of its queue.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count

import pytest
import pytest_asyncio
from temporalio.api.enums.v1 import EventType
from temporalio.client import Client
from temporalio.testing import WorkflowEnvironment

from activities.event_pump import CLAIM_LIMIT, LEAVE_AFTER, SENDERS
from domain.events import LANES
from runtime.temporal import data_converter
from storage.database import Database
from tests.builders import a_spec, an_event, an_event_mapping, publish
from tests.end_to_end.event_evidence import Evidence
from tests.product import Product, a_settings, dev_server, product
from tests.receiver import Answer, Received, Receiver, eventually
from worker import make_worker
from workflows import names

EVENTS = 300


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


async def a_destination(running: Product, receiver: Receiver, name: str, **settings: float) -> None:
    """It takes the events that have its name, and is the receiver's path of that name."""
    mapping = an_event_mapping(events={"mode": "only", "names": [name]})
    spec = a_spec(f"{receiver.url}/{name}", settings=settings, mappings=[mapping])
    await publish(running.database, name, spec)


async def store(running: Product, name: str, events: int, *, profiles: int) -> None:
    for start in range(0, events, 500):
        batch = range(start, min(start + 500, events))
        await running.events.store(
            [an_event(f"{name}-{n % profiles}", name, properties={"n": n // profiles}) for n in batch]
        )


async def statuses(running: Product, name: str) -> Counter[str]:
    rows = await running.rows(
        "select status, count(*) as n from deliveries where destination_id = :name group by status", name=name
    )
    return Counter({row["status"]: row["n"] for row in rows})


async def has(running: Product, name: str, **expected: int) -> bool:
    return await statuses(running, name) == expected


def at(receiver: Receiver, name: str) -> list[Received]:
    return [request for request in receiver.requests if request.path == f"/{name}"]


async def arrived(receiver: Receiver, name: str, events: int) -> bool:
    return len(at(receiver, name)) >= events


class TestAHangingDestination:
    async def test_the_others_get_all_of_theirs_while_it_still_has_its_queue(
        self, running: Product, receiver: Receiver
    ) -> None:
        never = asyncio.Event()
        receiver.script = lambda request: Answer(wait_for=never if request.path == "/hanging" else None)
        await a_destination(running, receiver, "hanging", timeout_seconds=2.0)
        await a_destination(running, receiver, "healthy")
        await store(running, "hanging", EVENTS, profiles=EVENTS)
        await eventually(lambda: arrived(receiver, "hanging", SENDERS), what="as many requests as there are senders")
        await store(running, "healthy", EVENTS, profiles=30)
        await eventually(lambda: has(running, "healthy", delivered=EVENTS), what="the healthy destination's events")
        hanging = await statuses(running, "hanging")
        assert hanging["queued"] >= EVENTS - SENDERS
        assert set(hanging) <= {"queued", "retrying", "delivering"}
        never.set()

    async def test_it_gets_everything_once_it_answers(self, running: Product, receiver: Receiver) -> None:
        never = asyncio.Event()
        receiver.script = lambda _: Answer(wait_for=never)
        await a_destination(running, receiver, "hanging", timeout_seconds=0.5)
        await store(running, "hanging", EVENTS, profiles=EVENTS)
        await eventually(lambda: self._is_away(running), what="the outage")
        receiver.script = lambda _: Answer()
        await eventually(lambda: has(running, "hanging", delivered=EVENTS), timeout=90, what="all of its events")
        never.set()

    async def _is_away(self, running: Product) -> bool:
        return bool(await running.rows("select 1 as one from event_lanes where outage_since is not null"))


class TestACrawlingDestination:
    async def test_the_others_get_all_of_theirs_while_it_answers_one_in_ten_of_their_requests(
        self, running: Product, receiver: Receiver
    ) -> None:
        """It moves only when the healthy one does: were that held up, nothing here would come to an end."""
        held: list[asyncio.Event] = []
        healthy = count(1)
        crawling = Evidence(lambda *_: Answer(wait_for=held[-1]))

        def answer(request: Received) -> Answer:
            if request.path == "/crawling":
                held.append(asyncio.Event())
                return crawling.answer(request)
            if next(healthy) % 10 == 0:
                next(each for each in held if not each.is_set()).set()
            return Answer()

        receiver.script = answer
        await a_destination(running, receiver, "crawling")
        await a_destination(running, receiver, "healthy")
        await store(running, "crawling", EVENTS, profiles=60)
        await eventually(lambda: arrived(receiver, "crawling", SENDERS), what="as many requests as there are senders")
        await store(running, "healthy", EVENTS, profiles=30)
        await eventually(lambda: has(running, "healthy", delivered=EVENTS), what="the healthy destination's events")
        assert (await statuses(running, "crawling"))["queued"] >= EVENTS - EVENTS // 10
        await self._let_go(running, held)
        assert crawling.too_early == []
        assert crawling.duplicates == 0

    async def _let_go(self, running: Product, held: list[asyncio.Event]) -> None:
        async def all_delivered() -> bool:
            for each in held:
                each.set()
            return await has(running, "crawling", delivered=EVENTS)

        await eventually(all_delivered, what="the crawling destination's events")


class TestAFlood:
    @pytest.mark.slow
    async def test_anothers_lone_event_arrives_before_the_flood_is_through(
        self, running: Product, receiver: Receiver
    ) -> None:
        flood = 4_000
        await a_destination(running, receiver, "flooded")
        await a_destination(running, receiver, "quiet")
        await store(running, "flooded", flood, profiles=200)
        await eventually(lambda: arrived(receiver, "flooded", 100), every=0.005, what="the flood under way")
        await store(running, "quiet", 1, profiles=1)
        await eventually(lambda: arrived(receiver, "quiet", 1), every=0.005, what="the lone event")
        before = [request.path for request in receiver.requests].index("/quiet")
        assert before < flood * 3 // 4
        await eventually(lambda: has(running, "flooded", delivered=flood), timeout=90, what="the flood's end")

    @pytest.mark.slow
    async def test_two_workers_share_its_lanes_and_keep_each_profiles_order(
        self, running: Product, receiver: Receiver, environment: WorkflowEnvironment
    ) -> None:
        """Each takes two pumps, and a flood of full claims is left to four: so both are needed."""
        flood = CLAIM_LIMIT * (LEAVE_AFTER + 24)
        evidence = Evidence()
        receiver.script = evidence.answer
        await running.stop_worker()
        await a_destination(running, receiver, "flooded")
        await store(running, "flooded", flood, profiles=400)
        running.settings = a_settings(running.settings.database_url, worker_pumps=2)
        running.start_worker()
        async with another_worker(running, environment):
            await eventually(lambda: has(running, "flooded", delivered=flood), timeout=120, what="the flood's end")
        assert evidence.too_early == []
        assert evidence.duplicates == 0
        homes = await running.rows("select distinct workflow_id from deliveries where destination_id = 'flooded'")
        assert {row["workflow_id"] for row in homes} == {
            names.event_delivery_id("flooded", lane) for lane in range(LANES)
        }
        awake = "select 1 as one from event_lanes where home is not null"
        await eventually(lambda: _none(running, awake), what="the pumps' ends, which their histories then show")
        assert len(await pumped_by(running.client)) == 2


async def _none(running: Product, query: str) -> bool:
    return not await running.rows(query)


@asynccontextmanager
async def another_worker(running: Product, environment: WorkflowEnvironment) -> AsyncIterator[None]:
    """A second worker with connections of its own, which Temporal knows by another name."""
    address = environment.client.service_client.config.target_host
    client = await Client.connect(address, identity="another", data_converter=data_converter({}))
    database = Database(running.settings.database_url, pool_size=10)
    worker = make_worker(client, running.settings, database, running.http, sandboxed=True)
    task = asyncio.create_task(worker.run())
    try:
        yield
    finally:
        await worker.shutdown()
        await task
        await database.close()


async def pumped_by(client: Client) -> set[str]:
    """By which workers the pumps of the flooded destination were run."""
    found = set()
    for lane in range(LANES):
        history = await client.get_workflow_handle(names.event_delivery_id("flooded", lane)).fetch_history()
        for event in history.events:
            if event.event_type == EventType.EVENT_TYPE_ACTIVITY_TASK_STARTED:
                found.add(event.activity_task_started_event_attributes.identity)
    return found
