"""Trying a destination out on an event that was received."""

from __future__ import annotations

import json
from typing import Any

from storage.database import Database
from tests.api.conftest import A_MAPPING, Api
from tests.api.test_previews import SIGN_UPS, made, previewed, sent
from tests.receiver import Receiver
from tests.storage.builders import rows

TRACK = {"userId": "ada", "event": "signed_up", "properties": {"plan": "pro"}}


async def taken(api: Api, **call: Any) -> str:
    await api.post("/v1/batch", {"batch": [{"type": "track", **TRACK, **call}]})
    return str((await api.get("/v1/events", params={"limit": 1}))["data"][0]["id"])


async def test_a_stored_event_is_previewed_as_it_is_with_the_profile_as_it_is_now(api: Api, database: Database) -> None:
    await made(api, mappings=[SIGN_UPS])
    event = await taken(api)
    await api.call("PATCH", "/v1/profiles/ada", {"email": "later@example.com"})
    answer = await previewed(api, {"event_id": event})
    [mapping] = answer["mappings"]
    assert mapping["request"]["body"] == '{"plan":"pro","email":"later@example.com"}'
    assert answer["event"] == (await api.get(f"/v1/events/{event}"))["event"]
    assert answer["profile"] == {"id": "ada", "version": 2}
    assert [each["kind"] for each in await rows(database, "select kind from deliveries")] == ["event"]


async def test_an_event_that_a_mapping_does_not_take_says_why(api: Api) -> None:
    await made(api, mappings=[A_MAPPING, SIGN_UPS])
    answer = await previewed(api, {"event_id": await taken(api, event="bought")})
    reasons = {each["mapping_id"]: (each["matched"], each["reason"]) for each in answer["mappings"]}
    assert reasons["sign-ups"] == (False, "event_scope")
    assert not reasons["contact"][0]


async def test_an_identify_event_is_a_change_of_the_profile_that_is_in_it_already(api: Api) -> None:
    template = {"email": "{{ user.email }}", "plan": "{{ user.properties.plan }}"}
    of_profile = {**A_MAPPING, "body": {"format": "json", "template": template}}
    of_events = {
        **SIGN_UPS,
        "events": {"mode": "all"},
        "body": {"format": "json", "template": {"t": "{{ event.type }}"}},
    }
    await made(api, mappings=[of_profile, of_events])
    event = await taken(api, type="identify", event=None, traits={"email": "ada@example.com", "plan": "pro"})
    await api.call("PATCH", "/v1/profiles/ada", {"properties": {"plan": "free"}})
    answer = await previewed(api, {"event_id": event})
    contact, identify = answer["mappings"]
    assert contact["request"]["body"] == '{"email":"ada@example.com","plan":"free"}'
    assert "properties.plan" in [change["path"] for change in contact["changes"]]
    assert identify["request"]["body"] == '{"t":"identify"}'


async def test_an_identify_event_shows_only_what_changed_since_the_last_delivery(api: Api, database: Database) -> None:
    await made(api)
    event = await taken(api, type="identify", event=None, traits={"plan": "pro"})
    user = {"id": "ada", "email": None, "properties": {"plan": "free"}}
    await rows(
        database,
        "insert into sync_mappings (destination_id, profile_id, mapping_id, settled_version, status, delivered_user)"
        " values ('crm', 'ada', 'contact', 1, 'delivered', cast(:user as jsonb)) returning 1",
        user=json.dumps(user),
    )
    [contact] = (await previewed(api, {"event_id": event}))["mappings"]
    assert {"path": "properties.plan", "old": "free", "new": "pro"} in contact["changes"]


async def test_a_test_really_sends_a_stored_event(api: Api) -> None:
    async with Receiver() as receiver:
        await made(api, mappings=[SIGN_UPS], settings={"url": f"{receiver.url}/in"})
        event = await taken(api, traits={"email": "not-of-the-profile@example.com"})
        [mapping] = (await sent(api, {"event_id": event}))["mappings"]
        assert (mapping["status"], mapping["matched"]) == ("delivered", True)
        assert len(receiver.requests) == 1
        assert (await api.get(f"/v1/events/{event}"))["destinations"][0]["status"] == "queued"


async def test_an_event_or_a_profile_that_is_not_there_is_not_found(api: Api) -> None:
    await made(api, mappings=[SIGN_UPS])
    body = {"event_id": "0198c6a0-7b5e-7c3a-8f00-5d1f0c2b7a11"}
    for route in ("preview", "test"):
        answer = await api.call("POST", f"/v1/destinations/crm/{route}", body)
        assert (answer.status_code, answer.json()["message"]) == (404, f"there is no event {body['event_id']}")
    event = await taken(api)
    await api.call("DELETE", "/v1/profiles/ada")
    answer = await api.call("POST", "/v1/destinations/crm/preview", {"event_id": event})
    assert (answer.status_code, answer.json()["message"]) == (404, "there is no profile 'ada'")


async def test_a_template_can_be_rendered_for_a_stored_event(api: Api) -> None:
    body = {"event_id": await taken(api), "template": "{{ event.name }} by {{ user.id }}"}
    assert (await api.post("/v1/templates/render", body))["value"] == "signed_up by ada"
