"""The worker: composition root for everything Temporal runs. `python worker.py`; drains on SIGTERM and SIGINT."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
from collections.abc import Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from datetime import timedelta

import structlog
import uvloop
from temporalio.client import Client
from temporalio.worker import PollerBehaviorAutoscaling, UnsandboxedWorkflowRunner, Worker
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions

from activities.attempting import Attempting
from activities.deliver import Deliver
from activities.event_attempting import EventAttempting
from activities.event_wakes import EventWakes
from activities.making import Making
from activities.metering import Metering
from activities.places import Places
from activities.prepare import Prepare
from activities.published import PublishedDestinations
from activities.pump_events import PumpEvents
from activities.retry_event import RetryEvent
from activities.secrets import SecretsOf
from activities.sending import Sending
from connectors.addresses import AddressPolicy
from connectors.catalog import load_catalog
from connectors.http import OutboundHttp
from runtime.logging import configure_logging
from runtime.settings import Settings, load_settings
from runtime.temporal import connect, register_search_attributes, worker_runtime
from storage.attempts import Attempts
from storage.credentials import Credentials
from storage.database import Database
from storage.event_leases import EventLeases
from storage.event_retries import EventRetries
from storage.notifications import EVENTS, Notifications
from storage.rate_limits import RateLimits
from storage.revisions import Revisions
from storage.secrets import SecretBox
from storage.syncs import Syncs
from workflows import names
from workflows.event_delivery import EventDelivery
from workflows.event_retry import EventRetry
from workflows.profile_sync import ProfileSync

# Workflow tasks that run a first attempt wait for its answer, so there is room for many.
WORKFLOW_TASKS = 200
# Below the number of parked runs every wake-up replays a history; a cached run takes tens of KB.
CACHED_WORKFLOWS = 5_000

_log = structlog.get_logger("worker")


@dataclass
class Workers:
    """Temporal's workers of this process, and what they need in the background."""

    workers: Sequence[Worker]
    wakes: EventWakes

    async def run(self) -> None:
        """Until `shutdown`. Raises what ends one of them."""
        waking = asyncio.create_task(self.wakes.run())
        try:
            await asyncio.gather(*(worker.run() for worker in self.workers))
        finally:
            waking.cancel()
            with suppress(asyncio.CancelledError):
                await waking

    async def shutdown(self) -> None:
        """No new work is taken and what has begun is finished."""
        await asyncio.gather(*(worker.shutdown() for worker in self.workers))


def make_worker(
    client: Client,
    settings: Settings,
    database: Database,
    http: OutboundHttp,
    *,
    metering: Metering | None = None,
    sandboxed: bool = False,
) -> Workers:
    """The sandbox proves workflow code deterministic, which tests and replays do; per sync it costs as much as all else here."""
    catalog = load_catalog()
    for problem in catalog.problems:
        _log.error("connector_package_unusable", problem=problem)
    published = PublishedDestinations(Revisions(database), catalog)
    secrets = SecretsOf(Credentials(database, SecretBox(settings.encryption_key_ring)))
    making = Making(published, secrets, Sending(http))
    places = Places(settings.worker_concurrency)
    deliver = Deliver(Attempting(Attempts(database), making, metering), places)
    prepare = Prepare(Syncs(database), published)
    retries = EventRetries(database)
    retry = RetryEvent(retries, published, EventAttempting(retries, making, metering), places)
    wakes = EventWakes(Notifications(database, EVENTS))
    pump = PumpEvents(EventLeases(database), RateLimits(database), making, wakes, metering)
    syncs = Worker(
        client,
        task_queue=names.TASK_QUEUE,
        workflows=[ProfileSync, EventRetry],
        activities=[prepare.prepare, deliver.deliver_first, deliver.deliver, retry.next_event, retry.retry_event],
        workflow_runner=sandbox() if sandboxed else UnsandboxedWorkflowRunner(),
        max_concurrent_workflow_tasks=WORKFLOW_TASKS,
        max_concurrent_activities=settings.worker_concurrency,
        max_concurrent_local_activities=settings.worker_concurrency,
        max_cached_workflows=CACHED_WORKFLOWS,
        workflow_task_poller_behavior=PollerBehaviorAutoscaling(),
        activity_task_poller_behavior=PollerBehaviorAutoscaling(),
        graceful_shutdown_timeout=timedelta(seconds=settings.graceful_shutdown_seconds),
    )
    # Apart, since a pump keeps its place for as long as events come; the attempts of others must find places too.
    events = Worker(
        client,
        task_queue=names.EVENTS_QUEUE,
        workflows=[EventDelivery],
        activities=[pump.pump_first, pump.pump_events],
        workflow_runner=sandbox() if sandboxed else UnsandboxedWorkflowRunner(),
        max_concurrent_activities=settings.worker_pumps,
        max_cached_workflows=settings.worker_pumps,
        workflow_task_poller_behavior=PollerBehaviorAutoscaling(),
        activity_task_poller_behavior=PollerBehaviorAutoscaling(),
        graceful_shutdown_timeout=timedelta(seconds=settings.graceful_shutdown_seconds),
    )
    return Workers((syncs, events), wakes)


def sandbox() -> SandboxedWorkflowRunner:
    """Workflow code alone is reloaded for each run; what it imports of ours is loaded once, outside."""
    of_workflows = ("workflows.messages", "workflows.names", "workflows.policies")
    ours = ("activities", "connectors", "domain", "storage", *of_workflows, "pydantic", "structlog")
    return SandboxedWorkflowRunner(restrictions=SandboxRestrictions.default.with_passthrough_modules(*ours))


async def run(settings: Settings, stopping: asyncio.Event) -> None:
    """Until `stopping` is set; then no new work is taken and what has begun is finished."""
    async with AsyncExitStack() as stack:
        runtime = worker_runtime(settings)
        client = await connect(settings, runtime=runtime)
        await register_search_attributes(client, [key.name for key in names.SEARCH_ATTRIBUTES])
        database = Database(settings.database_url, pool_size=settings.database_pool_size)
        stack.push_async_callback(database.close)
        policy = AddressPolicy.of(settings.outbound_hosts, [str(network) for network in settings.outbound_networks])
        http = await stack.enter_async_context(OutboundHttp(policy))
        worker = make_worker(client, settings, database, http, metering=Metering(runtime.metric_meter))
        running = asyncio.create_task(worker.run())
        _log.info("worker_started", task_queue=names.TASK_QUEUE, namespace=client.namespace)
        await _first(running, asyncio.create_task(stopping.wait()))
        _log.info("worker_draining")
        await worker.shutdown()
        await running
        _log.info("worker_stopped")


async def _first(*tasks: asyncio.Task[object]) -> None:
    done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in done:
        task.result()


async def main() -> None:
    settings = load_settings()
    configure_logging(level=settings.log_level, format=settings.log_format, secrets=settings.secret_values)
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    await run(settings, stopping)


if __name__ == "__main__":
    uvloop.run(main())
    # The SDK's runtime threads can abort the interpreter while it is torn down; everything of ours is closed by now.
    gc.collect()
    os._exit(0)
