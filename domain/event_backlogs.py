"""The events of one profile that a destination has not had yet: what they wait for, as operators are told."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from domain.deliveries import DeliveryStatus, Reason
from domain.reasons import held_words, words
from domain.sync_explanations import SyncExplanation, held_explanation
from domain.syncs import SyncState


@dataclass(frozen=True, slots=True)
class Blocker:
    """The delivery that the profile's later events wait behind."""

    delivery_id: str
    event_id: str
    mapping_id: str
    status: str
    reason: str | None
    message: str | None
    attempts: int
    next_attempt_at: datetime | None
    run_id: str | None


@dataclass(frozen=True, slots=True)
class EventBacklog:
    """`queued` counts without the blocker. `home`: the lane whose pump sends them. `outage`: the destination does not answer."""

    queued: int
    blocker: Blocker | None
    home: int
    outage: bool
    paused: bool
    pause_reason: str | None

    def shown(self) -> EventBacklog:
        """With the blocker in the words of deliveries: held while the destination is paused."""
        blocker = self.blocker
        if blocker is None:
            return self
        if not self.paused or blocker.status == DeliveryStatus.DELIVERING:
            return replace(self, blocker=replace(blocker, message=words(blocker.reason, blocker.message)))
        message = held_words(self.pause_reason, blocker.message)
        held = replace(blocker, status=DeliveryStatus.HELD, reason=Reason.PAUSED, message=message, next_attempt_at=None)
        return replace(self, blocker=held)


def explain_events(backlog: EventBacklog) -> SyncExplanation:
    """Where a destination is with a profile of which it wants nothing but events."""
    blocker = backlog.blocker
    if blocker is not None and blocker.status == DeliveryStatus.DELIVERING:
        return SyncExplanation(SyncState.DELIVERING, None, "an attempt is being made", None, None)
    shown = _waiting(backlog) if blocker is None else _retrying(blocker)
    return held_explanation(shown, backlog.pause_reason) if backlog.paused else shown


def _waiting(backlog: EventBacklog) -> SyncExplanation:
    reason = Reason.OUTAGE if backlog.outage else None
    return SyncExplanation(SyncState.WAITING, reason, words(reason, None) or "events wait their turn", None, None)


def _retrying(blocker: Blocker) -> SyncExplanation:
    message = words(blocker.reason, blocker.message)
    return SyncExplanation(SyncState.RETRYING, blocker.reason, message, None, blocker.next_attempt_at)
