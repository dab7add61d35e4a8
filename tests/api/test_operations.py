"""Health, readiness, metrics, the payload codec, the catalogue, the reconciliation and the OpenAPI document."""

from __future__ import annotations

import asyncio
import base64
from inspect import iscoroutinefunction
from typing import Any

import pytest
from fastapi.routing import iter_route_contexts

from api.assembly import assemble
from api.metrics import Metrics
from api.readiness import Readiness
from api.supervision import Supervised
from domain.errors import Unavailable
from storage.database import Database
from storage.gauges import Gauges
from storage.outbox import Outbox
from tests.api.conftest import TRUSTED_ORIGIN, Api, a_destination, client_of, services_over
from tests.storage.builders import a_delivery


async def test_alive_needs_nothing(api: Api) -> None:
    answer = await api.http.get("/healthz")
    assert (answer.status_code, answer.json()) == (200, {"status": "alive"})


async def test_ready_names_every_part(database: Database) -> None:
    async def fine() -> None: ...

    app = assemble(metrics=Metrics(), services=services_over(database, checks={"temporal": fine}))
    async with client_of(app) as http:
        answer = await http.get("/readyz")
    assert (answer.status_code, answer.json()) == (
        200,
        {"status": "ready", "checks": {"database": "ready", "temporal": "ready"}},
    )


async def test_not_ready_names_what_is_wrong(database: Database) -> None:
    async def away() -> None:
        raise Unavailable("no worker polls")

    async def broken() -> None:
        raise RuntimeError("tcp://secret-host:7233 refused")

    app = assemble(metrics=Metrics(), services=services_over(database, checks={"worker": away, "temporal": broken}))
    async with client_of(app) as http:
        answer = await http.get("/readyz")
    body = answer.json()
    assert (answer.status_code, body["code"], answer.headers["content-type"]) == (
        503,
        "not_ready",
        "application/problem+json",
    )
    assert body["checks"] == {"database": "ready", "worker": "failing", "temporal": "failing"}
    assert {error["path"]: error["message"] for error in body["errors"]} == {
        "worker": "no worker polls",
        "temporal": "failed: RuntimeError",
    }


async def test_a_lost_database_is_not_ready_but_alive() -> None:
    away = Database("postgresql://postgres@127.0.0.1:1/none", pool_size=1)
    async with client_of(assemble(metrics=Metrics(), services=services_over(away))) as http:
        assert (await http.get("/healthz")).status_code == 200
        assert (await http.get("/readyz")).json()["checks"] == {"database": "failing"}
    await away.close()


async def test_many_who_ask_at_once_are_answered_from_one_check() -> None:
    asked = []

    async def check() -> None:
        asked.append(1)

    readiness = Readiness({"part": check})
    await asyncio.gather(*(readiness.complaints() for _ in range(50)))
    assert asked == [1]


async def test_a_background_task_that_crashes_is_started_again_and_shows_it() -> None:
    runs = 0
    running = asyncio.Event()
    seen: list[bool] = []

    async def run() -> None:
        nonlocal runs
        runs += 1
        if runs <= 2:
            raise RuntimeError("a bug")
        running.set()
        await asyncio.Event().wait()

    supervised = Supervised("dispatcher", run, restart_seconds=0)
    with pytest.raises(Unavailable, match="not running"):
        await supervised.check()
    task = asyncio.create_task(supervised.run())
    await running.wait()
    await supervised.check()
    seen.append(supervised.alive)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (runs, supervised.crashes, seen, supervised.alive) == (3, 2, [True], False)


async def test_a_crashed_background_task_takes_readiness_down() -> None:
    async def run() -> None:
        raise RuntimeError("a bug")

    supervised = Supervised("dispatcher", run, restart_seconds=1000)
    task = asyncio.create_task(supervised.run())
    while supervised.crashes == 0:
        await asyncio.sleep(0)
    complaints = await Readiness({"dispatcher": supervised.check}).complaints()
    assert complaints == {"dispatcher": "the dispatcher is not running; it has crashed 1 times"}
    task.cancel()


async def test_requests_are_counted_by_route_and_not_by_path(api: Api) -> None:
    await api.call("GET", "/v1/profiles/somebody")
    await api.call("GET", "/nowhere/at/all")
    text = (await api.http.get("/metrics")).text
    assert 'sluice_http_requests_total{method="GET",route="/v1/profiles/{id}",status="404"} 1.0' in text
    assert 'sluice_http_requests_total{method="GET",route="unmatched",status="404"} 1.0' in text
    assert "sluice_http_request_seconds_bucket" in text
    assert "somebody" not in text


async def test_what_is_open_and_what_failed_is_shown_by_destination(api: Api, database: Database) -> None:
    await api.post("/v1/destinations", a_destination(), status=201)
    await api.post("/v1/destinations/crm/publish")
    await api.call("PATCH", "/v1/profiles/ada", {"email": "a@example.com"})
    await a_delivery(database, status="failed")
    text = (await api.http.get("/metrics")).text
    assert 'sluice_open_syncs{destination="crm",state="waiting"} 1.0' in text
    assert 'sluice_failed_deliveries{destination="crm"} 1.0' in text
    assert "sluice_signals_waiting 1.0" in text
    assert "sluice_database_up 1.0" in text


async def test_metrics_are_served_while_the_database_is_away() -> None:
    away = Database("postgresql://postgres@127.0.0.1:1/none", pool_size=1)
    metrics = Metrics()
    metrics.watch(Gauges(away), Outbox(away), ())
    async with client_of(assemble(metrics=metrics, services=services_over(away))) as http:
        answer = await http.get("/metrics")
    assert answer.status_code == 200
    assert "sluice_database_up 0.0" in answer.text
    await away.close()


PLAIN = {
    "payloads": [
        {
            "metadata": {"encoding": base64.b64encode(b"json/plain").decode()},
            "data": base64.b64encode(b'{"profile_id": "ada"}').decode(),
        }
    ]
}


async def test_payloads_go_to_cipher_and_back_for_a_key(api: Api) -> None:
    sealed = await api.post("/codec/encode", PLAIN, key="operate")
    assert sealed != PLAIN
    assert await api.post("/codec/decode", sealed, key="operate") == PLAIN


async def test_payloads_are_nobody_elses_business(api: Api) -> None:
    for key, status in (("", 401), ("ingest", 403)):
        for path in ("/codec/encode", "/codec/decode"):
            answer = await api.call("POST", path, PLAIN, key=key)
            assert answer.status_code == status
            assert "access-control-allow-origin" not in answer.headers
    stranger = await api.call("POST", "/codec/decode", PLAIN, key="", headers={"Origin": "http://evil.example"})
    assert stranger.status_code == 401
    assert "access-control-allow-origin" not in stranger.headers


async def test_a_trusted_web_ui_may_decode_without_a_key(api: Api) -> None:
    sealed = await api.post("/codec/encode", PLAIN)
    answer = await api.call("POST", "/codec/decode", sealed, key="", headers={"Origin": TRUSTED_ORIGIN})
    assert (answer.status_code, answer.json()) == (200, PLAIN)
    assert answer.headers["access-control-allow-origin"] == TRUSTED_ORIGIN
    assert answer.headers["vary"] == "Origin"


async def test_only_a_trusted_origin_passes_the_preflight(api: Api) -> None:
    trusted = await api.http.options("/codec/decode", headers={"Origin": TRUSTED_ORIGIN})
    stranger = await api.http.options("/codec/decode", headers={"Origin": "http://evil.example"})
    assert trusted.headers["access-control-allow-origin"] == TRUSTED_ORIGIN
    assert "x-namespace" in trusted.headers["access-control-allow-headers"].lower()
    assert "access-control-allow-origin" not in stranger.headers


@pytest.mark.parametrize(
    "body", [{"payloads": 1}, {"payloads": [{"data": 1}]}, {"payloads": [{"metadata": {"encoding": 1}}]}]
)
async def test_what_is_no_payload_is_a_bad_request(api: Api, body: Any) -> None:
    assert (await api.call("POST", "/codec/decode", body)).status_code == 400


async def test_without_payload_keys_there_is_no_codec(database: Database) -> None:
    services = services_over(database, codec=None)
    key = (await services.keys.create("k", ["operate"])).secret
    async with client_of(assemble(metrics=Metrics(), services=services)) as http:
        answer = await http.post("/codec/decode", json=PLAIN, headers={"Authorization": f"Bearer {key}"})
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


async def test_the_catalogue_describes_each_connector(api: Api) -> None:
    listed = (await api.get("/v1/connectors"))["data"]
    webhook = next(each for each in listed if each["slug"] == "webhook")
    assert webhook["settings"]["properties"]["url"]
    assert webhook["credentials"]["properties"]["secret_headers"]
    assert [action["slug"] for action in webhook["actions"]] == ["send"]
    assert await api.get("/v1/connectors/webhook") == webhook
    assert (await api.call("GET", "/v1/connectors/nonesuch")).status_code == 404


async def test_the_reconciliation_adds_up(api: Api) -> None:
    for name in ("crm", "chat"):
        await api.post("/v1/destinations", a_destination(id=name), status=201)
        await api.post(f"/v1/destinations/{name}/publish")
    await api.call("PATCH", "/v1/profiles/ada", {"email": "a@example.com"})
    await api.post("/v1/destinations/chat/pause")
    answer = await api.get("/v1/reconciliation")
    assert (answer["accepted"], answer["waiting"], answer["held"], answer["unaccounted"]) == (2, 1, 1, 0)
    assert {each["destination_id"]: each["held"] for each in answer["destinations"]} == {"chat": 1, "crm": 0}


async def test_the_document_tells_every_route_its_errors_and_its_key(api: Api) -> None:
    document = (await api.http.get("/openapi.json")).json()
    assert "HTTPValidationError" not in str(document)
    assert document["components"]["securitySchemes"]["key"]["scheme"] == "bearer"
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            errors = {status: answer for status, answer in operation["responses"].items() if int(status) >= 400}
            assert errors, (method, path)
            assert all(list(answer["content"]) == ["application/problem+json"] for answer in errors.values())
            if path.startswith("/v1/"):
                assert {"401", "403"} <= set(errors), (method, path)
                assert operation["security"] == [{"key": []}]
            if "requestBody" in operation:
                assert {"400", "413", "422"} <= set(errors), (method, path)
                assert "example" in str(document["components"]["schemas"]) or "examples" in str(operation)


async def test_every_reference_in_the_document_leads_somewhere(api: Api) -> None:
    document = (await api.http.get("/openapi.json")).json()
    schemas = document["components"]["schemas"]

    def references(node: Any) -> Any:
        if isinstance(node, dict):
            if isinstance(node.get("$ref"), str):
                yield node["$ref"]
            for value in node.values():
                yield from references(value)
        elif isinstance(node, list):
            for value in node:
                yield from references(value)

    for reference in references(document):
        assert reference.removeprefix("#/components/schemas/") in schemas, reference


def test_no_dependency_of_a_route_costs_a_thread() -> None:
    """FastAPI runs plain functions in a thread pool, which costs more than all of ours together."""
    app = assemble(metrics=Metrics())
    for context in iter_route_contexts(app.routes):
        for dependant in flat(context.dependant) if hasattr(context.original_route, "dependant") else ():
            call = getattr(dependant.call, "__call__", dependant.call)  # noqa: B004  (Guard is an object)
            assert iscoroutinefunction(dependant.call) or iscoroutinefunction(call), (context.path, dependant.call)


def flat(dependant: Any) -> Any:
    yield dependant
    for each in dependant.dependencies:
        yield from flat(each)
