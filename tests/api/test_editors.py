"""What editors ask over HTTP: is this condition sound, what does this template make?"""

from __future__ import annotations

from typing import Any

import pytest

from storage.database import Database
from storage.profile_samples import SAMPLED, ProfileSamples
from tests.api.conftest import Api
from tests.api.test_previews import CALL
from tests.storage.builders import rows


async def validated(api: Api, condition: str, **body: Any) -> Any:
    return await api.post("/v1/conditions/validate", {"condition": condition, **body}, key="operate")


async def rendered(api: Api, **body: Any) -> Any:
    return await api.post("/v1/templates/render", {"call": CALL, **body}, key="operate")


class TestConditions:
    async def test_a_sound_condition_is_shown_in_its_one_form_with_its_paths(self, api: Api) -> None:
        answer = await validated(api, 'profile@plan = "pro"   and event@name exists')
        assert answer == {
            "valid": True,
            "canonical": 'profile@plan == "pro" AND event@name EXISTS',
            "paths": ["profile@plan", "event@name"],
            "errors": [],
            "warnings": [],
            "looked_at": {"profiles": 0, "complete": True},
        }

    async def test_a_mistake_has_its_line_and_column(self, api: Api) -> None:
        answer = await validated(api, "profile@a exists\nAND profile@b ===")
        assert (answer["valid"], answer["canonical"], answer["warnings"]) == (False, None, [])
        (error,) = answer["errors"]
        assert (error["line"], error["column"] > 1, bool(error["message"])) == (2, True, True)

    async def test_only_the_sources_that_are_named_may_be_read(self, api: Api) -> None:
        assert (await validated(api, "event@name exists"))["valid"] is True
        assert (await validated(api, "event@name exists", sources=["profile"]))["valid"] is False

    async def test_advice_says_what_it_rests_on(self, api: Api) -> None:
        await api.call(
            "PATCH", "/v1/profiles/ada", {"email": "a@example.com", "properties": {"age": "30", "tags": [{"n": 1}]}}
        )
        answer = await validated(
            api,
            "profile@id exists AND profile@age > 3 AND profile@email exists AND profile@tags.0.n == 1 AND profile@paln empty",
        )
        assert answer["looked_at"] == {"profiles": 1, "complete": True}
        said = [(each["code"], each["path"]) for each in answer["warnings"]]
        assert said == [("never_false", ""), ("type_mismatch", "profile@age"), ("unknown_path", "profile@paln")]
        assert {each["line"] for each in answer["warnings"]} == {1}

    async def test_what_a_deleted_profile_had_does_not_count(self, api: Api) -> None:
        await api.call("PATCH", "/v1/profiles/eve", {"properties": {"plan": "pro"}})
        await api.call("DELETE", "/v1/profiles/eve")
        await api.call("PATCH", "/v1/profiles/ada", {"email": "a@example.com"})
        answer = await validated(api, "profile@plan exists")
        assert [each["code"] for each in answer["warnings"]] == ["unknown_path"]
        assert answer["looked_at"]["profiles"] == 1

    async def test_of_many_profiles_some_are_looked_at(self, api: Api, database: Database) -> None:
        await rows(
            database,
            'insert into profiles (id, version, document) select \'p\' || n, 1, \'{"properties": {"plan": "pro"}}\''
            " from generate_series(1, 20000) n returning 1",
        )
        await rows(database, "select 1")
        async with database.statement() as connection:
            await connection.exec_driver_sql("analyze profiles")
        answer = await validated(api, "profile@plan exists AND profile@nope exists")
        assert 0 < answer["looked_at"]["profiles"] <= SAMPLED
        assert answer["looked_at"]["complete"] is False
        assert [each["path"] for each in answer["warnings"]] == ["profile@nope"]

    async def test_a_look_that_takes_too_long_is_given_up_and_advises_nothing(
        self, api: Api, database: Database, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await api.call("PATCH", "/v1/profiles/ada", {"email": "a@example.com"})
        monkeypatch.setattr("storage.profile_samples.LOOK_UP_MS", 100)
        async with database.transaction() as holder:
            await holder.exec_driver_sql("lock table profiles in access exclusive mode")
            assert await ProfileSamples(database).look_up([("properties", "nope")]) is None
            answer = await validated(api, "profile@nope exists")
        assert (answer["valid"], answer["warnings"], answer["looked_at"]) == (True, [], None)

    @pytest.mark.parametrize(
        "body",
        [{}, {"condition": "a" * 10_001}, {"condition": "x", "sources": ["trait"]}, {"condition": "x", "sources": []}],
    )
    async def test_what_is_no_question_is_refused(self, api: Api, body: Any) -> None:
        answer = await api.call("POST", "/v1/conditions/validate", body)
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_input")


class TestTemplates:
    async def test_a_body_is_rendered_as_it_would_be_sent(self, api: Api) -> None:
        body = {"format": "json", "template": {"plan": "{{ event.properties.plan }}", "who": "{{ user.email }}"}}
        answer = await rendered(api, body=body)
        assert answer == {
            "value": {"plan": "pro", "who": "of-the-call@example.com"},
            "content": '{"plan":"pro","who":"of-the-call@example.com"}',
            "content_type": "application/json",
            "query": [],
            "error": None,
        }

    async def test_a_query_and_named_inputs_are_rendered_too(self, api: Api) -> None:
        answer = await rendered(api, body={"format": "query", "template": {"a": "{{ user.id }}"}})
        assert (answer["query"], answer["content"]) == ([["a", "ada"]], None)
        assert (await rendered(api, body={"inputs": {"n": "{{ 1 | json }}"}}))["value"] == {"n": 1}

    @pytest.mark.parametrize(
        ("how", "value"),
        [("leaf", {"plan": "pro"}), ("text", '{"plan": "pro"}'), ("url", "%7B%22plan%22%3A%20%22pro%22%7D")],
    )
    async def test_one_text_is_rendered_as_what_it_is_for(self, api: Api, how: str, value: Any) -> None:
        answer = await rendered(api, template="{{ event.properties | json }}", **{"as": how})
        assert answer["value"] == value

    async def test_a_stored_profile_may_be_what_it_is_rendered_for(self, api: Api) -> None:
        await api.call("PATCH", "/v1/profiles/ada", {"email": "ada@example.com"})
        body = {"template": "{{ user.email }}", "profile_id": "ada"}
        assert (await api.post("/v1/templates/render", body))["value"] == "ada@example.com"
        missing = await api.call("POST", "/v1/templates/render", {**body, "profile_id": "none"})
        assert missing.status_code == 404

    async def test_a_mistake_has_its_place(self, api: Api) -> None:
        body = {"format": "json", "template": {"a": ["x\n{{ user.id | nonesuch }}"]}}
        error = (await rendered(api, body=body))["error"]
        assert (error["code"], error["path"], error["line"]) == ("template_syntax_error", "body.template.a.0", 2)

    async def test_a_failure_has_its_place(self, api: Api) -> None:
        answer = await rendered(api, template="a\n{{ 1 | divided_by: 0 }}")
        error = answer["error"]
        assert (error["code"], error["path"], error["line"], answer["value"]) == ("render_error", "template", 2, None)
        header = await rendered(api, template="a{{ '\n' }}b", **{"as": "header"})
        assert header["error"]["code"] == "render_error"

    async def test_half_a_surrogate_pair_is_shown_as_what_utf_8_can_hold(self, api: Api) -> None:
        answer = await rendered(api, body={"format": "json_text", "template": '{"a": "x\\ud800"}'})
        assert (answer["value"], answer["error"]) == ({"a": "x?"}, None)

    async def test_a_template_stays_within_its_limits(self, api: Api) -> None:
        answer = await rendered(api, template="{% for i in (1..100000) %}x{% endfor %}")
        assert answer["error"]["code"] == "render_error"

    @pytest.mark.parametrize(
        "body",
        [
            {},
            {"template": "x", "body": {"format": "text", "template": "x"}},
            {"template": "x", "as": "smoke"},
            {"body": {}},
        ],
    )
    async def test_what_is_not_one_template_is_refused(self, api: Api, body: Any) -> None:
        answer = await api.call("POST", "/v1/templates/render", {"call": CALL, **body})
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_input")
