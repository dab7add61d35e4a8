"""The connection to a real server: found, encrypted, and refused in words when it is not there."""

from __future__ import annotations

import base64
import urllib.request
import uuid
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel
from temporalio import activity, workflow
from temporalio.client import Client, WorkflowFailureError
from temporalio.common import SearchAttributeKey, SearchAttributePair, TypedSearchAttributes
from temporalio.exceptions import ApplicationError
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from domain.errors import Unavailable
from runtime.laptop.ports import free_port
from runtime.laptop.temporal_server import LaptopTemporal
from runtime.settings import Settings, SettingsError
from runtime.temporal import connect, register_search_attributes, worker_runtime

KEY = base64.b64encode(b"k" * 32).decode()


def the_settings(**changes: Any) -> Settings:
    values = {"database_url": "postgresql://h/db", "encryption_keys": f"k:{KEY}", "worker_metrics_port": 0, **changes}
    return Settings(**values)


class Greeting(BaseModel):
    name: str


@activity.defn
async def refuse(greeting: Greeting) -> None:
    raise ApplicationError(f"no greeting for {greeting.name}", non_retryable=True)


@workflow.defn
class Greet:
    @workflow.run
    async def run(self, greeting: Greeting) -> Greeting:
        if greeting.name == "nobody":
            await workflow.execute_activity(refuse, greeting, start_to_close_timeout=timedelta(seconds=10))
        return Greeting(name=f"hello {greeting.name}")


async def _greet(client: Client, name: str) -> tuple[str, Greeting]:
    queue, run = f"greet-{uuid.uuid4()}", f"greet-{uuid.uuid4()}"
    greet = Worker(
        client, task_queue=queue, workflows=[Greet], activities=[refuse], workflow_runner=UnsandboxedWorkflowRunner()
    )
    async with greet:
        return run, await client.execute_workflow(Greet.run, Greeting(name=name), id=run, task_queue=queue)


async def test_models_travel_and_come_back_as_models(temporal: LaptopTemporal) -> None:
    client = await connect(the_settings(temporal_address=temporal.address))
    assert client.namespace == "default"
    _, answer = await _greet(client, "Ada")
    assert answer == Greeting(name="hello Ada")


async def test_with_keys_the_server_sees_neither_arguments_nor_results_nor_failures(temporal: LaptopTemporal) -> None:
    client = await connect(the_settings(temporal_address=temporal.address, payload_keys=f"p:{KEY}"))
    run, answer = await _greet(client, "Ada")
    assert answer == Greeting(name="hello Ada")
    assert "Ada" not in await _as_stored(client, run)

    with pytest.raises(WorkflowFailureError) as caught:
        await _greet(client, "nobody")
    assert "no greeting for nobody" in str(caught.value.cause.__cause__)
    failed = [found async for found in client.list_workflows("ExecutionStatus = 'Failed'")]
    for execution in failed:
        assert "nobody" not in await _as_stored(client, execution.id)


async def test_without_keys_the_web_ui_shows_the_content(temporal: LaptopTemporal) -> None:
    client = await connect(the_settings(temporal_address=temporal.address))
    run, _ = await _greet(client, "Grace")
    assert "Grace" in await _as_stored(client, run)


async def _as_stored(client: Client, workflow_id: str) -> str:
    history = await client.get_workflow_handle(workflow_id).fetch_history()
    return "".join(str(event) for event in history.events)


async def test_search_attributes_are_made_once_and_can_be_searched(temporal: LaptopTemporal) -> None:
    client = await connect(the_settings(temporal_address=temporal.address))
    names = ["DestinationId", "ProfileId", "SyncState"]
    await register_search_attributes(client, names)
    await register_search_attributes(client, [*names, "AddedLater"])
    tagged = TypedSearchAttributes([SearchAttributePair(SearchAttributeKey.for_keyword("AddedLater"), "x")])
    run = f"tagged-{uuid.uuid4()}"
    await client.start_workflow("Any", id=run, task_queue="nobody", search_attributes=tagged)
    described = await client.get_workflow_handle(run).describe()
    assert described.typed_search_attributes[SearchAttributeKey.for_keyword("AddedLater")] == "x"


async def test_the_standard_environment_leads_to_the_server(
    temporal: LaptopTemporal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEMPORAL_ADDRESS", temporal.address)
    monkeypatch.setenv("TEMPORAL_NAMESPACE", "temporal-system")
    client = await connect(the_settings())
    assert client.namespace == "temporal-system"


async def test_the_profile_file_leads_to_the_server(
    temporal: LaptopTemporal, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    profile = tmp_path / "temporal.toml"
    profile.write_text(f'[profile.work]\naddress = "{temporal.address}"\nnamespace = "default"\n')
    monkeypatch.setenv("TEMPORAL_CONFIG_FILE", str(profile))
    monkeypatch.setenv("TEMPORAL_PROFILE", "work")
    assert (await connect(the_settings())).service_client.config.target_host == temporal.address


async def test_our_own_address_overrides_the_standard_one(
    temporal: LaptopTemporal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEMPORAL_ADDRESS", f"127.0.0.1:{free_port()}")
    client = await connect(the_settings(temporal_address=temporal.address))
    assert client.service_client.config.target_host == temporal.address


async def test_a_profile_that_cannot_be_read_is_a_settings_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    broken = tmp_path / "temporal.toml"
    broken.write_text("not toml [")
    monkeypatch.setenv("TEMPORAL_CONFIG_FILE", str(broken))
    with pytest.raises(SettingsError, match="TEMPORAL_"):
        await connect(the_settings())


async def test_a_server_that_is_not_there_is_named_after_a_bounded_time() -> None:
    address = f"127.0.0.1:{free_port()}"
    with pytest.raises(Unavailable, match=address):
        await connect(the_settings(temporal_address=address, temporal_connect_seconds=0.1))


async def test_a_lazy_client_exists_before_its_server_does(home: Path) -> None:
    server = LaptopTemporal(home)
    client = await connect(the_settings(temporal_address=server.address), lazy=True)
    server.start()
    try:
        await register_search_attributes(client, ["DestinationId"])
    finally:
        server.stop()


async def test_the_worker_serves_the_metrics_of_the_sdk_and_ours(temporal: LaptopTemporal) -> None:
    port = free_port()
    runtime = worker_runtime(the_settings(worker_metrics_port=port))
    client = await connect(the_settings(temporal_address=temporal.address), runtime=runtime)
    runtime.metric_meter.create_counter("sluice_deliveries").add(3, {"outcome": "delivered"})
    await _greet(client, "Ada")
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        text = answer.read().decode()
    assert "temporal_request" in text
    assert any("sluice_deliveries" in line and line.endswith(" 3") for line in text.splitlines())


def test_a_metrics_port_in_use_is_named(temporal: LaptopTemporal) -> None:
    with pytest.raises(SettingsError, match="SLUICE_WORKER_METRICS_PORT"):
        worker_runtime(the_settings(worker_metrics_port=temporal.port))
