"""Why a sync is where it is, and when it goes on, in every state there is."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from domain.sync_explanations import MappingState, StoredSync, SyncExplanation, explain_sync

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SOON, LATER = NOW + timedelta(minutes=1), NOW + timedelta(hours=1)


def a_sync(state: str, **changes: Any) -> StoredSync:
    blank: dict[str, Any] = {
        "reason": None,
        "message": None,
        "due_at": None,
        "next_attempt_at": None,
        "paused": False,
        "pause_reason": None,
    }
    return StoredSync(state, **{**blank, **changes})


def a_mapping(status: str, **changes: Any) -> MappingState:
    blank: dict[str, Any] = {
        "reason": None,
        "message": None,
        "delivery_id": "d1",
        "delivered_version": None,
        "next_attempt_at": None,
    }
    return MappingState(changes.pop("id", "m1"), status, **{**blank, **changes})


def test_what_waits_for_its_debounce_says_when_it_is_due() -> None:
    shown = explain_sync(a_sync("waiting", reason="debouncing", due_at=SOON))
    assert shown == SyncExplanation("waiting", "debouncing", "waits for the changes to settle", SOON, None)


def test_what_a_pause_holds_says_why_it_is_paused_and_when_it_would_be_due() -> None:
    held = a_sync("waiting", reason="debouncing", due_at=SOON, paused=True, pause_reason="CRM maintenance")
    assert explain_sync(held) == SyncExplanation(
        "held", "paused", "the destination is paused: CRM maintenance", SOON, None
    )


def test_a_held_retry_says_what_went_wrong_and_promises_no_attempt() -> None:
    held = a_sync("retrying", reason="http_503", message="503 Service Unavailable", next_attempt_at=LATER, paused=True)
    assert explain_sync(held) == SyncExplanation(
        "held", "paused", "the destination is paused; the last attempt: 503 Service Unavailable", None, None
    )


def test_an_attempt_under_way_is_not_explained_by_what_was_before_it() -> None:
    shown = explain_sync(a_sync("delivering", reason="debouncing", mappings=[a_mapping("delivering")]))
    assert shown == SyncExplanation("delivering", None, "an attempt is being made", None, None)


def test_an_attempt_under_way_is_not_held_by_a_pause() -> None:
    assert explain_sync(a_sync("delivering", paused=True, mappings=[a_mapping("delivering")])).state == "delivering"


def test_a_mapping_in_back_off_shows_although_another_ended_after_it() -> None:
    failing = a_mapping("retrying", reason="http_503", message="503", next_attempt_at=LATER)
    sync = a_sync("delivering", mappings=[failing, a_mapping("delivered", id="m2")])
    assert explain_sync(sync) == SyncExplanation("retrying", "http_503", "503", None, LATER)


def test_of_two_mappings_in_back_off_the_next_attempt_is_the_earlier_one() -> None:
    late = a_mapping("retrying", reason="http_500", message="500", next_attempt_at=LATER)
    early = a_mapping("retrying", id="m2", reason="http_503", message="503", next_attempt_at=SOON)
    sync = a_sync("retrying", reason="http_500", message="500", next_attempt_at=LATER, mappings=[late, early])
    assert explain_sync(sync) == SyncExplanation("retrying", "http_503", "503", None, SOON)


def test_a_newer_change_during_back_off_keeps_its_due_time() -> None:
    failing = a_mapping("retrying", reason="http_503", message="503", next_attempt_at=LATER)
    assert explain_sync(a_sync("retrying", due_at=SOON, mappings=[failing])).due_at == SOON


def test_what_ended_says_what_its_row_says() -> None:
    for state, reason, message in (
        ("failed", "http_400", "400 Bad Request"),
        ("skipped", "prerequisite_false", "the prerequisite does not hold: profile@email exists"),
        ("idle", None, None),
    ):
        shown = explain_sync(a_sync(state, reason=reason, message=message, paused=True))
        assert shown == SyncExplanation(state, reason, message, None, None)


def test_a_reason_without_a_message_is_put_into_words() -> None:
    assert explain_sync(a_sync("discarded", reason="profile_deleted")).message == "the profile was deleted"
    assert explain_sync(a_sync("waiting", reason="retry_requested")).message == "somebody asked for another attempt"
