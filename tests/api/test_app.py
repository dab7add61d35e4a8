"""The whole application as uvicorn runs it, over real sockets, PostgreSQL and Temporal."""

from __future__ import annotations

import asyncio
import base64
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from temporalio import activity, workflow
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from api.app import create_app
from runtime.laptop.ports import free_port
from runtime.laptop.temporal_server import LaptopTemporal
from runtime.settings import Settings
from runtime.temporal import connect, register_search_attributes
from storage.credentials import Credentials
from storage.database import Database
from storage.secrets import SecretBox
from tests.api.conftest import a_destination
from workflows import names

pytestmark = pytest.mark.slow

ADMIN_KEY = "an-admin-key-from-the-configuration"
ENCRYPTION_KEY = base64.b64encode(os.urandom(32)).decode()
PAYLOAD_KEY = base64.b64encode(os.urandom(32)).decode()


@pytest.fixture(scope="module")
def temporal() -> Iterator[LaptopTemporal]:
    folder = Path(tempfile.mkdtemp(prefix="sluice-temporal-"))
    server = LaptopTemporal(folder)
    server.start()
    yield server
    server.stop()
    shutil.rmtree(folder, ignore_errors=True)


def the_settings(database_url: str, temporal_address: str, **changes: Any) -> Settings:
    values = {
        "database_url": database_url,
        "temporal_address": temporal_address,
        "admin_key": ADMIN_KEY,
        "encryption_keys": f"k:{ENCRYPTION_KEY}",
        "payload_keys": f"p:{PAYLOAD_KEY}",
        "database_pool_size": 5,
        "log_level": "error",
        **changes,
    }
    return Settings(**values)


@asynccontextmanager
async def serving(settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    server = uvicorn.Server(uvicorn.Config(create_app(settings), port=0, log_config=None))
    task = asyncio.create_task(server.serve())
    while not server.started:
        assert not task.done(), "the application did not start"
        await asyncio.sleep(0)
    port = server.servers[0].sockets[0].getsockname()[1]
    key = settings.admin_key.get_secret_value() if settings.admin_key else ""
    headers = {"Authorization": f"Bearer {key}"}
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", headers=headers) as http:
        yield http
    server.should_exit = True
    await task


@workflow.defn
class Idle:
    @workflow.run
    async def run(self) -> None: ...


@activity.defn
async def idle() -> None: ...


def a_worker(client: Client) -> Worker:
    """Anything that polls our task queue; its type is none that is started here, so it is given nothing to do."""
    return Worker(
        client,
        task_queue=names.TASK_QUEUE,
        workflows=[Idle],
        activities=[idle],
        workflow_runner=UnsandboxedWorkflowRunner(),
    )


DISPATCHERS = {"dispatcher": "ready", "event_dispatcher": "ready"}


async def test_it_is_ready_once_a_worker_polls(database_url: str, temporal: LaptopTemporal) -> None:
    settings = the_settings(database_url, temporal.address)
    async with serving(settings) as http:
        before = (await http.get("/readyz")).json()["checks"]
        assert before == {"database": "ready", "temporal": "ready", "worker": "failing", **DISPATCHERS}
        async with a_worker(await connect(settings)):
            while (await http.get("/readyz")).status_code != 200:  # ended by the test's own timeout
                pass
            assert set((await http.get("/readyz")).json()["checks"].values()) == {"ready"}


async def test_a_changed_profile_becomes_a_workflow_that_its_link_names(
    database_url: str, temporal: LaptopTemporal
) -> None:
    settings = the_settings(database_url, temporal.address)
    client = await connect(settings)
    await register_search_attributes(client, [key.name for key in names.SEARCH_ATTRIBUTES])
    async with serving(settings) as http:
        await http.post("/v1/destinations", json=a_destination())
        await http.post("/v1/destinations/crm/publish")
        await http.patch("/v1/profiles/ada", json={"email": "a@example.com"})
        (sync,) = (await http.get("/v1/profiles/ada/syncs")).json()["data"]
        handle = client.get_workflow_handle(sync["workflow"]["id"])
        while True:
            try:
                described = await handle.describe()
                break
            except RPCError as error:
                assert error.status is RPCStatusCode.NOT_FOUND
        assert described.workflow_type == "ProfileSync"
        while (run_id := (await _sync(http))["workflow"]["run_id"]) is None:
            pass
        assert run_id == described.run_id
        assert "sluice_signals_sent_total 1.0" in (await http.get("/metrics")).text
    await handle.terminate()


async def test_without_temporal_profiles_are_taken_and_wait(database_url: str) -> None:
    settings = the_settings(database_url, f"127.0.0.1:{free_port()}")
    async with serving(settings) as http:
        await http.post("/v1/destinations", json=a_destination())
        await http.post("/v1/destinations/crm/publish")
        assert (await http.patch("/v1/profiles/ada", json={"email": "a@example.com"})).status_code == 200
        assert (await _sync(http))["state"] == "waiting"
        checks = (await http.get("/readyz")).json()["checks"]
        assert (checks["database"], checks["temporal"], checks["worker"]) == ("ready", "failing", "failing")


async def test_a_changed_admin_key_takes_the_place_of_the_old_one(database_url: str, temporal: LaptopTemporal) -> None:
    async with serving(the_settings(database_url, temporal.address)) as http:
        assert (await http.get("/v1/keys")).status_code == 200
    async with serving(the_settings(database_url, temporal.address, admin_key="another-admin-key-now")) as http:
        assert (await http.get("/v1/keys")).status_code == 200
        old = await http.get("/v1/keys", headers={"Authorization": f"Bearer {ADMIN_KEY}"})
        assert old.status_code == 401


async def test_a_changed_encryption_key_takes_over_what_is_stored(
    database: Database, database_url: str, temporal: LaptopTemporal
) -> None:
    body = {"id": "c", "name": "C", "connector": "webhook", "secrets": {"secret_headers": {"X-Key": "value"}}}
    newer = base64.b64encode(os.urandom(32)).decode()
    async with serving(the_settings(database_url, temporal.address)) as http:
        await http.post("/v1/credentials", json=body)
    both = f"new:{newer},k:{ENCRYPTION_KEY}"
    async with serving(the_settings(database_url, temporal.address, encryption_keys=both)):
        pass
    opened = await Credentials(database, SecretBox({"new": base64.b64decode(newer)})).secrets("c")
    assert opened.current["secret_headers"] == {"X-Key": "value"}


async def _sync(http: httpx.AsyncClient) -> dict[str, Any]:
    (sync,) = (await http.get("/v1/profiles/ada/syncs")).json()["data"]
    return dict(sync)
