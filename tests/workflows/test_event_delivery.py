"""Events through the whole product, on a real Temporal server and a real PostgreSQL: order, failures, outages, pauses."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator

import pytest_asyncio
from temporalio.testing import WorkflowEnvironment

from tests.builders import a_spec, an_event, an_event_mapping, publish
from tests.product import Product, dev_server, product
from tests.receiver import Answer, Receiver, eventually


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


async def statuses(running: Product) -> dict[str, int]:
    rows = await running.rows("select status, count(*) as n from deliveries group by status")
    return {row["status"]: row["n"] for row in rows}


async def test_an_event_reaches_its_destination_and_is_logged(running: Product, receiver: Receiver) -> None:
    await publish(running.database, "crm", a_spec(receiver.url, mappings=[an_event_mapping()]))
    await running.events.store([an_event("u1", properties={"n": 7})])
    request = (await receiver.received(1))[0]
    assert request.json == {"user": "u1", "event": "Order Completed", "n": 7}
    await eventually(
        lambda: running.rows("select 1 as one from deliveries where status = 'delivered' limit 1"), what="the outcome"
    )
    delivery = (await running.deliveries())[0]
    assert request.key == str(delivery["id"])
    assert (delivery["attempts"], delivery["workflow_id"]) == (1, "event-delivery/crm/" + str(delivery["lane"]))
    attempt = (await running.rows("select * from attempts"))[0]
    assert (attempt["number"], attempt["outcome"], attempt["response"]["status"]) == (1, "delivered", 200)


async def test_each_profiles_events_arrive_in_the_order_received(running: Product, receiver: Receiver) -> None:
    await publish(running.database, "crm", a_spec(receiver.url, mappings=[an_event_mapping()]))
    for start in range(0, 1000, 100):
        await running.events.store([an_event(f"u{n % 13}", properties={"n": n}) for n in range(start, start + 100)])
    requests = await receiver.received(1000)
    assert len(requests) == 1000
    by_user: defaultdict[str, list[int]] = defaultdict(list)
    for request in requests:
        by_user[request.json["user"]].append(request.json["n"])
    assert all(numbers == sorted(numbers) for numbers in by_user.values())
    await eventually(lambda: _all(running, delivered=1000), what="all outcomes")


async def test_a_failing_profile_holds_back_itself_and_nobody_else(running: Product, receiver: Receiver) -> None:
    refused = {"ill"}
    receiver.script = lambda request: Answer(503) if request.json["user"] in refused else Answer()
    await publish(
        running.database,
        "crm",
        a_spec(receiver.url, mappings=[an_event_mapping()], retry={"initial_seconds": 1.0, "backoff": 1.0}),
    )
    await running.events.store([an_event(user, properties={"n": n}) for n in range(3) for user in ("ill", "well")])
    await eventually(
        lambda: _count(running, 3, "profile_id = 'well' and status = 'delivered'"), what="the others' events"
    )
    await receiver.received(6)
    assert [r.json["n"] for r in receiver.requests if r.json["user"] == "ill"] == [0] * (len(receiver.requests) - 3)
    refused.clear()
    await eventually(lambda: _all(running, delivered=6), what="all outcomes")
    order = [r.json["n"] for r in receiver.requests if r.json["user"] == "ill"]
    assert order == sorted(order)
    keys = {r.key for r in receiver.requests if r.json == {"user": "ill", "event": "Order Completed", "n": 0}}
    assert len(keys) == 1
    assert await running.rows("select 1 as one from event_retries") == []


async def test_a_definitive_failure_lets_the_next_event_go(running: Product, receiver: Receiver) -> None:
    receiver.script = lambda request: Answer(400 if request.json["n"] == 0 else 200)
    await publish(running.database, "crm", a_spec(receiver.url, mappings=[an_event_mapping()]))
    await running.events.store([an_event("u1", properties={"n": n}) for n in range(3)])
    await eventually(lambda: _all(running, delivered=2, failed=1), what="all outcomes")
    assert [r.json["n"] for r in receiver.requests] == [0, 1, 2]


async def test_what_a_condition_refuses_is_skipped_with_the_reason(running: Product, receiver: Receiver) -> None:
    mapping = an_event_mapping(condition="event@properties.n > 1")
    await publish(running.database, "crm", a_spec(receiver.url, mappings=[mapping]))
    await running.events.store([an_event("u1", properties={"n": n}) for n in range(3)])
    await eventually(lambda: _all(running, delivered=1, skipped=2), what="all outcomes")
    skipped = await running.rows("select reason, message, attempts from deliveries where status = 'skipped' limit 1")
    assert (skipped[0]["reason"], skipped[0]["attempts"]) == ("condition", 0)
    assert len(await running.rows("select 1 as one from attempts")) == 1


async def test_during_an_outage_the_queue_waits_behind_a_few_probing_profiles(
    running: Product, receiver: Receiver
) -> None:
    down = True
    receiver.script = lambda request: Answer(503 if down else 200)
    await publish(running.database, "crm", a_spec(receiver.url, mappings=[an_event_mapping()]))
    await running.events.store([an_event(f"u{n}", properties={"n": n}) for n in range(500)])
    await eventually(
        lambda: running.rows("select 1 as one from event_lanes where outage_since is not null limit 1"),
        what="the outage",
    )
    await receiver.received(45)  # the first ones, and some probes
    assert len(await running.rows("select 1 as one from event_retries")) <= 40
    assert (await statuses(running))["queued"] >= 460
    down = False
    await eventually(lambda: _all(running, delivered=500), timeout=60, what="all outcomes")
    assert await running.rows("select 1 as one from event_lanes where outage_since is not null") == []


async def test_a_pump_without_work_ends_and_starts_again(running: Product, receiver: Receiver) -> None:
    await publish(running.database, "crm", a_spec(receiver.url, mappings=[an_event_mapping()]))
    await running.events.store([an_event("u1")])
    await receiver.received(1)
    await eventually(
        lambda: running.rows("select 1 as one from event_lanes group by destination_id having every(home is null)"),
        what="rest",
    )
    await running.events.store([an_event("u1")])
    await receiver.received(2)


async def test_what_is_paused_waits_and_goes_out_in_order(running: Product, receiver: Receiver) -> None:
    await publish(running.database, "crm", a_spec(receiver.url, mappings=[an_event_mapping()]))
    await running.execute("update destinations set status = 'paused' where id = 'crm'")
    await running.events.store([an_event("u1", properties={"n": n}) for n in range(50)])
    assert receiver.requests == []
    await running.execute("update destinations set status = 'running' where id = 'crm'")
    await receiver.received(50)
    assert [r.json["n"] for r in receiver.requests] == list(range(50))


async def _all(running: Product, **expected: int) -> bool:
    return await statuses(running) == expected


async def _count(running: Product, count: int, where: str) -> bool:
    return (await running.rows(f"select count(*) as n from deliveries where {where}"))[0]["n"] == count


async def test_events_keep_to_the_rate_limit(running: Product, receiver: Receiver) -> None:
    limited = a_spec(receiver.url, mappings=[an_event_mapping()], rate_limit={"per_second": 50.0})
    await publish(running.database, "crm", limited)
    await running.events.store([an_event(f"u{n}", properties={"n": n}) for n in range(60)])
    requests = await receiver.received(60)
    # The n-th slot is n/50 s after the first; a request may come late, and the first one may have, but none much before its slot.
    assert all(request.at - requests[0].at > n / 50 - 0.1 for n, request in enumerate(requests))


async def test_an_outage_does_not_burn_the_queue_even_if_each_event_has_one_attempt(
    running: Product, receiver: Receiver
) -> None:
    receiver.script = lambda _: Answer(503)
    await publish(running.database, "crm", a_spec(receiver.url, mappings=[an_event_mapping()], retry={"attempts": 1}))
    await running.events.store([an_event(f"u{n}") for n in range(300)])
    away = "select 1 as one from event_lanes where outage_since is not null"
    await eventually(lambda: running.rows(away), what="the outage")
    assert (await statuses(running))["queued"] >= 250


async def test_settings_that_cannot_be_used_hold_the_queue_until_they_are_mended(
    running: Product, receiver: Receiver
) -> None:
    mapping = an_event_mapping()
    await publish(running.database, "crm", a_spec(receiver.url, mappings=[mapping], credentials="lost"))
    await running.events.store([an_event(f"u{n}") for n in range(100)])
    away = "select 1 as one from event_lanes where outage_since is not null"
    await eventually(lambda: running.rows(away), what="the outage")
    assert (await statuses(running))["queued"] >= 80
    await publish(running.database, "crm", a_spec(receiver.url, mappings=[mapping]))
    await eventually(lambda: _ended(running), timeout=60, what="the rest")
    assert (await statuses(running))["delivered"] >= 80


async def _ended(running: Product) -> bool:
    return not await running.rows(
        "select 1 as one from deliveries where status in ('queued', 'delivering', 'retrying')"
    )
