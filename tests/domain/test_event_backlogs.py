"""What the events of one profile wait for, in every state there is."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from domain.event_backlogs import Blocker, EventBacklog, explain_events
from domain.sync_explanations import SyncExplanation

LATER = datetime(2026, 1, 1, tzinfo=UTC)


def a_backlog(blocker: Blocker | None = None, **changes: Any) -> EventBacklog:
    values = {"queued": 3, "home": 0, "outage": False, "paused": False, "pause_reason": None, **changes}
    return EventBacklog(blocker=blocker, **values)


def a_blocker(**changes: Any) -> Blocker:
    values = {
        "delivery_id": "d1",
        "event_id": "e1",
        "mapping_id": "m1",
        "status": "retrying",
        "reason": "http_503",
        "message": "503 Service Unavailable",
        "attempts": 2,
        "next_attempt_at": LATER,
        "run_id": "r1",
        **changes,
    }
    return Blocker(**values)


def test_events_wait_their_turn() -> None:
    assert explain_events(a_backlog()) == SyncExplanation("waiting", None, "events wait their turn", None, None)


def test_during_an_outage_the_wait_is_explained_by_it() -> None:
    shown = explain_events(a_backlog(outage=True))
    assert (shown.state, shown.reason) == ("waiting", "outage")
    assert shown.message == "the destination does not answer; a few probing profiles are tried until it does"


def test_a_blocker_explains_what_waits_behind_it() -> None:
    shown = explain_events(a_backlog(a_blocker()))
    assert shown == SyncExplanation("retrying", "http_503", "503 Service Unavailable", None, LATER)


def test_an_attempt_under_way_is_not_held_by_a_pause() -> None:
    sending = a_blocker(status="delivering", reason=None, message=None, next_attempt_at=None)
    backlog = a_backlog(sending, paused=True)
    assert explain_events(backlog) == SyncExplanation("delivering", None, "an attempt is being made", None, None)
    assert backlog.shown() == backlog


def test_a_pause_holds_what_is_queued() -> None:
    shown = explain_events(a_backlog(paused=True, pause_reason="maintenance", outage=True))
    assert shown == SyncExplanation("held", "paused", "the destination is paused: maintenance", None, None)


def test_a_pause_holds_a_blocker_which_promises_no_attempt() -> None:
    backlog = a_backlog(a_blocker(), paused=True)
    said = "the destination is paused; the last attempt: 503 Service Unavailable"
    assert explain_events(backlog) == SyncExplanation("held", "paused", said, None, None)
    blocker = backlog.shown().blocker
    assert blocker == a_blocker(status="held", reason="paused", message=said, next_attempt_at=None)


def test_a_blocker_without_a_message_is_put_into_words() -> None:
    shown = a_backlog(a_blocker(reason="retry_requested", message=None)).shown().blocker
    assert shown is not None
    assert shown.message == "somebody asked for another attempt"
