"""Calls of the Segment spec, and what conditions and templates see of them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import ValidationError

from domain.calls import Call, event_of, identified, user_of

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def a_call(**changes: Any) -> Call:
    return Call.model_validate({"type": "track", "event": "signed_up", "userId": "ada", **changes})


def test_the_name_of_a_track_call_is_its_event_and_of_a_page_its_own() -> None:
    assert event_of(a_call(), message_id="m", now=NOW)["name"] == "signed_up"
    assert event_of(a_call(type="page", name="Home"), message_id="m", now=NOW)["name"] == "Home"
    assert event_of(a_call(type="identify"), message_id="m", now=NOW)["name"] is None


def test_what_a_call_does_not_say_is_filled_in_and_what_it_says_stays() -> None:
    bare = event_of(a_call(), message_id="m", now=NOW)
    assert (bare["messageId"], bare["timestamp"]) == ("m", NOW.isoformat())
    assert (bare["properties"], bare["context"], bare["traits"], bare["anonymousId"]) == ({}, {}, {}, None)
    full = event_of(a_call(messageId="own", timestamp="2020-01-01T00:00:00Z"), message_id="m", now=NOW)
    assert (full["messageId"], full["timestamp"]) == ("own", "2020-01-01T00:00:00Z")


def test_traits_may_come_in_the_context_alone() -> None:
    call = a_call(context={"traits": {"email": "c@example.com", "plan": "pro"}}, traits={"email": "t@example.com"})
    assert call.all_traits == {"email": "t@example.com", "plan": "pro"}
    assert user_of(call, now=NOW)["properties"] == {"email": "t@example.com", "plan": "pro"}
    assert a_call(context={"traits": "none"}).all_traits == {}


def test_an_identify_call_patches_the_properties_and_leaves_the_rest() -> None:
    document = {"segments": ["trial"], "properties": {"plan": "free", "nick": "A", "address": {"city": "Wien"}}}
    traits = {"plan": "pro", "nick": None, "address": {"zip": "1010", "street": None}}
    assert identified(document, traits) == {
        "segments": ["trial"],
        "properties": {"plan": "pro", "address": {"city": "Wien", "zip": "1010"}},
    }
    assert document["properties"] == {"plan": "free", "nick": "A", "address": {"city": "Wien"}}


def test_an_email_among_the_traits_is_the_profiles_own_from_then_on() -> None:
    traits = {"email": "new@example.com"}
    assert identified({"email": "old@example.com"}, traits)["email"] == "new@example.com"
    assert identified({}, traits) == {"properties": traits}


def test_a_null_among_the_traits_of_somebody_unknown_is_no_property() -> None:
    assert user_of(a_call(traits={"plan": None, "age": 3}), now=NOW)["properties"] == {"age": 3}


def test_somebody_anonymous_goes_by_their_anonymous_id() -> None:
    call = a_call(userId=None, anonymousId="anon-1")
    user = user_of(call, now=NOW)
    assert (user["id"], user["anonymousId"]) == ("anon-1", "anon-1")


def test_ids_that_are_numbers_become_text_and_unknown_members_pass() -> None:
    call = a_call(userId=7, integrations={"All": True}, _metadata={}, anonymousId=None)
    assert (call.userId, call.profile_id) == ("7", "7")


@pytest.mark.parametrize("changes", [{"userId": None}, {"event": None}, {"type": "smoke"}, {"properties": []}])
def test_what_is_no_call_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        a_call(**changes)
