"""The API in-process over a real database: requests go through every middleware, only sockets are left out."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import httpx
import pytest_asyncio
from fastapi import FastAPI

from api.app import build_services
from api.assembly import assemble
from api.links import WorkflowLinks
from api.metrics import Metrics
from api.services import PayloadCodec, Services
from connectors.addresses import AddressPolicy
from connectors.catalog import load_catalog
from connectors.http import OutboundHttp
from runtime.codec import AesGcmCodec, decode_json, encode_json
from storage.database import Database
from storage.gauges import Gauges
from storage.outbox import Outbox

PAYLOAD_CODEC = AesGcmCodec({"p1": bytes(32)})
TRUSTED_ORIGIN = "http://temporal-ui.example:8233"


@dataclass
class Api:
    """`call` sends JSON with the admin key unless another is given; "" sends none."""

    app: FastAPI
    http: httpx.AsyncClient
    services: Services
    keys: dict[str, str]

    async def call(
        self, method: str, path: str, body: Any = None, *, key: str = "admin", **options: Any
    ) -> httpx.Response:
        headers = {**({"Authorization": f"Bearer {self.keys[key]}"} if key else {}), **options.pop("headers", {})}
        if body is not None:
            options["json"] = body
        return await self.http.request(method, path, headers=headers, **options)

    async def get(self, path: str, **options: Any) -> Any:
        answer = await self.call("GET", path, **options)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def post(self, path: str, body: Any = None, *, status: int = 200, **options: Any) -> Any:
        answer = await self.call("POST", path, body, **options)
        assert answer.status_code == status, answer.text
        return answer.json()


def payload_codec() -> PayloadCodec:
    return PayloadCodec(
        encode=lambda body: encode_json(PAYLOAD_CODEC, body),
        decode=lambda body: decode_json(PAYLOAD_CODEC, body),
        trusted_origins=frozenset({TRUSTED_ORIGIN}),
    )


def services_over(database: Database, **options: Any) -> Services:
    defaults: dict[str, Any] = {
        "key_ring": {"k1": os.urandom(32)},
        "catalog": load_catalog(),
        "links": WorkflowLinks("http://temporal.example:8233", "default"),
        "checks": {},
        "codec": payload_codec(),
        "http": OutboundHttp(),
    }
    return build_services(database, **{**defaults, **options})


def client_of(app: FastAPI) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://sluice.test")


@pytest_asyncio.fixture
async def api(database: Database) -> AsyncIterator[Api]:
    # Only what listens on this machine is allowed, as in `make up`.
    http = OutboundHttp(AddressPolicy.of(networks=["127.0.0.0/8"]))
    services = services_over(database, http=http)
    metrics = Metrics()
    metrics.watch(Gauges(database), Outbox(database), ())
    app = assemble(metrics=metrics, services=services)
    keys = {scope: (await services.keys.create(scope, [scope])).secret for scope in ("ingest", "operate", "admin")}
    async with http, client_of(app) as client:
        yield Api(app, client, services, keys)


A_MAPPING: dict[str, Any] = {
    "id": "contact",
    "name": "Contact",
    "source": "profile",
    "action": "send",
    "body": {"format": "json", "template": {"email": "{{ user.email }}"}},
}


def a_destination(**changes: Any) -> dict[str, Any]:
    """A body for POST /v1/destinations that is accepted as it is."""
    return {
        "id": "crm",
        "name": "CRM",
        "connector": "webhook",
        "settings": {"url": "https://crm.example.com/contacts"},
        "mappings": [A_MAPPING],
        **changes,
    }


def a_draft(**changes: Any) -> dict[str, Any]:
    body = a_destination(**changes)
    return {name: value for name, value in body.items() if name not in ("id", "connector")}


Make = Callable[..., Any]
