"""Why a sync is where it is, and when it goes on: what operators are told of the stored row and its mappings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from domain.deliveries import DeliveryStatus, Reason
from domain.reasons import held_words, words
from domain.syncs import SyncState


@dataclass(frozen=True, slots=True)
class MappingState:
    """One mapping's newest delivery of the profile. `next_attempt_at` while it waits for another attempt."""

    mapping_id: str
    status: str
    reason: str | None
    message: str | None
    delivery_id: str | None
    delivered_version: int | None
    next_attempt_at: datetime | None


@dataclass(frozen=True, slots=True)
class StoredSync:
    """`paused`: the destination is, and was not deleted since."""

    state: str
    reason: str | None
    message: str | None
    due_at: datetime | None
    next_attempt_at: datetime | None
    paused: bool
    pause_reason: str | None
    mappings: Sequence[MappingState] = ()


@dataclass(frozen=True, slots=True)
class SyncExplanation:
    """`due_at`: when a change that waits for its debounce goes out, if nothing comes after it; `next_attempt_at`: a retry."""

    state: str
    reason: str | None
    message: str | None
    due_at: datetime | None
    next_attempt_at: datetime | None


def explain_sync(sync: StoredSync) -> SyncExplanation:
    """In the words of deliveries and previews."""
    retrying = _retrying(sync)
    if retrying is not None:
        shown = SyncExplanation(
            SyncState.RETRYING,
            retrying.reason,
            words(retrying.reason, retrying.message),
            sync.due_at,
            retrying.next_attempt_at,
        )
    elif sync.state == SyncState.DELIVERING:
        shown = SyncExplanation(sync.state, None, "an attempt is being made", sync.due_at, None)
    else:
        message = words(sync.reason, sync.message)
        shown = SyncExplanation(sync.state, sync.reason, message, sync.due_at, sync.next_attempt_at)
    held = sync.paused and shown.state in (SyncState.WAITING, SyncState.RETRYING)
    return held_explanation(shown, sync.pause_reason) if held else shown


def held_explanation(shown: SyncExplanation, pause_reason: str | None) -> SyncExplanation:
    """A pause ends every back-off: what was in one goes out on resuming, so it has no next attempt of its own."""
    failed = shown.state == SyncState.RETRYING and shown.reason != Reason.RATE_LIMITED
    last_error = shown.message if failed else None
    return SyncExplanation(SyncState.HELD, Reason.PAUSED, held_words(pause_reason, last_error), shown.due_at, None)


def _retrying(sync: StoredSync) -> MappingState | None:
    """The mapping whose next attempt comes first, unless another one's attempt is being made right now.

    The row holds what happened last to any mapping, which another that waits in back-off has no part in.
    """
    if sync.state not in (SyncState.DELIVERING, SyncState.RETRYING):
        return None
    if any(each.status == DeliveryStatus.DELIVERING for each in sync.mappings):
        return None
    waiting = [each for each in sync.mappings if each.status == DeliveryStatus.RETRYING and each.next_attempt_at]
    return min(waiting, key=_next_attempt, default=None)


def _next_attempt(mapping: MappingState) -> datetime:
    assert mapping.next_attempt_at is not None  # noqa: S101 - callers have looked
    return mapping.next_attempt_at
