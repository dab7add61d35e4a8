"""Signals that reach a run in the same moment as the end of its delivery; the activities are stand-ins that can be held."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest_asyncio
from temporalio import activity
from temporalio.client import Client
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker

from activities.messages import AttemptResult, DeliveryOrder, Plan, PrepareInput, RetryPlan, Settled
from tests.product import dev_server
from workflows.messages import ProfileSyncInput
from workflows.profile_sync import ProfileSync

QUEUE = "wake-ups"
ORDER = DeliveryOrder(
    delivery_id="d1",
    destination_id="crm",
    mapping_id="sync",
    attempts_used=0,
    retry=RetryPlan(attempts=15, initial_seconds=1, backoff=2, max_interval_seconds=60),
    only=True,
)


@dataclass
class StandIns:
    """The first look orders a delivery, the next find nothing left; the delivery settles the sync once it may end."""

    looks: list[PrepareInput] = field(default_factory=list)
    delivering: asyncio.Event = field(default_factory=asyncio.Event)
    may_end: asyncio.Event = field(default_factory=asyncio.Event)

    @activity.defn(name="prepare")
    async def prepare(self, request: PrepareInput) -> Plan:
        self.looks.append(request)
        if len(self.looks) == 1:
            return Plan(deliveries=[ORDER])
        return Plan() if request.under_way else Plan(settled=Settled(state="idle"))

    @activity.defn(name="deliver_first")
    async def deliver_first(self, order: DeliveryOrder) -> AttemptResult:
        return AttemptResult(status="busy")

    @activity.defn(name="deliver")
    async def deliver(self, order: DeliveryOrder) -> AttemptResult:
        self.delivering.set()
        await self.may_end.wait()
        return AttemptResult(status="delivered", number=1, settled=True)


@pytest_asyncio.fixture
async def server() -> AsyncIterator[WorkflowEnvironment]:
    async with dev_server() as server:
        yield server


def _deciders(client: Client, stand_ins: StandIns) -> Worker:
    local: list[Callable[..., Any]] = [stand_ins.prepare, stand_ins.deliver_first]
    return Worker(client, task_queue=QUEUE, workflows=[ProfileSync], activities=local, no_remote_activities=True)


async def test_a_change_made_just_after_a_delivery_settled_the_sync_is_looked_at(server: WorkflowEnvironment) -> None:
    stand_ins, client = StandIns(), server.client
    request = ProfileSyncInput(destination_id="crm", profile_id="u1")
    async with Worker(client, task_queue=QUEUE, activities=[stand_ins.deliver]):
        async with _deciders(client, stand_ins):
            run = await client.start_workflow(ProfileSync.run, request, id="profile-sync/crm/u1", task_queue=QUEUE)
            await stand_ins.delivering.wait()
        # Nobody decides now, as while Temporal is away: the end of the delivery and the signal wait for the same task.
        stand_ins.may_end.set()
        await run.signal(ProfileSync.profile_changed)
        async with _deciders(client, stand_ins):
            assert (await run.result()).state == "delivered"
    assert stand_ins.looks[-1].under_way == [], "it ended without looking again after the delivery"
