"""Planted secrets, looked for everywhere after syncs that succeed, fail, are retried, refused and cannot be rendered.

The receiver answers with the secrets it was sent, in several spellings. Each test runs with and without payload encryption.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Iterable, Iterator
from functools import partial
from urllib.parse import quote

import pytest
import pytest_asyncio

from connectors.masking import MASK
from tests.builders import a_mapping, a_spec
from tests.end_to_end import places
from tests.end_to_end.planting import HEADER, Planted, echoes
from tests.end_to_end.services import Services
from tests.end_to_end.system import System
from tests.end_to_end.temporal_tools import TemporalCli
from tests.receiver import Answer, Received, Receiver, eventually

pytestmark = pytest.mark.slow

PROFILE = "planted-profile-5f1c9a/ä"
EMAIL = "planted-5f1c9a@example.com"
FATES = {"delivers": "delivered", "fails": "failed", "retries": "retrying", "refused": "failed", "unrendered": "failed"}
Found = Iterable[tuple[str, bytes]]


@pytest.fixture(scope="module", params=[False, True], ids=["payloads-in-the-clear", "payloads-encrypted"])
def encrypted(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.fixture(scope="module")
def planted(encrypted: bool) -> Planted:
    return Planted(encrypted_payloads=encrypted)


@pytest.fixture(scope="module")
def system(planted: Planted) -> Iterator[System]:
    system = System(planted.environment)
    try:
        system.start()
        asyncio.run(_live(system, planted))
        yield system
    finally:
        system.remove()


@pytest_asyncio.fixture
async def services(system: System, planted: Planted) -> AsyncIterator[Services]:
    async with Services(system.api_url, planted.admin_key) as services:
        yield services


async def _live(system: System, planted: Planted) -> None:
    """Everything that may happen to a secret."""
    async with Receiver() as receiver, Services(system.api_url, planted.admin_key) as services:
        receiver.script = _careless
        await _set_up(services, planted, receiver.url)
        await _send_what_is_refused(services, planted)
        path = f"/v1/profiles/{quote(PROFILE, safe='')}"
        await services.call("PATCH", path, {"email": EMAIL, "properties": {"n": 1}})
        for name, status in FATES.items():
            await eventually(partial(services.deliveries, destination=name, status=status), what=f"{name}: {status}")
        assert sum(HEADER.lower() in request.headers for request in receiver.requests) >= 3


async def _set_up(services: Services, planted: Planted, url: str) -> None:
    for scope in ("ingest", "operate", "admin"):
        planted.also((await services.call("POST", "/v1/keys", {"name": scope, "scopes": [scope]}))["key"])
    stored = {"id": "stored", "name": "Stored", "connector": "webhook", "secrets": planted.credentials}
    await services.call("POST", "/v1/credentials", stored)
    await services.call("POST", "/v1/credentials/stored/rotate", {"secrets": planted.rotated})
    inline = {"secrets": planted.credentials}
    retry = {"initial_seconds": 600}
    await services.publish("delivers", f"{url}/delivers", credentials="stored")
    await services.publish("fails", f"{url}/fails", credentials=inline)
    await services.publish("retries", f"{url}/retries", credentials=inline, retry=retry)
    await services.publish("refused", "http://10.255.255.1/", credentials=inline)
    body = {"format": "json", "template": {"n": "{{ user.email | divided_by: 0 }}"}}
    await services.publish("unrendered", url, credentials=inline, mappings=[a_mapping(body=body)])


async def _send_what_is_refused(services: Services, planted: Planted) -> None:
    """Requests that hold secrets and a mistake: their refusals are searched, and what they left in the logs."""
    secrets = {**planted.credentials, "no_such_field": planted.credentials}
    credentials = {"id": "wrong", "name": "Wrong", "connector": "webhook", "secrets": secrets}
    destination = {
        "id": "wrong",
        "connector": "webhook",
        **a_spec("http://127.0.0.1:9/"),
        "credentials": {"secrets": secrets},
    }
    for path, body in (("/v1/credentials", credentials), ("/v1/destinations", destination)):
        answer = await services.http.post(path, json=body)
        assert answer.status_code == 422, answer.text
        assert _found(planted, [(path, answer.content)]) == []


def _careless(request: Received) -> Answer:
    """Tells everything it was sent."""
    sent = {**request.headers, "body": request.body.decode()}
    body = json.dumps([sent, *map(echoes, (request.headers[HEADER.lower()], request.headers["authorization"]))])
    status = {"/delivers": 200, "/fails": 400, "/retries": 503}[request.path]
    return Answer(status, {"X-Echo": request.headers[HEADER.lower()]}, body)


def _found(planted: Planted, places: Found) -> list[str]:
    """Where a secret stands, and whose it is; never the secret itself."""
    forms = planted.forms()
    return [f"{name} in {place}" for place, content in places for form, name in forms.items() if form in content]


def test_what_was_planted_would_be_found(planted: Planted, system: System) -> None:
    header = planted.credentials["secret_headers"][HEADER]
    for text in (header, quote(header, safe=""), base64.b64encode(f"xy{header}z".encode()).decode(), echoes(header)):
        assert _found(planted, [("a place", text.encode())]), text
    assert any(place == "file logs/API.log" for place, _ in places.files(system))
    assert any(place.startswith("file temporal/temporal.sqlite") for place, _ in places.files(system))


def test_no_file_holds_a_secret(planted: Planted, system: System) -> None:
    assert _found(planted, places.files(system)) == []


async def test_no_row_of_any_table_holds_a_secret(planted: Planted, system: System) -> None:
    rows = await places.tables(system)
    assert {"table public.attempts", "table public.credentials", "table public.api_keys"} <= {
        place for place, _ in rows
    }
    assert _found(planted, rows) == []


async def test_no_answer_of_the_api_holds_a_secret(planted: Planted, services: Services) -> None:
    found = await places.answers(services)
    assert any(MASK in content.decode() for _, content in found)
    assert _found(planted, found) == []


async def test_no_history_holds_a_secret(planted: Planted, system: System) -> None:
    histories = await TemporalCli(system).histories()
    assert len(histories) >= len(FATES)
    contents = [
        content for history in histories for content in (json.dumps(history).encode(), *places.payloads(history))
    ]
    assert _found(planted, [("a history", content) for content in contents]) == []


async def test_encrypted_histories_tell_of_no_profile(encrypted: bool, system: System) -> None:
    """But in workflow ids and search attributes, by which people find them."""
    histories = await TemporalCli(system).histories()
    contents = [*(text.encode() for text in places.texts(histories)), *places.payloads(histories)]
    told = [content for content in contents for word in (PROFILE, EMAIL) if word.encode() in content]
    assert bool(told) is not encrypted, told
    assert not any(
        "memo" in event.get("workflowExecutionStartedEventAttributes", {}) for h in histories for event in h["events"]
    )
