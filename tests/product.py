"""The product's parts in one process, on a real Temporal server and a real PostgreSQL: for tests of the whole flow."""

from __future__ import annotations

import asyncio
import sysconfig
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import SecretStr
from sqlalchemy import text
from temporalio.client import Client
from temporalio.service import RPCError
from temporalio.testing import WorkflowEnvironment

from api.dispatcher import Dispatcher
from api.event_dispatcher import EventDispatcher
from connectors.addresses import AddressPolicy
from connectors.http import OutboundHttp
from runtime.settings import Settings
from runtime.temporal import data_converter
from storage.database import Database
from storage.event_lanes import EventLanes
from storage.event_retries import EventRetries
from storage.events import Events
from storage.notifications import WORK, Notifications
from storage.outbox import Outbox
from storage.profiles import Profiles
from storage.syncs import Syncs
from worker import Workers, make_worker
from workflows import names

ENCRYPTION_KEYS = "test:" + "A" * 43 + "="


@asynccontextmanager
async def dev_server(payload_keys: dict[str, bytes] | None = None) -> AsyncIterator[WorkflowEnvironment]:
    """The real Temporal dev server, in memory, set as in production."""
    async with await WorkflowEnvironment.start_local(
        dev_server_existing_path=str(Path(sysconfig.get_path("scripts")) / "temporal"),
        data_converter=data_converter(payload_keys or {}),
        search_attributes=names.SEARCH_ATTRIBUTES,
        ui=False,
        dev_server_extra_args=[
            *("--dynamic-config-value", "matching.enableFairness=true"),
            *("--dynamic-config-value", "worker.batcherRPS=1000"),
            *("--dynamic-config-value", "frontend.MaxConcurrentBatchOperationPerNamespace=10"),
        ],
    ) as environment:
        yield environment


def a_settings(database_url: str, **changes: Any) -> Settings:
    return Settings(
        database_url=database_url,
        encryption_keys=SecretStr(ENCRYPTION_KEYS),
        outbound_allow=("127.0.0.0/8",),
        graceful_shutdown_seconds=10,
        **changes,
    )


@dataclass
class Product:
    """Running parts. `worker` and `dispatcher` can be stopped and started again on the same state."""

    client: Client
    database: Database
    settings: Settings
    profiles: Profiles
    syncs: Syncs
    http: OutboundHttp
    events: Events
    _worker: Workers | None = None
    _running: asyncio.Task[None] | None = None
    _dispatching: list[asyncio.Task[None]] = field(default_factory=list)

    def start_worker(self) -> None:
        self._worker = make_worker(self.client, self.settings, self.database, self.http, sandboxed=True)
        self._running = asyncio.create_task(self._worker.run())

    async def stop_worker(self) -> None:
        if self._worker is not None and self._running is not None:
            await self._worker.shutdown()
            await self._running
        self._worker = self._running = None

    def start_dispatcher(self) -> None:
        syncs = Dispatcher(Outbox(self.database), Notifications(self.database, WORK), self.client)
        events = EventDispatcher(
            EventLanes(self.database), EventRetries(self.database), Notifications(self.database), self.client
        )
        self._dispatching = [asyncio.create_task(each.run()) for each in (syncs, events)]

    async def stop_dispatcher(self) -> None:
        for task in self._dispatching:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        self._dispatching = []

    async def rows(self, query: str, **parameters: Any) -> list[dict[str, Any]]:
        async with self.database.statement() as connection:
            return [dict(row) for row in (await connection.execute(text(query), parameters)).mappings()]

    async def execute(self, statement: str, **parameters: Any) -> None:
        async with self.database.statement() as connection:
            await connection.execute(text(statement), parameters)

    async def sync(self, profile_id: str = "u1", destination_id: str = "crm") -> dict[str, Any]:
        found = await self.rows(
            "select * from syncs where destination_id = :d and profile_id = :p", d=destination_id, p=profile_id
        )
        return found[0] if found else {}

    async def deliveries(self, profile_id: str = "u1") -> list[dict[str, Any]]:
        return await self.rows("select * from deliveries where profile_id = :p order by id", p=profile_id)


@asynccontextmanager
async def product(client: Client, database_url: str) -> AsyncIterator[Product]:
    settings = a_settings(database_url)
    database = Database(database_url, pool_size=10)
    policy = AddressPolicy.of(settings.outbound_hosts, [str(network) for network in settings.outbound_networks])
    async with OutboundHttp(policy) as http:
        running = Product(client, database, settings, Profiles(database), Syncs(database), http, Events(database))
        running.start_worker()
        running.start_dispatcher()
        try:
            yield running
        finally:
            await running.stop_dispatcher()
            await _terminate_all(running)
            await running.stop_worker()
            await database.close()


async def _terminate_all(running: Product) -> None:
    """Tests share a Temporal server and name the same profiles: nothing of one may still run in the next."""
    syncs = await running.rows("select destination_id, profile_id from syncs")
    retries = await running.rows(
        "select destination_id, profile_id from deliveries where kind = 'event' and attempts > 1"
    )
    lanes = await running.rows("select destination_id, lane from event_lanes where home = lane")
    ids = {
        *(names.profile_sync_id(row["destination_id"], row["profile_id"]) for row in syncs),
        *(names.event_retry_id(row["destination_id"], row["profile_id"]) for row in retries),
        *(names.event_delivery_id(row["destination_id"], row["lane"]) for row in lanes),
    }
    for workflow_id in ids:
        with suppress(RPCError):
            await running.client.get_workflow_handle(workflow_id).terminate("the test has ended")
