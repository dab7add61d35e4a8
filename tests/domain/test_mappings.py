"""Which mapping applies to what, why not, and the differences between two profile states."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from domain.bodies import RenderedBody
from domain.changes import touches
from domain.errors import ConditionEvaluationError, ConditionSyntaxError, TemplateSyntaxError
from domain.mappings import Mapping, compile_mapping, differences
from domain.objects import UserView, scope

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
EVENT = {"name": "signed_up", "type": "track", "properties": {"plan": "pro"}}


def a_mapping(**settings: Any) -> Mapping:
    return Mapping.model_validate({"id": "m", "source": "events", "action": "send", **settings})


def a_user(**fields: Any) -> dict[str, Any]:
    return {"id": "u1", "userId": "u1", "properties": {}, "segments": [], **fields}


def refusal(mapping: Mapping, *, user: Any = None, event: Any = EVENT, changes: Any = None) -> str | None:
    data = scope(user=user or a_user(), event=event)
    found = compile_mapping(mapping).refusal(data, now=NOW, changes=changes)
    return found.code if found else None


def test_the_mapping_of_the_documentation_is_accepted() -> None:
    mapping = Mapping.model_validate(
        {
            "id": "welcome-message",
            "name": "Tell the team about sign-ups",
            "enabled": True,
            "source": "events",
            "events": {"mode": "only", "names": ["signed_up"]},
            "users": {"mode": "segments", "segments": ["trial"]},
            "condition": 'event@properties.plan == "pro"',
            "action": "post_message",
            "body": {"format": "json", "template": {"text": "{{ event.name }}"}, "omit": "none"},
        }
    )
    assert refusal(mapping, user=a_user(segments=["trial"])) is None
    assert Mapping.model_validate(mapping.model_dump()) == mapping
    assert Mapping.model_validate_json(mapping.model_dump_json()) == mapping


def test_an_id_is_made_from_the_name() -> None:
    assert Mapping(name="Tell the Team!", source="events", action="x").id == "tell-the-team"


@pytest.mark.parametrize(
    "settings",
    [
        {"id": "Not a slug"},
        {"id": ""},
        {"source": "users"},
        {"unknown": 1},
        {"events": {"mode": "only", "name": ["x"]}},
        {"users": {"mode": "vip"}},
        {"users": {"mode": "all", "segments": ["x"]}},
        {"fields": ["email"]},
        {"source": "profile", "events": {"mode": "only", "names": ["x"]}},
        {"body": {"inputs": {}, "template": {}}},
        {"action": ""},
    ],
)
def test_a_mapping_that_makes_no_sense_is_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        a_mapping(**settings)


@pytest.mark.parametrize(
    ("events", "code"),
    [
        ({"mode": "all"}, None),
        ({"mode": "only", "names": ["signed_up"]}, None),
        ({"mode": "only", "names": ["Signed_Up"]}, "event_scope"),
        ({"mode": "only", "names": []}, "event_scope"),
        ({"mode": "except", "names": ["signed_up"]}, "event_scope"),
        ({"mode": "except", "names": ["other"]}, None),
        ({"mode": "except", "names": []}, None),
    ],
)
def test_event_names_are_exact(events: dict[str, Any], code: str | None) -> None:
    assert refusal(a_mapping(events=events)) == code


def test_a_mapping_of_events_refuses_a_profile_change() -> None:
    assert refusal(a_mapping(), event=None) == "event_scope"


@pytest.mark.parametrize(
    ("users", "user", "code"),
    [
        ({"mode": "all"}, a_user(), None),
        ({"mode": "segments", "segments": ["a", "b"]}, a_user(segments=["b"]), None),
        ({"mode": "segments", "segments": ["a", "b"]}, a_user(segments=["c"]), "users"),
        ({"mode": "segments", "segments": []}, a_user(segments=["c"]), "users"),
        ({"mode": "not_segments", "segments": ["a"]}, a_user(segments=["a", "b"]), "users"),
        ({"mode": "not_segments", "segments": ["a"]}, a_user(segments=None), None),
        ({"mode": "identified"}, a_user(), None),
        ({"mode": "identified"}, a_user(userId=None, anonymousId="x"), "users"),
        ({"mode": "identified"}, a_user(userId="x", anonymousId="x"), "users"),
        ({"mode": "anonymous"}, a_user(userId=None, anonymousId="x"), None),
        ({"mode": "anonymous"}, a_user(anonymousId="x"), "users"),
    ],
)
def test_users_are_chosen_by_segment_or_identity(users: dict[str, Any], user: dict[str, Any], code: str | None) -> None:
    assert refusal(a_mapping(users=users), user=user) == code


@pytest.mark.parametrize(
    ("condition", "code"),
    [
        ('event@properties.plan == "pro"', None),
        ('event@properties.plan == "free"', "condition"),
        ("profile@email exists", "condition"),
        ('profile@fullName == "Ann" AND user@properties.fullName == "Ann"', None),
        ("  ", None),
        (None, None),
    ],
)
def test_conditions_see_event_profile_and_user(condition: str | None, code: str | None) -> None:
    assert refusal(a_mapping(condition=condition), user=a_user(properties={"fullName": "Ann"})) == code


def test_a_refusal_by_condition_names_the_part_that_was_false() -> None:
    mapping = a_mapping(condition='event@name exists AND event@properties.plan == "free"')
    found = compile_mapping(mapping).refusal(scope(user=a_user(), event=EVENT), now=NOW)
    assert found is not None
    assert 'event@properties.plan == "free"' in found.message
    assert "exists" not in found.message


def test_a_message_quotes_no_more_of_what_people_wrote_than_people_read() -> None:
    names = [f"event {n}" for n in range(1_000)]
    long = {
        "events": {"mode": "only", "names": names},
        "users": {"mode": "segments", "segments": names},
        "condition": " OR ".join(f"user@a{n} EXISTS" for n in range(400)),
    }
    for member, written in long.items():
        refused = compile_mapping(a_mapping(**{member: written})).refusal(scope(user=a_user(), event=EVENT), now=NOW)
        assert refused is not None
        assert len(refused.message) < 600
        assert "…" in refused.message


def test_errors_of_a_condition_are_never_taken_for_false() -> None:
    mapping = compile_mapping(a_mapping(condition="event@name > 1"))
    with pytest.raises(ConditionEvaluationError):
        mapping.refusal(scope(user=a_user(), event=EVENT), now=NOW)


def test_the_filters_are_asked_in_order() -> None:
    settings: dict[str, Any] = {
        "enabled": False,
        "source": "profile",
        "users": {"mode": "segments", "segments": ["a"]},
        "condition": "profile@x exists",
        "fields": ["x"],
    }
    user = a_user()
    assert refusal(a_mapping(**settings), user=user, event=None, changes=[]) == "disabled"
    settings["enabled"] = True
    assert refusal(a_mapping(**settings), user=user, event=None, changes=[]) == "users"
    user["segments"] = ["a"]
    assert refusal(a_mapping(**settings), user=user, event=None, changes=[]) == "condition"
    user["properties"] = {"x": 1}
    assert refusal(a_mapping(**settings), user=user, event=None, changes=[]) == "fields"
    changes = [{"path": "properties.x", "old": None, "new": 1}]
    assert refusal(a_mapping(**settings), user=user, event=None, changes=changes) is None
    assert refusal(a_mapping(**settings), user=user, event=None, changes=None) is None


@pytest.mark.parametrize(
    ("changed", "field", "fires"),
    [
        ("properties.email", "properties.email", True),
        ("properties.email", "properties", True),
        ("properties.address.city", "properties.address", True),
        ("properties", "properties.email", True),
        ("properties.email", "email", True),
        ("email", "email", True),
        ("properties.fullName", "fullName", True),
        ("properties.emailVerified", "properties.email", False),
        ("segments", "properties", False),
        ("computedProperties.x", "x", False),
    ],
)
def test_a_field_fires_on_a_change_at_below_or_above_it(changed: str, field: str, fires: bool) -> None:
    assert touches([{"path": changed}], [field]) is fires


def test_differences_are_true_and_by_path() -> None:
    old = {
        "email": "a@b",
        "properties": {"a": 1, "same": {"x": [1]}, "gone": {"y": 1}},
        "segments": ["a"],
        "updatedAt": "1",
    }
    new = {
        "email": "a@b",
        "properties": {"a": True, "same": {"x": [1]}, "new": {"z": 2}},
        "segments": ["b"],
        "updatedAt": "2",
    }
    assert differences(old, new) == [
        {"path": "properties.a", "old": 1, "new": True},
        {"path": "properties.gone.y", "old": 1, "new": None},
        {"path": "properties.new.z", "old": None, "new": 2},
        {"path": "segments", "old": ["a"], "new": ["b"]},
    ]


def test_without_an_old_state_everything_is_new() -> None:
    assert differences(None, {"id": "u", "email": None, "properties": {"a": {"b": 1}, "o": {}}}) == [
        {"path": "properties.a.b", "old": None, "new": 1},
        {"path": "properties.o", "old": None, "new": {}},
    ]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(0, 2) | st.sampled_from(["", "x"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=6,
)
STATES = st.fixed_dictionaries({"properties": st.dictionaries(st.sampled_from("abc"), JSON, max_size=3)})


@given(STATES, STATES)
def test_differences_mirror_each_other_and_none_is_found_in_the_same(old: dict[str, Any], new: dict[str, Any]) -> None:
    assert differences(old, old) == []
    there = [(c["path"], c["old"], c["new"]) for c in differences(old, new)]
    back = [(c["path"], c["new"], c["old"]) for c in differences(new, old)]
    assert there == back


def test_rendering_gives_a_body_or_named_inputs_or_nothing() -> None:
    data = scope(user=a_user(email="a@b.c"), event=EVENT)
    body = compile_mapping(a_mapping(body={"template": {"e": "{{ user.email }}"}})).render(data)
    assert isinstance(body, RenderedBody)
    assert body.value == {"e": "a@b.c"}
    inputs = {"email": "{{ user.email }}", "traits": {"plan?": "event@properties.plan", "x?": "event@properties.x"}}
    assert compile_mapping(a_mapping(body={"inputs": inputs})).render(data) == {
        "email": "a@b.c",
        "traits": {"plan": "pro"},
    }
    assert compile_mapping(a_mapping()).render(data) is None


def test_what_does_not_compile_says_where_in_the_mapping() -> None:
    with pytest.raises(TemplateSyntaxError) as template:
        compile_mapping(a_mapping(body={"inputs": {"email": "{{ user.email"}}), path="mappings.0")
    assert template.value.path == "mappings.0.body.inputs.email"
    with pytest.raises(ConditionSyntaxError) as condition:
        compile_mapping(a_mapping(condition="profile@a ==="), path="mappings.0")
    assert condition.value.details[0].path == "mappings.0.condition"


def test_the_user_is_looked_up_in_its_properties_too() -> None:
    view = UserView({"id": "u", "email": None, "properties": {"email": "p@x", "id": "no", "data": {"a": 1}}})
    assert (view["id"], view["email"], view["data"]) == ("u", "p@x", {"a": 1})
    assert "data" in view
    assert "segments" not in view
    assert UserView({"email": "top@x", "properties": {"email": "p@x"}})["email"] == "top@x"
    assert dict(view) == {"id": "u", "email": "p@x", "properties": view["properties"]}
