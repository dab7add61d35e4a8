"""What a call becomes when it is taken."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from domain.calls import Call, event_of
from domain.events import IncomingEvent
from domain.incoming import incoming

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def taken(**changes: Any) -> IncomingEvent:
    call = Call.model_validate({"type": "track", "event": "signed_up", "userId": "ada", **changes})
    return incoming(call, id="e1", now=NOW)


def test_it_carries_the_object_that_templates_see() -> None:
    call = Call.model_validate({"type": "page", "name": "Home", "userId": "ada"})
    assert incoming(call, id="e1", now=NOW).event == event_of(call, message_id="e1", now=NOW)


def test_the_message_is_named_by_the_call_or_by_the_event() -> None:
    assert (taken().message_id, taken(messageId="").message_id, taken(messageId="m").message_id) == ("e1", "e1", "m")
    assert taken(messageId="m").event["messageId"] == "m"


def test_only_identify_changes_the_profile() -> None:
    traits = {"plan": "pro"}
    for kind in ("track", "page", "screen", "group", "alias"):
        assert taken(type=kind, traits=traits).patch == {}
    assert taken(type="identify", traits=traits).patch == {"properties": traits}


def test_an_identify_that_names_both_ids_ties_them_together() -> None:
    assert taken(type="identify", anonymousId="a").patch == {"anonymousId": "a"}
    assert taken(type="identify", userId=None, anonymousId="a").patch == {}
    assert taken(type="identify").patch == {}


def test_somebody_new_is_made_of_the_anonymous_id() -> None:
    assert taken(userId=None, anonymousId="a").document == {"anonymousId": "a"}
    assert taken(anonymousId="a").document == {"anonymousId": "a"}
    assert taken().document == {}


def test_the_event_says_when_it_happened_by_our_clock() -> None:
    clock = {"originalTimestamp": "2001-01-01T00:00:00Z", "sentAt": "2001-01-01T00:00:10Z"}
    assert taken(**clock, timestamp="2001-01-01T00:00:00Z").event["timestamp"] == "2025-12-31T23:59:50+00:00"
    assert taken(timestamp="2001-01-01T00:00:00Z", sentAt="2001-01-01T00:00:10Z").event["timestamp"] == (
        "2001-01-01T00:00:00Z"
    )


def test_what_only_some_calls_have_is_kept_where_they_have_it() -> None:
    assert taken(type="group", groupId=7).event["groupId"] == "7"
    assert not {"groupId", "previousId", "category"} & taken().event.keys()
