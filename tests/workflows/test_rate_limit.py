"""Rate limits, and places for attempts, with real workers: what they bound, not how fast they are."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest_asyncio
from temporalio.client import Client
from temporalio.testing import WorkflowEnvironment

from storage.database import Database
from tests.builders import a_spec, an_event, an_event_mapping, publish
from tests.product import Product, dev_server, product
from tests.receiver import Answer, Received, Receiver, eventually
from worker import make_worker

# A slot counts some milliseconds before it comes, and the database's clock is not the one that arrivals are read from.
TOLERANCE = 0.02
HELD = 'DestinationId="crm" AND SyncState="held" AND ExecutionStatus="Running"'


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def temporal() -> AsyncIterator[WorkflowEnvironment]:
    async with dev_server() as environment:
        yield environment


@pytest_asyncio.fixture
async def sluice(temporal: WorkflowEnvironment, database_url: str) -> AsyncIterator[Product]:
    async with product(temporal.client, database_url) as running:
        yield running


@pytest_asyncio.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with Receiver() as receiver:
        yield receiver


async def test_requests_keep_to_the_limit_whichever_worker_sends_them(sluice: Product, receiver: Receiver) -> None:
    await publish(sluice.database, "crm", a_spec(receiver.url, rate_limit={"per_second": 20}))
    async with _another_worker(sluice):
        started = _now()
        await _change(sluice, 40)
        await receiver.received(40)
        await _until_all(sluice, "delivered", 40)
    _assert_spaced(receiver, started, per_second=20)
    assert {row["attempts"] for row in await _deliveries(sluice)} == {1}


async def test_a_pause_in_between_does_not_let_them_catch_up(sluice: Product, receiver: Receiver) -> None:
    await publish(sluice.database, "crm", a_spec(receiver.url, rate_limit={"per_second": 5}))
    started = _now()
    await _change(sluice, 20)
    await receiver.received(3)
    await _tell(sluice, "paused")
    await eventually(lambda: sluice.client.count_workflows(HELD), what="a held run")
    await _tell(sluice, "running")
    await receiver.received(20)
    await _until_all(sluice, "delivered", 20)
    _assert_spaced(receiver, started, per_second=5)


async def test_waiting_for_a_turn_uses_up_no_declared_attempt(sluice: Product, receiver: Receiver) -> None:
    """The first slot is further away than an activity has patience for, so that Temporal tries again more than once."""
    await publish(sluice.database, "crm", a_spec(receiver.url, rate_limit={"per_second": 4}, retry={"attempts": 1}))
    started = _now()
    await _take_slots(sluice, 3)
    await _change(sluice, 6)
    await receiver.received(6)
    await _until_all(sluice, "delivered", 6)
    _assert_spaced(receiver, started + 3, per_second=4)
    assert {row["attempts"] for row in await _deliveries(sluice)} == {1}


async def test_what_waits_for_its_turn_says_so(sluice: Product, receiver: Receiver) -> None:
    await publish(sluice.database, "crm", a_spec(receiver.url, rate_limit={"per_second": 0.001}))
    await _change(sluice, 2)
    await receiver.received(1)

    async def waiting() -> list[dict[str, Any]]:
        return await sluice.rows("select * from deliveries where status = 'queued' and next_attempt_at is not null")

    [delivery] = await eventually(waiting, what="a delivery that waits")
    sync = await sluice.sync(delivery["profile_id"])
    assert delivery["reason"] == "rate_limited"
    assert (sync["state"], sync["reason"]) == ("waiting", "rate_limited")
    assert sync["next_attempt_at"] == delivery["next_attempt_at"]


async def test_a_retried_event_waits_for_its_turn_too(sluice: Product, receiver: Receiver) -> None:
    retry = {"attempts": 2, "initial_seconds": 0.1}
    mappings = [an_event_mapping()]
    await publish(
        sluice.database, "crm", a_spec(receiver.url, rate_limit={"per_second": 4}, retry=retry, mappings=mappings)
    )
    failing = asyncio.Event()
    receiver.then(Answer(503, wait_for=failing))
    await sluice.events.store([an_event("u0")])
    await receiver.received(1)
    await _take_slots(sluice, 3)
    started = _now()
    failing.set()
    await receiver.received(2)
    await _until_all(sluice, "delivered", 1)
    assert receiver.requests[1].at >= started + 3 - TOLERANCE
    [delivery] = await _deliveries(sluice)
    assert delivery["attempts"] == 2


async def test_a_destination_that_hangs_leaves_places_for_the_attempts_of_another(
    temporal: WorkflowEnvironment, database_url: str, receiver: Receiver
) -> None:
    """Of 40 places it gets 20: as many retries hang, and the others are put off without using up an attempt."""
    async with product(temporal.client, database_url) as sluice, Receiver() as other:
        await sluice.stop_worker()
        sluice.settings = sluice.settings.model_copy(update={"worker_concurrency": 40})
        sluice.start_worker()
        hanging = _HangingOnceAllHaveFailed(40)
        receiver.script = hanging.answer
        other.then(Answer(503))
        retry = {"attempts": 100, "initial_seconds": 0.2, "backoff": 1}
        await publish(sluice.database, "crm", a_spec(receiver.url, retry=retry))
        await _change(sluice, 40)
        await eventually(hanging.is_full, what="20 hanging attempts")
        await publish(sluice.database, "chat", a_spec(other.url, retry=retry))
        await sluice.profiles.patch("another", {"email": "a@b.c"})
        await other.received(2)
        assert hanging.count == 20
        hanging.over.set()
        await _until_all(sluice, "delivered", 42)
        made = Counter(request.key for request in [*receiver.requests, *other.requests])
        assert {str(row["id"]): row["attempts"] for row in await _deliveries(sluice)} == made


class _HangingOnceAllHaveFailed:
    """Fails until so many deliveries have been tried, then does not answer before it is `over`."""

    def __init__(self, deliveries: int) -> None:
        self.over = asyncio.Event()
        self.count = 0
        self._deliveries = deliveries
        self._seen: set[str] = set()

    def answer(self, request: Received) -> Answer:
        if len(self._seen) < self._deliveries:
            self._seen.add(request.key)
            return Answer(503)
        self.count += 1
        return Answer(wait_for=self.over)

    async def is_full(self) -> bool:
        return self.count == 20


def _assert_spaced(receiver: Receiver, started: float, *, per_second: float) -> None:
    """No request came before its slot, of which the first was not before `started`: a bound, however slow this machine is."""
    early = [
        (number, request.at - started)
        for number, request in enumerate(sorted(receiver.requests, key=lambda each: each.at))
        if request.at < started + number / per_second - TOLERANCE
    ]
    assert early == []


@asynccontextmanager
async def _another_worker(sluice: Product) -> AsyncIterator[None]:
    database = Database(sluice.settings.database_url, pool_size=5)
    address = sluice.client.service_client.config.target_host
    client = await Client.connect(address, data_converter=sluice.client.data_converter)
    worker = make_worker(client, sluice.settings, database, sluice.http, sandboxed=True)
    running = asyncio.create_task(worker.run())
    try:
        yield
    finally:
        await worker.shutdown()
        await running
        await database.close()


async def _take_slots(sluice: Product, seconds: float) -> None:
    """As if others had taken all slots of so many seconds."""
    await sluice.execute(
        "insert into rate_limits (destination_id, next_at) values ('crm', clock_timestamp() + make_interval(secs => :s))"
        " on conflict (destination_id) do update set next_at = excluded.next_at",
        s=seconds,
    )


async def _change(sluice: Product, profiles: int) -> None:
    for number in range(profiles):
        await sluice.profiles.patch(f"u{number}", {"email": "a@b.c"})


async def _tell(sluice: Product, status: str) -> None:
    await sluice.execute(
        "with changed as (update destinations set status = :status, tell_epoch = tell_epoch + 1,"
        " updated_at = clock_timestamp() where id = 'crm') select pg_notify('sluice_work', '')",
        status=status,
    )


async def _deliveries(sluice: Product) -> list[dict[str, Any]]:
    return await sluice.rows("select * from deliveries order by id")


async def _until_all(sluice: Product, status: str, count: int) -> None:
    async def reached() -> bool:
        return [row["status"] for row in await _deliveries(sluice)] == [status] * count

    await eventually(reached, what=f"{count} deliveries that are {status}")


def _now() -> float:
    return asyncio.get_running_loop().time()
