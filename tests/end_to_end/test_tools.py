"""What a person finds in a running system: the addresses it prints, Temporal's command line and its Web UI."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from tests.end_to_end.services import Services
from tests.end_to_end.system import System
from tests.end_to_end.temporal_tools import TemporalCli
from tests.receiver import Answer, Receiver, eventually

pytestmark = pytest.mark.slow


async def test_every_address_it_prints_answers_and_the_key_it_prints_is_good(system: System) -> None:
    urls = re.findall(r"http://\S+", system.said)
    key = re.search(r"API key\s+(\S+)", system.said)
    assert len(urls) >= 3
    assert key is not None
    async with httpx.AsyncClient(headers={"Authorization": f"Bearer {key[1]}"}, follow_redirects=True) as http:
        for url in [*(url for url in urls if urlsplit(url).port != system.api_port), f"{system.api_url}/docs"]:
            assert (await http.get(url)).status_code == 200, url
        assert (await http.get(f"{system.api_url}/v1/destinations")).status_code == 200


async def test_the_command_line_finds_what_a_destination_holds(
    system: System, services: Services, receiver: Receiver
) -> None:
    await services.publish("held", receiver.url, debounce={"quiet_seconds": 600, "max_wait_seconds": 600})
    await services.change_all(["h1", "h2"], n=1)
    temporal = TemporalCli(system)
    await eventually(lambda: _count(temporal, 'DestinationId="held" AND ExecutionStatus="Running"', 2))
    await services.pause("held")
    await eventually(
        lambda: _count(temporal, 'DestinationId="held" AND SyncState="held"', 2), what="two held workflows"
    )
    [found] = await temporal.find('DestinationId="held" AND SyncState="held" AND ProfileId="h1"')
    assert found["execution"]["workflowId"] == "profile-sync/held/h1"
    await services.delete("held")


async def test_a_delivery_links_to_its_run_in_the_web_ui(
    system: System, services: Services, receiver: Receiver
) -> None:
    await services.publish("linked", receiver.url)
    await services.change("v/1 ä?#", n=1)
    workflow = (await _only_delivery(services, "linked", "delivered"))["workflow"]
    assert workflow["id"] == "profile-sync/linked/v/1 ä?#"
    async with httpx.AsyncClient() as http:
        page = await http.get(workflow["url"])
        assert (page.status_code, page.headers["content-type"].split(";")[0]) == (200, "text/html")
        run = await http.get(_of_the_ui(workflow["url"]), params={"execution.runId": workflow["run_id"]})
        assert run.status_code == 200, run.text
    shown = run.json()["workflowExecutionInfo"]
    assert shown["execution"] == {"workflowId": workflow["id"], "runId": workflow["run_id"]}
    await services.delete("linked")


async def test_a_sync_that_fails_is_among_the_failed_ones_with_its_reason(
    system: System, services: Services, receiver: Receiver
) -> None:
    receiver.script = lambda _: Answer(400, body="no such field")
    await services.publish("strict", receiver.url)
    await services.change("f1", n=1)
    failed = await _only_delivery(services, "strict", "failed")
    temporal = TemporalCli(system)
    query = 'DestinationId="strict" AND ExecutionStatus="Failed"'
    await eventually(lambda: _count(temporal, query, 1), what="a failed workflow")
    [found] = await temporal.find(query)
    assert found["execution"]["runId"] == failed["workflow"]["run_id"]
    last = (await temporal.show(found["execution"]["workflowId"], found["execution"]["runId"]))["events"][-1]
    failure = last["workflowExecutionFailedEventAttributes"]["failure"]
    assert failure["applicationFailureInfo"]["type"] == "http_400"
    assert "400" in failure["message"]
    await services.delete("strict")


async def _count(temporal: TemporalCli, query: str, wanted: int) -> bool:
    return len(await temporal.find(query)) == wanted


async def _only_delivery(services: Services, destination_id: str, status: str) -> dict[str, Any]:
    async def found() -> list[dict[str, Any]]:
        return await services.deliveries(destination=destination_id, status=status)

    deliveries: list[dict[str, Any]] = await eventually(found, what=f"a delivery that is {status}")
    assert len(deliveries) == 1
    return deliveries[0]


def _of_the_ui(link: str) -> str:
    """The request that the Web UI's page makes for the workflow of its own address."""
    parts = urlsplit(link)
    assert parts.path.endswith("/history")
    workflow = parts.path.rsplit("/", 2)[0]
    return f"{parts.scheme}://{parts.netloc}/api/v1{workflow}"
