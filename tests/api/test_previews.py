"""Trying a destination out over HTTP: dry, and for real against a receiver on a real socket."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from storage.database import Database
from tests.api.conftest import A_MAPPING, Api, a_destination, a_draft
from tests.receiver import Answer, Receiver
from tests.storage.builders import rows

SECRET = "a-planted-secret/with+odd=characters"

SIGN_UPS: dict[str, Any] = {
    "id": "sign-ups",
    "name": "Sign-ups",
    "source": "events",
    "events": {"mode": "only", "names": ["signed_up"]},
    "action": "send",
    "body": {"format": "json", "template": {"plan": "{{ event.properties.plan }}", "email": "{{ user.email }}"}},
}
CALL = {
    "type": "track",
    "event": "signed_up",
    "userId": "ada",
    "properties": {"plan": "pro"},
    "traits": {"email": "of-the-call@example.com"},
}


@pytest_asyncio.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with Receiver() as receiver:
        yield receiver


async def made(api: Api, *, publish: bool = True, **changes: Any) -> None:
    await api.post("/v1/destinations", a_destination(**changes), status=201)
    if publish:
        await api.post("/v1/destinations/crm/publish")


async def a_profile(api: Api, **document: Any) -> None:
    answer = await api.call("PATCH", "/v1/profiles/ada", {"email": "ada@example.com", **document})
    assert answer.status_code == 200


async def previewed(api: Api, body: Any, *, key: str = "operate") -> Any:
    return await api.post("/v1/destinations/crm/preview", body, key=key)


async def preview_of(api: Api, body: Any, mapping: str = "contact") -> Any:
    answer = await previewed(api, body)
    return next(each for each in answer["mappings"] if each["mapping_id"] == mapping)


async def sent(api: Api, body: Any) -> Any:
    return await api.post("/v1/destinations/crm/test", body, key="operate")


def secretly(receiver: Receiver, **changes: Any) -> dict[str, Any]:
    return {
        "settings": {"url": f"{receiver.url}/in"},
        "credentials": {"secrets": {"secret_headers": {"X-Partner": SECRET}}},
        **changes,
    }


class TestPreview:
    async def test_the_exact_request_is_shown_and_neither_sent_nor_stored(
        self, api: Api, database: Database, receiver: Receiver
    ) -> None:
        await made(api, **secretly(receiver))
        await a_profile(api)
        shown = await preview_of(api, {"profile_id": "ada"})
        assert (shown["matched"], shown["reason"], shown["error"]) == (True, None, None)
        request = shown["request"]
        assert (request["method"], request["url"]) == ("POST", f"{receiver.url}/in")
        assert (request["body"], request["headers"]["X-Partner"]) == ('{"email":"ada@example.com"}', "***")
        assert receiver.requests == []
        assert await rows(database, "select 1 from deliveries") == []
        assert await rows(database, "select 1 from attempts") == []

    async def test_secrets_are_masked_wherever_the_request_holds_them(self, api: Api, receiver: Receiver) -> None:
        await made(api, **secretly(receiver))
        await a_profile(api, email=None, properties={"email": f"x{SECRET}y"})
        answer = await api.call("POST", "/v1/destinations/crm/preview", {"profile_id": "ada"})
        shown = answer.json()["mappings"][0]["request"]
        assert SECRET not in str(shown)
        assert shown["body"] == '{"email":"x***y"}'

    async def test_the_draft_is_shown_if_there_is_one_unless_the_published_revision_is_asked_for(
        self, api: Api
    ) -> None:
        await made(api)
        await a_profile(api)
        before = await previewed(api, {"profile_id": "ada"})
        assert (before["draft"], before["revision"]) == (False, 1)
        edited = a_draft(settings={"url": "https://crm.example.com/edited"})
        assert (await api.call("PUT", "/v1/destinations/crm/draft", edited)).status_code == 200
        for body, url, revision in (
            ({}, "https://crm.example.com/edited", None),
            ({"draft": True}, "https://crm.example.com/edited", None),
            ({"draft": False}, "https://crm.example.com/contacts", 1),
        ):
            answer = await previewed(api, {"profile_id": "ada", **body})
            assert (answer["mappings"][0]["request"]["url"], answer["revision"]) == (url, revision)
            assert answer["draft"] is (revision is None)

    async def test_a_draft_or_a_revision_that_is_not_there_is_a_conflict(self, api: Api) -> None:
        await made(api, publish=False)
        await a_profile(api)
        answer = await api.call("POST", "/v1/destinations/crm/preview", {"profile_id": "ada", "draft": False})
        assert (answer.status_code, answer.json()["code"]) == (409, "not_published")
        await api.post("/v1/destinations/crm/publish")
        answer = await api.call("POST", "/v1/destinations/crm/preview", {"profile_id": "ada", "draft": True})
        assert (answer.status_code, answer.json()["code"]) == (409, "no_draft")

    async def test_a_false_prerequisite_comes_first_and_refuses_every_mapping(self, api: Api) -> None:
        await made(api, prerequisite='profile@email exists AND profile@plan == "pro"')
        await a_profile(api)
        answer = await previewed(api, {"profile_id": "ada"})
        words = 'the prerequisite does not hold: profile@plan == "pro"'
        assert answer["prerequisite"] == {
            "condition": 'profile@email exists AND profile@plan == "pro"',
            "holds": False,
            "message": words,
            "error": None,
        }
        (shown,) = answer["mappings"]
        assert (shown["matched"], shown["reason"], shown["message"]) == (False, "prerequisite_false", words)
        assert shown["request"] is None

    async def test_each_mapping_says_what_refused_it(self, api: Api) -> None:
        mappings = [
            {**SIGN_UPS, "id": "other-event", "events": {"mode": "only", "names": ["left"]}},
            {**SIGN_UPS, "id": "of-segment", "users": {"mode": "segments", "segments": ["trial"]}},
            {**SIGN_UPS, "id": "of-plan", "condition": 'event@properties.plan == "pro" AND profile@age > 30'},
            {**SIGN_UPS, "id": "off", "enabled": False},
            A_MAPPING,
            SIGN_UPS,
        ]
        await made(api, mappings=mappings)
        await a_profile(api, properties={"age": 20})
        answer = await previewed(api, {"call": CALL})
        said = {each["mapping_id"]: (each["matched"], each["reason"], each["message"]) for each in answer["mappings"]}
        assert said == {
            "other-event": (False, "event_scope", "the event signed_up is not among those sent: only left"),
            "of-segment": (False, "users", "the user is in none of the segments trial"),
            "of-plan": (False, "condition", "the condition does not hold: profile@age > 30"),
            "off": (False, "disabled", "the mapping is disabled"),
            "contact": (False, "event_scope", "the mapping takes profile changes, and this is an event"),
            "sign-ups": (True, None, None),
        }

    async def test_a_call_is_of_the_stored_profile_if_there_is_one(self, api: Api) -> None:
        await made(api, mappings=[SIGN_UPS])
        answer = await previewed(api, {"call": CALL})
        assert answer["profile"] == {"id": "ada", "version": None}
        assert answer["mappings"][0]["request"]["body"] == '{"plan":"pro","email":"of-the-call@example.com"}'
        assert (answer["event"]["name"], answer["event"]["type"]) == ("signed_up", "track")
        await a_profile(api)
        answer = await previewed(api, {"call": CALL})
        assert answer["profile"] == {"id": "ada", "version": 1}
        assert answer["mappings"][0]["request"]["body"] == '{"plan":"pro","email":"ada@example.com"}'

    async def test_an_identify_call_is_tried_as_the_change_of_the_profile_that_it_is(self, api: Api) -> None:
        identifies = {**SIGN_UPS, "id": "calls", "events": {"mode": "all"}}
        await made(api, mappings=[{**A_MAPPING, "body": {"template": {"changes": "{{ changes | json }}"}}}, identifies])
        await a_profile(api, properties={"plan": "free", "age": 20})
        call = {"type": "identify", "userId": "ada", "traits": {"plan": "pro", "email": "new@example.com"}}
        answer = await previewed(api, {"call": call})
        contact, calls = answer["mappings"]
        assert (contact["matched"], calls["matched"]) == (True, True)
        news = {each["path"]: each["new"] for each in contact["changes"]}
        assert news == {
            "email": "new@example.com",
            "properties.age": 20,
            "properties.email": "new@example.com",
            "properties.plan": "pro",
        }
        assert json.loads(contact["request"]["body"])["changes"] == contact["changes"]
        assert json.loads(calls["request"]["body"]) == {"plan": "", "email": "new@example.com"}
        stored = (await api.call("GET", "/v1/profiles/ada")).json()
        assert (stored["version"], stored["email"]) == (1, "ada@example.com")

    async def test_an_identify_call_of_somebody_unknown_shows_their_first_sync(self, api: Api) -> None:
        await made(api, mappings=[A_MAPPING])
        call = {"type": "identify", "userId": "eve", "traits": {"email": "eve@example.com"}}
        answer = await previewed(api, {"call": call})
        assert answer["profile"] == {"id": "eve", "version": None}
        assert answer["mappings"][0]["matched"] is True
        assert answer["mappings"][0]["changes"] == [{"path": "properties.email", "old": None, "new": "eve@example.com"}]

    async def test_changes_are_those_since_the_last_delivery_there(self, api: Api, database: Database) -> None:
        await made(api, mappings=[{**A_MAPPING, "fields": ["email"]}])
        await a_profile(api, properties={"n": 1})
        first = await preview_of(api, {"profile_id": "ada"})
        assert first["matched"] is True
        assert {"path": "email", "old": None, "new": "ada@example.com"} in first["changes"]
        await rows(
            database,
            "insert into sync_mappings (destination_id, profile_id, mapping_id, settled_version, delivered_version,"
            " delivered_user, status) select 'crm', 'ada', 'contact', 1, 1, cast(:user as jsonb), 'delivered' returning 1",
            user=(await api.services.profiles.get("ada"))
            .as_user()
            .__repr__()
            .replace("'", '"')
            .replace("None", "null"),
        )
        await a_profile(api, properties={"n": 2})
        then = await preview_of(api, {"profile_id": "ada"})
        assert then["changes"] == [{"path": "properties.n", "old": 1, "new": 2}]
        assert (then["matched"], then["reason"], then["message"]) == (
            False,
            "fields",
            "none of these fields changed: email",
        )

    async def test_a_rendering_error_is_that_mappings_alone_and_has_its_place(self, api: Api) -> None:
        broken = {
            **A_MAPPING,
            "id": "broken",
            "body": {"format": "json", "template": {"deep": ["{{ 1 }}", "a\n{{ user.n | divided_by: 0 }}"]}},
        }
        await made(api, mappings=[broken, A_MAPPING])
        await a_profile(api, properties={"n": 1})
        answer = await previewed(api, {"profile_id": "ada"})
        failed, fine = answer["mappings"]
        assert (failed["matched"], failed["reason"], failed["request"]) == (True, "render_error", None)
        error = failed["error"]
        assert (error["code"], error["path"], error["line"]) == ("render_error", "mappings.0.body.template.deep.1", 2)
        assert fine["request"]["body"] == '{"email":"ada@example.com"}'

    async def test_a_condition_error_is_that_mappings_alone_and_has_its_place(self, api: Api) -> None:
        broken = {**A_MAPPING, "id": "broken", "condition": "profile@id exists\nAND profile@n > 'x'"}
        await made(api, mappings=[A_MAPPING, broken])
        await a_profile(api, properties={"n": 1})
        fine, failed = (await previewed(api, {"profile_id": "ada"}))["mappings"]
        assert fine["matched"] is True
        assert (failed["matched"], failed["reason"]) == (False, "condition_error")
        error = failed["error"]
        assert (error["path"], error["line"], error["column"]) == ("mappings.1.condition", 2, 5)
        assert "line 2, column 5" in failed["message"]

    async def test_a_prerequisite_that_cannot_be_evaluated_says_where(self, api: Api) -> None:
        await made(api, prerequisite="profile@n > 'x'")
        await a_profile(api, properties={"n": 1})
        answer = await previewed(api, {"profile_id": "ada"})
        assert answer["prerequisite"]["holds"] is None
        assert answer["prerequisite"]["error"]["path"] == "prerequisite"
        assert answer["mappings"][0]["reason"] == "condition_error"

    async def test_an_error_in_the_url_has_its_place_too(self, api: Api) -> None:
        await made(api, settings={"url": "https://crm.example.com/{{ user.n | divided_by: 0 }}"})
        await a_profile(api, properties={"n": 1})
        shown = await preview_of(api, {"profile_id": "ada"})
        assert (shown["reason"], shown["error"]["path"]) == ("render_error", "settings.url")

    async def test_credentials_that_cannot_be_read_are_said_and_keep_no_reason_back(
        self, api: Api, database: Database, receiver: Receiver
    ) -> None:
        off = {**A_MAPPING, "id": "off", "enabled": False}
        await made(api, **secretly(receiver, mappings=[A_MAPPING, off]))
        await a_profile(api)
        await rows(database, "update credentials set secrets = 'not ours' returning 1")
        on, disabled = (await previewed(api, {"profile_id": "ada"}))["mappings"]
        assert (on["matched"], on["reason"], on["request"]) == (True, "configuration_error", None)
        assert on["error"]["path"] == "credentials"
        assert disabled["reason"] == "disabled"

    async def test_what_no_longer_fits_its_connector_is_a_conflict_that_says_where(
        self, api: Api, database: Database
    ) -> None:
        await made(api)
        await a_profile(api)
        await rows(
            database,
            "update destination_revisions set spec = cast(jsonb_set(cast(spec as jsonb), '{settings,colour}', '1') as json) returning 1",
        )
        answer = await api.call("POST", "/v1/destinations/crm/preview", {"profile_id": "ada"})
        assert (answer.status_code, answer.json()["code"]) == (409, "destination_unusable")
        assert [error["path"] for error in answer.json()["errors"]] == ["settings.colour"]

    @pytest.mark.parametrize(
        "body",
        [
            {},
            {"profile_id": "ada", "call": CALL},
            {"call": {"type": "track", "userId": "ada"}},
            {"call": {"type": "identify"}},
            {"call": {"type": "smoke", "userId": "ada"}},
            {"profile_id": "ada", "draft": "yes"},
            {"profile_id": "ada", "colour": "red"},
        ],
    )
    async def test_what_names_not_exactly_one_subject_is_refused(self, api: Api, body: Any) -> None:
        await made(api)
        for route in ("preview", "test"):
            answer = await api.call("POST", f"/v1/destinations/crm/{route}", body)
            assert (answer.status_code, answer.json()["code"]) == (422, "invalid_input")

    async def test_what_is_not_there_is_not_found(self, api: Api) -> None:
        await made(api)
        event = {"event_id": "0198c6a0-7b5e-7c3a-8f00-5d1f0c2b7a11"}
        for route in ("preview", "test"):
            for path, body in (("crm", {"profile_id": "none"}), ("crm", event), ("none", {"call": CALL})):
                answer = await api.call("POST", f"/v1/destinations/{path}/{route}", body)
                assert (answer.status_code, answer.json()["code"]) == (404, "not_found")

    async def test_a_template_that_computes_long_delays_nobody_elses_request(self, api: Api) -> None:
        slow = "{% for a in (1..9000) %}{% for b in (1..9) %}{{ a | times: b | modulo: 7 }}{% endfor %}{% endfor %}"
        await made(api, mappings=[{**A_MAPPING, "body": {"format": "text", "template": slow}}])
        await a_profile(api)
        preview = asyncio.create_task(previewed(api, {"profile_id": "ada"}))
        answered = 0
        while not preview.done():
            assert (await api.http.get("/healthz")).status_code == 200
            answered += 1
            await asyncio.sleep(0)  # the client has no socket here, so nothing else would let the loop look around
        await preview
        assert answered > 1


class TestTest:
    async def test_it_really_sends_and_is_logged_as_a_test(self, api: Api, receiver: Receiver) -> None:
        await made(api, **secretly(receiver))
        await a_profile(api)
        answer = await sent(api, {"profile_id": "ada"})
        (shown,) = answer["mappings"]
        [request] = receiver.requests
        assert (request.json, request.headers["x-partner"]) == ({"email": "ada@example.com"}, SECRET)
        assert (shown["matched"], shown["status"], shown["outcome"], shown["reason"]) == (
            True,
            "delivered",
            "delivered",
            None,
        )
        assert (shown["response"]["status"], shown["response"]["body"]) == (200, "ok")
        assert request.key == shown["delivery_id"] == shown["request"]["headers"]["Idempotency-Key"]
        [logged] = (await api.get("/v1/deliveries", params={"kind": "test"}))["data"]
        assert (logged["id"], logged["status"], logged["workflow"]) == (shown["delivery_id"], "delivered", None)
        assert (logged["profile_id"], logged["profile_version"], logged["revision"]) == ("ada", 1, 1)
        detail = await api.get(f"/v1/deliveries/{logged['id']}")
        [attempt] = detail["attempts"]
        assert (attempt["outcome"], attempt["response"]["body"]) == ("delivered", "ok")
        assert attempt["duration_ms"] is not None

    async def test_members_go_out_in_the_order_in_which_people_wrote_them(self, api: Api, receiver: Receiver) -> None:
        written = {"zeta": "1", "alpha": {"y": "2", "b": "{{ user.id }}"}, "mid": ["x", "y"]}
        bodies = {"j": "json", "f": "form", "q": "query"}
        mappings = [{**A_MAPPING, "id": one, "body": {"format": it, "template": written}} for one, it in bodies.items()]
        await made(api, **secretly(receiver), mappings=mappings)
        await a_profile(api)
        shown = {each["mapping_id"]: each["request"] for each in (await sent(api, {"profile_id": "ada"}))["mappings"]}
        pairs = "zeta=1&alpha%5By%5D=2&alpha%5Bb%5D=ada&mid=x&mid=y"
        assert shown["j"]["body"] == '{"zeta":"1","alpha":{"y":"2","b":"ada"},"mid":["x","y"]}'
        assert shown["f"]["body"] == pairs
        assert shown["q"]["url"].endswith(f"/in?{pairs}")
        assert sorted(each.body.decode() for each in receiver.requests) == sorted(["", pairs, shown["j"]["body"]])

    async def test_what_is_sent_is_what_the_preview_showed(self, api: Api, receiver: Receiver) -> None:
        await made(api, **secretly(receiver))
        await a_profile(api)
        shown = await preview_of(api, {"profile_id": "ada"})
        (real,) = (await sent(api, {"profile_id": "ada"}))["mappings"]
        differs = {"Idempotency-Key"}
        for request in (shown["request"], real["request"]):
            request["headers"] = {name: value for name, value in request["headers"].items() if name not in differs}
        assert real["request"] == shown["request"]

    async def test_no_secret_is_answered_or_stored_not_even_when_the_receiver_quotes_it(
        self, api: Api, database: Database, receiver: Receiver
    ) -> None:
        await made(api, **secretly(receiver))
        await a_profile(api)
        receiver.then(Answer(400, {"X-Echo": SECRET}, f"bad key {SECRET}"))
        answer = await api.call("POST", "/v1/destinations/crm/test", {"profile_id": "ada"})
        assert receiver.requests[0].headers["x-partner"] == SECRET
        assert answer.json()["mappings"][0]["response"]["body"] == "bad key ***"
        assert SECRET not in answer.text
        assert SECRET not in str(await rows(database, "select * from attempts"))
        assert SECRET not in str(await rows(database, "select * from deliveries"))

    async def test_it_works_while_paused_as_a_draft_and_with_no_source(self, api: Api, receiver: Receiver) -> None:
        await made(api, publish=False, **secretly(receiver, sources=[], mappings=[SIGN_UPS]))
        await api.post("/v1/destinations/crm/pause")
        answer = await sent(api, {"call": CALL})
        assert (answer["draft"], answer["mappings"][0]["status"]) == (True, "delivered")
        assert receiver.requests[0].json == {"plan": "pro", "email": "of-the-call@example.com"}
        [logged] = (await api.get("/v1/deliveries", params={"kind": "test"}))["data"]
        assert (logged["status"], logged["revision"], logged["profile_id"]) == ("delivered", None, "ada")

    @pytest.mark.parametrize(("status", "outcome"), [(400, "definitive"), (503, "retry")])
    async def test_a_refusal_is_a_failed_test_and_is_not_retried(
        self, api: Api, receiver: Receiver, status: int, outcome: str
    ) -> None:
        await made(api, **secretly(receiver))
        await a_profile(api)
        receiver.script = lambda _: Answer(status, body="no")
        (shown,) = (await sent(api, {"profile_id": "ada"}))["mappings"]
        assert (shown["status"], shown["outcome"], shown["reason"]) == ("failed", outcome, f"http_{status}")
        assert (shown["matched"], shown["response"]["status"]) == (True, status)
        assert len(receiver.requests) == 1
        detail = await api.get(f"/v1/deliveries/{shown['delivery_id']}")
        assert (detail["status"], detail["attempts"][0]["outcome"]) == ("failed", outcome)

    async def test_a_mapping_that_does_not_match_is_logged_as_skipped_and_sends_nothing(
        self, api: Api, receiver: Receiver
    ) -> None:
        await made(api, **secretly(receiver, mappings=[{**A_MAPPING, "condition": "profile@plan exists"}, SIGN_UPS]))
        await a_profile(api)
        contact, sign_ups = (await sent(api, {"profile_id": "ada"}))["mappings"]
        assert (contact["status"], contact["outcome"], contact["reason"]) == ("skipped", "skipped", "condition")
        assert (sign_ups["status"], sign_ups["reason"]) == ("skipped", "event_scope")
        assert receiver.requests == []
        detail = await api.get(f"/v1/deliveries/{contact['delivery_id']}")
        assert (detail["kind"], detail["status"], detail["message"], detail["attempts"]) == (
            "test",
            "skipped",
            contact["message"],
            [],
        )

    async def test_a_mapping_that_does_not_render_is_logged_as_failed_and_costs_no_other(
        self, api: Api, receiver: Receiver
    ) -> None:
        broken = {**A_MAPPING, "id": "broken", "body": {"format": "json_text", "template": "{"}}
        await made(api, **secretly(receiver, mappings=[broken, A_MAPPING]))
        await a_profile(api)
        failed, fine = (await sent(api, {"profile_id": "ada"}))["mappings"]
        assert (failed["status"], failed["outcome"], failed["reason"]) == ("failed", "definitive", "render_error")
        assert failed["error"]["path"] == "mappings.0.body.template"
        assert fine["status"] == "delivered"
        detail = await api.get(f"/v1/deliveries/{failed['delivery_id']}")
        assert (detail["status"], detail["attempts"][0]["error"]["code"]) == ("failed", "render_error")

    async def test_an_address_that_is_not_allowed_is_refused_here_too(self, api: Api) -> None:
        await made(api, settings={"url": "http://169.254.169.254/latest/meta-data"})
        await a_profile(api)
        (shown,) = (await sent(api, {"profile_id": "ada"}))["mappings"]
        assert (shown["status"], shown["reason"], shown["response"]) == ("failed", "address_refused", None)

    async def test_tests_count_in_no_sync_no_reconciliation_and_no_alarm(self, api: Api, receiver: Receiver) -> None:
        await made(api, **secretly(receiver))
        receiver.script = lambda _: Answer(500)
        await sent(api, {"call": CALL})
        await api.call("PATCH", "/v1/profiles/eve", {"email": "eve@example.com"})
        await sent(api, {"profile_id": "eve"})
        assert len(receiver.requests) == 1
        counted = await api.get("/v1/reconciliation")
        assert (counted["accepted"], counted["waiting"], counted["failed"]) == (1, 1, 0)
        assert "sluice_failed_deliveries{" not in (await api.http.get("/metrics")).text
        (sync,) = (await api.get("/v1/profiles/eve/syncs"))["data"]
        assert (sync["state"], sync["delivered_version"]) == ("waiting", None)

    async def test_a_test_that_is_cut_short_leaves_a_trace(self, api: Api, receiver: Receiver) -> None:
        await made(api, **secretly(receiver))
        await a_profile(api)
        never = asyncio.Event()
        receiver.then(Answer(wait_for=never))
        test = asyncio.create_task(sent(api, {"profile_id": "ada"}))
        await receiver.received(1)
        [logged] = (await api.get("/v1/deliveries", params={"kind": "test"}))["data"]
        assert (logged["status"], logged["reason"], logged["finished_at"]) == ("failed", "unknown_outcome", None)
        detail = await api.get(f"/v1/deliveries/{logged['id']}")
        assert (detail["attempts"][0]["outcome"], detail["attempts"][0]["request"]["method"]) == ("unknown", "POST")
        never.set()
        assert (await test)["mappings"][0]["status"] == "delivered"
        assert (await api.get(f"/v1/deliveries/{logged['id']}"))["status"] == "delivered"

    async def test_the_destinations_own_timeout_ends_a_test(self, api: Api, receiver: Receiver) -> None:
        url = {"url": receiver.url, "timeout_seconds": 0.2}
        await made(api, settings=url)
        await a_profile(api)
        never = asyncio.Event()
        receiver.then(Answer(wait_for=never))
        (shown,) = (await sent(api, {"profile_id": "ada"}))["mappings"]
        assert (shown["status"], shown["outcome"], shown["response"]) == ("failed", "retry", None)
        assert "timeout" in shown["reason"]
        never.set()

    async def test_more_tests_at_once_than_there_are_places_are_told_to_come_back(
        self, api: Api, receiver: Receiver
    ) -> None:
        await made(api, **secretly(receiver))
        await a_profile(api)
        answer = asyncio.Event()
        receiver.script = lambda _: Answer(wait_for=answer)
        running = [asyncio.create_task(sent(api, {"profile_id": "ada"})) for _ in range(16)]
        await receiver.received(16)
        refused = await api.call("POST", "/v1/destinations/crm/test", {"profile_id": "ada"})
        assert (refused.status_code, refused.json()["code"]) == (429, "too_many_requests")
        assert refused.headers["retry-after"] == "5"
        answer.set()
        assert {each["mappings"][0]["status"] for each in await asyncio.gather(*running)} == {"delivered"}
        assert (await sent(api, {"profile_id": "ada"}))["mappings"][0]["status"] == "delivered"

    async def test_a_test_cannot_be_retried(self, api: Api, receiver: Receiver) -> None:
        await made(api, **secretly(receiver))
        await a_profile(api)
        receiver.script = lambda _: Answer(400)
        (shown,) = (await sent(api, {"profile_id": "ada"}))["mappings"]
        answer = await api.call("POST", f"/v1/deliveries/{shown['delivery_id']}/retry")
        assert answer.status_code == 409
