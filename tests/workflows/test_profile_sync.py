"""Profile syncs on a real Temporal server, a real PostgreSQL and a real socket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from temporalio.testing import WorkflowEnvironment

from tests.builders import a_mapping, a_spec, publish
from tests.product import Product, dev_server, product
from tests.receiver import Answer, Receiver, eventually


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


async def test_a_change_reaches_the_destination(sluice: Product, receiver: Receiver) -> None:
    await publish(sluice.database, "crm", a_spec(receiver.url + "/people"))
    await sluice.profiles.patch("u1", {"email": "a@b.c", "properties": {"n": 1}})
    [request] = await receiver.received(1)
    assert request.json == {"id": "u1", "version": 1, "email": "a@b.c"}
    sync = await eventually(lambda: _state(sluice, "idle"))
    [delivery] = await sluice.deliveries()
    assert (sync["delivered_version"], delivery["status"], str(delivery["id"])) == (1, "delivered", request.key)


async def _state(sluice: Product, *states: str) -> dict[str, object] | None:
    sync = await sluice.sync()
    return sync if sync.get("state") in states else None
