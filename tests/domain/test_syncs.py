"""What to do next with a sync: a table of cases, one decision each."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from domain.profiles import Profile
from domain.syncs import Await, Discard, Hold, MappingProgress, Settle, Start, SyncFacts, SyncState, decide

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def facts(*progress: MappingProgress, **changes: Any) -> SyncFacts:
    deleted_at = changes.pop("profile_deleted_at", None)
    profile = Profile(id="u1", version=5, document={}, created_at=NOW, updated_at=NOW, deleted_at=deleted_at)
    values: dict[str, Any] = {
        "destination_id": "crm",
        "profile_id": "u1",
        "connector": "webhook",
        "running": True,
        "deleted": False,
        "revision": 1,
        "profile": profile,
        "wanted_version": 5,
        "state": "waiting",
        "reason": None,
        "message": None,
        "due_in_seconds": None,
        "progress": {each.mapping_id: each for each in progress},
        **changes,
    }
    return SyncFacts(**values)


def at(mapping_id: str, version: int, status: str = "delivered", **changes: Any) -> MappingProgress:
    return MappingProgress(mapping_id, version, version, None, "d1", status, **changes)


CASES = [
    ("nothing was sent yet", facts(), (), Start(("a", "b"))),
    ("the debounce is not over", facts(due_in_seconds=7.0), (), Await(7.0)),
    ("a timer fired a little early", facts(due_in_seconds=0.01), (), Start(("a", "b"))),
    ("one mapping is settled", facts(at("a", 5)), (), Start(("b",))),
    ("one is under way", facts(), ("a",), Start(("b",))),
    ("all are under way", facts(), ("a", "b"), Await(None)),
    ("the rest is under way", facts(at("a", 5)), ("b",), Await(None)),
    ("a newer change came", facts(at("a", 4), at("b", 4), due_in_seconds=3.0), (), Await(3.0)),
    (
        "what was begun goes on during a debounce",
        facts(at("a", 4, "retrying"), at("b", 4), due_in_seconds=3.0),
        (),
        Start(("a",)),
    ),
    ("all is delivered", facts(at("a", 5), at("b", 5)), (), Settle(SyncState.IDLE)),
    (
        "what was delivered is newer than wanted, so a pending debounce is moot",
        facts(at("a", 6), at("b", 6), due_in_seconds=9.0),
        (),
        Settle(SyncState.IDLE),
    ),
    (
        "one failed",
        facts(at("a", 5), at("b", 5, "failed", reason="http_400", message="400")),
        (),
        Settle(SyncState.FAILED, "http_400", "400"),
    ),
    ("one was skipped", facts(at("a", 5), at("b", 5, "skipped", reason="users")), (), Settle(SyncState.IDLE)),
    (
        "all were skipped",
        facts(at("a", 5, "skipped", reason="users", message="no"), at("b", 5, "skipped")),
        (),
        Settle(SyncState.SKIPPED, "users", "no"),
    ),
    ("it is paused", facts(running=False), (), Hold()),
    ("it is paused with a delivery under way", facts(running=False), ("a",), Hold()),
    ("the destination is gone", facts(deleted=True, running=False), (), Discard("destination_deleted")),  # type: ignore[arg-type]
    ("the profile is gone", facts(profile_deleted_at=NOW), (), Discard("profile_deleted")),  # type: ignore[arg-type]
]


@pytest.mark.parametrize(("_case", "known", "under_way", "decision"), CASES, ids=[case[0] for case in CASES])
def test_what_to_do_next(_case: str, known: SyncFacts, under_way: tuple[str, ...], decision: Any) -> None:
    assert decide(known, ["a", "b"], under_way) == decision


def test_deliver_now_skips_the_debounce() -> None:
    assert decide(facts(due_in_seconds=7.0), ["a"], (), now=True) == Start(("a",))


def test_without_a_mapping_it_is_skipped() -> None:
    assert decide(facts(), [], ()) == Settle(
        SyncState.SKIPPED, "no_mapping", "no enabled mapping takes profile changes"
    )
