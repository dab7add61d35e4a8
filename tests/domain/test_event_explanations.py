"""What operators are told of one event in one mapping."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from domain.event_explanations import DeclaredMapping, DeliveryState, EventFate, explain_absence, explain_delivery
from domain.mapping_filters import EventFilter

SOON = datetime(2026, 1, 1, tzinfo=UTC)


def delivery(*, paused: bool = False, pause_reason: str | None = None, **changes: Any) -> EventFate:
    values: dict[str, Any] = {
        "id": "d1",
        "status": "queued",
        "reason": None,
        "message": None,
        "attempts": 0,
        "next_attempt_at": None,
        "workflow_id": None,
        "run_id": None,
        "blocker": None,
        **changes,
    }
    state = DeliveryState(**values)
    return explain_delivery(state, destination_id="crm", mapping_id="orders", paused=paused, pause_reason=pause_reason)


def absence(source_id: str = "", **changes: Any) -> tuple[str | None, str | None]:
    mapping = DeclaredMapping(**{"enabled": True, "sources": ["*"], "events": EventFilter(), **changes})
    event = {"type": "track", "name": "signed_up"}
    fate = explain_absence(mapping, event, source_id, destination_id="crm", mapping_id="orders")
    assert (fate.status, fate.delivery_id, fate.attempts) == ("not_queued", None, 0)
    return fate.reason, fate.message


def test_a_delivery_is_told_as_it_is_stored() -> None:
    fate = delivery(status="failed", reason="http_400", message="answered 400", attempts=1)
    assert (fate.status, fate.reason, fate.message, fate.attempts) == ("failed", "http_400", "answered 400", 1)
    assert delivery(reason="profile_deleted").message == "the profile was deleted"


def test_a_pause_holds_what_is_open_and_ends_its_back_off() -> None:
    held = delivery(
        paused=True, pause_reason="maintenance", status="retrying", message="answered 503", next_attempt_at=SOON
    )
    assert (held.status, held.reason, held.next_attempt_at) == ("held", "paused", None)
    assert held.message == "the destination is paused: maintenance; the last attempt: answered 503"
    assert delivery(paused=True).status == "held"


def test_a_pause_holds_neither_what_has_ended_nor_what_is_on_the_wire() -> None:
    for status in ("delivered", "skipped", "failed", "discarded", "delivering"):
        assert delivery(paused=True, status=status).status == status


def test_what_waits_behind_another_delivery_names_it() -> None:
    fate = delivery(blocker="d0")
    assert (fate.status, fate.reason) == ("queued", "behind_another")
    assert "d0" in (fate.message or "")


def test_the_blocker_does_not_wait_behind_itself() -> None:
    assert delivery(status="retrying", reason="http_503", blocker="d1").reason == "http_503"
    assert delivery(blocker="d1").reason is None


def test_what_has_ended_waits_behind_nobody() -> None:
    assert delivery(status="delivered", blocker="d0").reason is None


def test_the_first_thing_that_kept_an_event_from_a_mapping_is_told() -> None:
    only = EventFilter(mode="only", names=["bought"])
    assert absence(enabled=False, sources=[], events=only)[0] == "disabled"
    assert absence(sources=["website"], events=only)[0] == "source_not_connected"
    assert absence(events=only) == ("event_scope", only.refusal({"type": "track", "name": "signed_up"}))
    assert absence()[0] == "published_later"


def test_a_source_must_be_connected_and_the_api_counts_as_any() -> None:
    assert absence("website", sources=["shop"])[0] == "source_not_connected"
    assert absence("website", sources=["shop", "website"])[0] == "published_later"
    assert absence("website", sources=["*"])[0] == "published_later"
    assert absence("", sources=[])[0] == "source_not_connected"
