"""Calls as services send them: what is taken, what is refused, and that one bad call costs only itself."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

import httpx
import pytest

from api.calls import MAX_BATCH_BYTES, MAX_BATCH_CALLS, MAX_EXPANDED_BYTES
from domain.calls import MAX_CALL_BYTES
from storage.database import Database
from tests.api.conftest import Api
from tests.api.test_problems import assert_problem
from tests.storage.builders import rows

A_TRACK: dict[str, Any] = {"userId": "ada", "event": "signed_up", "properties": {"plan": "pro"}}


def a_call(kind: str = "track", **changes: Any) -> dict[str, Any]:
    own = {"event": "signed_up"} if kind == "track" else {}
    return {"type": kind, "userId": "ada", **own, **changes}


async def tracked(api: Api, body: Any = None, *, status: int = 200, **changes: Any) -> Any:
    return await api.post("/v1/track", {**A_TRACK, **changes} if body is None else body, status=status, key="ingest")


async def batched(api: Api, *calls: Any, status: int = 200, **around: Any) -> Any:
    return await api.post("/v1/batch", {"batch": list(calls), **around}, status=status, key="ingest")


async def sent_as(api: Api, path: str, content: bytes) -> httpx.Response:
    headers = {"Authorization": f"Bearer {api.keys['ingest']}", "Content-Type": "application/json"}
    return await api.http.post(path, content=content, headers=headers)


async def stored(database: Database) -> list[dict[str, Any]]:
    query = "select id, type, name, profile_id, message_id, source_id, event from events order by sequence"
    return await rows(database, query)


def refusals(answer: Any) -> dict[int, str]:
    return {each["index"]: each["code"] for each in answer["refused"]}


class TestTrack:
    async def test_a_call_is_an_event_under_the_id_of_the_answer(self, api: Api, database: Database) -> None:
        answer = await tracked(api)
        [event] = await stored(database)
        assert answer == {"success": True, "id": event["id"]}
        assert (event["type"], event["name"], event["profile_id"], event["source_id"]) == (
            "track",
            "signed_up",
            "ada",
            "",
        )
        assert event["message_id"] == event["event"]["messageId"] == event["id"]
        assert event["event"]["properties"] == {"plan": "pro"}

    async def test_a_message_that_was_here_before_is_a_success_with_no_new_event(
        self, api: Api, database: Database
    ) -> None:
        first = await tracked(api, messageId="m1")
        again = await tracked(api, messageId="m1", event="something_else")
        assert again == {"success": True, "duplicate": True, "id": None}
        assert [event["id"] for event in await stored(database)] == [first["id"]]

    async def test_the_type_may_be_said_and_must_be_track_then(self, api: Api) -> None:
        await tracked(api, type="track")
        await tracked(api, type=None)
        answer = await api.call("POST", "/v1/track", {**A_TRACK, "type": "page"})
        body = assert_problem(answer, 422, "invalid_input")
        assert body["errors"][0]["path"] == "type"

    @pytest.mark.parametrize(
        ("changes", "path"),
        [
            ({"userId": None}, ""),
            ({"userId": ""}, "userId"),
            ({"userId": {"id": 1}}, "userId"),
            ({"userId": "a\nb"}, "userId"),
            ({"userId": "x" * 201}, "userId"),
            ({"userId": True}, "userId"),
            ({"anonymousId": []}, "anonymousId"),
            ({"event": None}, ""),
            ({"event": ""}, "event"),
            ({"event": ["x"]}, "event"),
            ({"event": "x" * 301}, "event"),
            ({"properties": []}, "properties"),
            ({"properties": "x"}, "properties"),
            ({"context": 1}, "context"),
            ({"traits": [1]}, "traits"),
            ({"messageId": {}}, "messageId"),
            ({"messageId": "x" * 301}, "messageId"),
            ({"timestamp": {}}, "timestamp"),
            ({"type": "smoke"}, "type"),
            ({"type": 7}, "type"),
        ],
    )
    async def test_what_is_no_call_is_refused_with_its_path(
        self, api: Api, database: Database, changes: dict[str, Any], path: str
    ) -> None:
        answer = await api.call("POST", "/v1/track", {**A_TRACK, **changes})
        assert path in [error["path"] for error in assert_problem(answer, 422, "invalid_input")["errors"]]
        assert await stored(database) == []

    @pytest.mark.parametrize("body", [b"[]", b'"x"', b"null", b"7", b""])
    async def test_what_is_no_object_is_refused(self, api: Api, body: bytes) -> None:
        answer = await sent_as(api, "/v1/track", body)
        assert answer.status_code in (400, 422)
        assert_problem(answer, answer.status_code, answer.json()["code"])

    @pytest.mark.parametrize("value", [b"NaN", b"Infinity", b"1e999", b'{"a": 1, "a": 2}', b"tru"])
    async def test_what_is_no_json_is_a_bad_request(self, api: Api, value: bytes) -> None:
        answer = await sent_as(api, "/v1/track", b'{"userId": "ada", "event": "x", "properties": {"n": %b}}' % value)
        assert_problem(answer, 400, "bad_request")

    async def test_null_is_absence_and_members_that_sdks_add_are_let_pass(self, api: Api, database: Database) -> None:
        await tracked(
            api,
            anonymousId=None,
            properties=None,
            context=None,
            traits=None,
            messageId=None,
            timestamp=None,
            sentAt=None,
            originalTimestamp=None,
            integrations=None,
            writeKey="w",
            _metadata={"bundled": []},
        )
        [event] = await stored(database)
        assert (event["event"]["anonymousId"], event["event"]["properties"]) == (None, {})

    async def test_a_call_may_have_32_kilobytes_and_no_more(self, api: Api) -> None:
        def of(size: int) -> bytes:
            empty = json.dumps({**A_TRACK, "properties": {"x": ""}}).encode()
            return empty.replace(b'"x": ""', b'"x": "%b"' % (b"y" * (size - len(empty))))

        assert len(of(MAX_CALL_BYTES)) == MAX_CALL_BYTES == 32_768
        assert (await sent_as(api, "/v1/track", of(MAX_CALL_BYTES))).status_code == 200
        assert_problem(await sent_as(api, "/v1/track", of(MAX_CALL_BYTES + 1)), 413, "too_large")

    async def test_somebody_new_is_made_with_the_anonymous_id(self, api: Api) -> None:
        await tracked(api, userId=None, anonymousId="a-1")
        await tracked(api, userId="bob", anonymousId="a-1", traits={"plan": "pro"})
        assert (await api.get("/v1/profiles/a-1"))["anonymousId"] == "a-1"
        bob = await api.get("/v1/profiles/bob")
        assert (bob["anonymousId"], bob["properties"], bob["version"]) == ("a-1", {}, 1)

    async def test_a_time_by_a_clock_that_is_wrong_is_put_right(self, api: Api, database: Database) -> None:
        await tracked(
            api,
            timestamp="2001-01-01T00:00:00Z",
            originalTimestamp="2001-01-01T00:00:00Z",
            sentAt="2001-01-01T02:00:00Z",
        )
        await tracked(api, timestamp="2001-01-01T00:00:00Z", originalTimestamp="2001-01-01T00:00:00Z", sentAt={"x": 1})
        corrected, unread = [event["event"]["timestamp"] for event in await stored(database)]
        [moment] = await rows(database, "select min(received_at) as at from events")
        behind = datetime.fromisoformat(moment["at"]) - datetime.fromisoformat(corrected)
        assert 7190 < behind.total_seconds() < 7800  # two hours, and what the request takes
        assert unread == "2001-01-01T00:00:00Z"


class TestBatch:
    async def test_calls_of_every_type_are_stored_in_their_order(self, api: Api, database: Database) -> None:
        answer = await batched(
            api,
            a_call("identify", traits={"plan": "pro"}),
            a_call("track"),
            a_call("page", name="Home", category="Shop"),
            a_call("screen", name="Start"),
            a_call("group", groupId="g1", traits={"seats": 3}),
            a_call("alias", previousId="a-1"),
        )
        assert answer == {"success": True, "accepted": 6, "duplicates": 0, "refused": []}
        events = await stored(database)
        assert [(event["type"], event["name"]) for event in events] == [
            ("identify", None),
            ("track", "signed_up"),
            ("page", "Home"),
            ("screen", "Start"),
            ("group", None),
            ("alias", None),
        ]
        assert [events[n]["event"][name] for n, name in ((2, "category"), (4, "groupId"), (5, "previousId"))] == [
            "Shop",
            "g1",
            "a-1",
        ]
        assert (await api.get("/v1/profiles/ada"))["properties"] == {"plan": "pro"}

    async def test_an_identify_changes_the_profile(self, api: Api) -> None:
        await api.call("PATCH", "/v1/profiles/ada", {"email": "old@example.com", "properties": {"nick": "A"}})
        await batched(
            api,
            a_call("identify", anonymousId="a-1", traits={"email": "new@example.com", "nick": None}),
            a_call("identify", context={"traits": {"plan": "pro"}}),
        )
        ada = await api.get("/v1/profiles/ada")
        assert (ada["email"], ada["anonymousId"]) == ("new@example.com", "a-1")
        assert ada["properties"] == {"email": "new@example.com", "plan": "pro"}

    async def test_an_identify_that_says_nothing_new_makes_no_version(self, api: Api, database: Database) -> None:
        await api.call("PATCH", "/v1/profiles/ada", {"email": "ada@example.com"})
        await batched(api, a_call("identify"), a_call("identify", traits={}, context={"traits": None}))
        assert (await api.get("/v1/profiles/ada"))["version"] == 1
        assert len(await stored(database)) == 2

    async def test_one_malformed_call_never_costs_the_others(self, api: Api, database: Database) -> None:
        answer = await batched(
            api,
            a_call(messageId="first"),
            "no call",
            None,
            [],
            {},
            a_call(userId=None),
            a_call(type=None),
            a_call(properties=[]),
            a_call(event=None),
            a_call(messageId="last"),
        )
        assert (answer["accepted"], answer["duplicates"]) == (2, 0)
        assert refusals(answer) == dict.fromkeys(range(1, 9), "invalid_input")
        assert all(each["message"] for each in answer["refused"])
        assert [event["message_id"] for event in await stored(database)] == ["first", "last"]

    async def test_the_refusal_says_where_the_mistake_is(self, api: Api) -> None:
        [refused] = (await batched(api, a_call(properties=[])))["refused"]
        assert refused == {
            "index": 0,
            "code": "invalid_input",
            "message": "properties: Input should be a valid dictionary",
        }

    @pytest.mark.parametrize(
        ("value", "code"),
        [
            (b"NaN", "bad_request"),
            (b"-Infinity", "bad_request"),
            (b"1e999", "bad_request"),
            (b'{"a": 1, "a": 2}', "bad_request"),
            (b"9" * 5000, "bad_request"),
            (rb'"\u0000"', "invalid_input"),
            (rb'"\ud800"', "invalid_input"),
            (rb'{"\u0000": 1}', "invalid_input"),
            (b"[" * 40 + b"]" * 40, "invalid_input"),
        ],
    )
    async def test_json_that_cannot_be_kept_costs_only_its_own_call(
        self, api: Api, database: Database, value: bytes, code: str
    ) -> None:
        good = json.dumps(a_call(properties={"ä": "\U0001f600", "n": 10**30, "x": 1.5})).encode()
        bad = b'{"type": "track", "event": "x", "userId": "ada", "properties": {"n": %b}}' % value
        body = b'{"batch": [%b, %b, %b], "sentAt": "2026-01-01T00:00:00Z"}' % (good, bad, good)
        answer = await sent_as(api, "/v1/batch", body)
        assert answer.status_code == 200, answer.text
        assert (answer.json()["accepted"], refusals(answer.json())) == (2, {1: code})
        kept = [event["event"]["properties"] for event in await stored(database)]
        assert kept == [{"ä": "\U0001f600", "n": 10**30, "x": 1.5}] * 2

    @pytest.mark.parametrize(
        "body",
        [
            b"{",
            b"\xff",
            b'{"batch": [], "x": NaN}',
            b'{"batch": [], "batch": []}',
            b'{"batch": [{}], "sentAt": tru}',
            b"[" * 100_000,
        ],
    )
    async def test_a_body_that_cannot_be_read_is_refused_as_a_whole(self, api: Api, body: bytes) -> None:
        answer = await sent_as(api, "/v1/batch", body)
        assert answer.status_code in (400, 422)
        assert_problem(answer, answer.status_code, answer.json()["code"])

    @pytest.mark.parametrize(
        ("body", "path"),
        [
            ({}, "batch"),
            ({"batch": None}, "batch"),
            ({"batch": {"0": A_TRACK}}, "batch"),
            ({"batch": "x"}, "batch"),
            ({"batch": [], "context": []}, "context"),
            ([A_TRACK], ""),
            ("x", ""),
        ],
    )
    async def test_what_is_no_batch_is_refused(self, api: Api, body: Any, path: str) -> None:
        answer = await api.call("POST", "/v1/batch", body)
        assert path in [error["path"] for error in assert_problem(answer, 422, "invalid_input")["errors"]]

    async def test_a_batch_may_be_empty(self, api: Api) -> None:
        assert await batched(api) == {"success": True, "accepted": 0, "duplicates": 0, "refused": []}

    async def test_a_message_counts_once_within_a_batch_and_across_batches(self, api: Api, database: Database) -> None:
        first = await batched(api, a_call(messageId="m1", event="one"), a_call(messageId="m1", event="two"))
        assert (first["accepted"], first["duplicates"]) == (1, 1)
        again = await batched(api, a_call(messageId="m1"), a_call(messageId="m2"))
        assert (again["accepted"], again["duplicates"]) == (1, 1)
        assert [event["name"] for event in await stored(database)] == ["one", "signed_up"]

    async def test_2500_calls_are_taken_and_2501_are_not(self, api: Api, database: Database) -> None:
        calls = [a_call(userId=f"u{number % 50}") for number in range(MAX_BATCH_CALLS + 1)]
        answer = await api.call("POST", "/v1/batch", {"batch": calls})
        assert "2501" in assert_problem(answer, 413, "too_large")["message"]
        assert await stored(database) == []
        assert (await batched(api, *calls[:-1]))["accepted"] == MAX_BATCH_CALLS == 2_500

    async def test_a_batch_of_more_than_500_kilobytes_is_refused(self, api: Api, database: Database) -> None:
        calls = [a_call(properties={"x": "y" * 30_000}) for _ in range(18)]
        body = json.dumps({"batch": calls}).encode()
        assert len(body) > MAX_BATCH_BYTES == 512_000
        assert_problem(await sent_as(api, "/v1/batch", body), 413, "too_large")
        assert await stored(database) == []

    async def test_a_call_of_more_than_32_kilobytes_costs_only_itself(self, api: Api, database: Database) -> None:
        answer = await batched(api, a_call(), a_call(properties={"x": "y" * MAX_CALL_BYTES}), a_call())
        assert (answer["accepted"], refusals(answer)) == (2, {1: "too_large"})
        assert len(await stored(database)) == 2

    async def test_characters_beyond_ascii_count_in_bytes(self, api: Api) -> None:
        answer = await batched(api, a_call(), a_call(properties={"x": "ä" * 20_000}))
        assert refusals(answer) == {1: "too_large"}

    async def test_the_context_of_the_batch_is_beneath_that_of_each_call(self, api: Api, database: Database) -> None:
        shared = {"library": {"name": "shop"}, "locale": "de"}
        await batched(
            api,
            a_call(),
            a_call(context={"locale": "en", "ip": "10.0.0.1"}),
            a_call(context=None),
            context=shared,
        )
        assert [event["event"]["context"] for event in await stored(database)] == [
            shared,
            {"library": {"name": "shop"}, "locale": "en", "ip": "10.0.0.1"},
            shared,
        ]

    async def test_a_small_batch_cannot_store_a_large_context_many_times(self, api: Api, database: Database) -> None:
        context = {"x": "y" * 20_000}
        calls = [a_call() for _ in range(MAX_EXPANDED_BYTES // 20_000 + 1)]
        answer = await api.call("POST", "/v1/batch", {"batch": calls, "context": context})
        assert "context" in assert_problem(answer, 413, "too_large")["message"]
        answer = await batched(api, a_call(), context={"x": "y" * MAX_CALL_BYTES})
        assert refusals(answer) == {0: "too_large"}
        assert await stored(database) == []

    async def test_the_batch_says_when_its_calls_were_sent(self, api: Api, database: Database) -> None:
        await batched(
            api,
            a_call(originalTimestamp="2001-01-01T00:00:00Z"),
            a_call(timestamp="2001-01-01T00:00:00Z"),
            sentAt="2001-01-01T00:00:01Z",
        )
        corrected, plain = [event["event"]["timestamp"] for event in await stored(database)]
        assert corrected > "2026"
        assert plain == "2001-01-01T00:00:00Z"

    async def test_a_profile_that_would_grow_too_large_costs_only_its_own_calls(
        self, api: Api, database: Database
    ) -> None:
        for name, size in (("a", 200_000), ("b", 50_000)):
            answer = await api.call("PATCH", "/v1/profiles/large", {"properties": {name: "x" * size}})
            assert answer.status_code == 200
        answer = await batched(
            api,
            a_call(messageId="before"),
            a_call("identify", userId="large", traits={"c": "x" * 20_000}),
            a_call("track", userId="large"),
            a_call("identify", userId="bob", traits={"plan": "pro"}),
        )
        assert (answer["accepted"], refusals(answer)) == (2, {1: "too_large", 2: "too_large"})
        assert [event["profile_id"] for event in await stored(database)] == ["ada", "bob"]
        assert (await api.get("/v1/profiles/bob"))["properties"] == {"plan": "pro"}

    async def test_members_that_sdks_add_are_let_pass(self, api: Api) -> None:
        answer = await batched(
            api,
            a_call(anonymousId=None, integrations=None),
            a_call(integrations={"All": True}, channel="server", version="1"),
            sentAt=None,
            context=None,
            integrations=None,
            writeKey="w",
        )
        assert answer["accepted"] == 2
