"""What became of an event in one mapping of a destination, and why: what operators are told of the stored rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from domain.deliveries import DeliveryStatus, Reason
from domain.mapping_filters import EventFilter
from domain.reasons import held_words, words

NOT_QUEUED = "not_queued"  # in the place of a delivery's status, where there is no delivery


@dataclass(frozen=True, slots=True)
class DeliveryState:
    """The delivery as stored. `blocker` is that which its profile's events wait behind, perhaps itself."""

    id: str
    status: str
    reason: str | None
    message: str | None
    attempts: int
    next_attempt_at: datetime | None
    workflow_id: str | None
    run_id: str | None
    blocker: str | None


@dataclass(frozen=True, slots=True)
class DeclaredMapping:
    """A mapping of events as published now."""

    enabled: bool
    sources: Sequence[str]
    events: EventFilter


@dataclass(frozen=True, slots=True)
class EventFate:
    """`status` is the shown one: a delivery's, `held` while the destination is paused, or `not_queued`."""

    destination_id: str
    mapping_id: str | None
    status: str
    reason: str | None
    message: str | None
    delivery_id: str | None = None
    attempts: int = 0
    next_attempt_at: datetime | None = None
    workflow_id: str | None = None
    run_id: str | None = None


def explain_delivery(
    delivery: DeliveryState, *, destination_id: str, mapping_id: str | None, paused: bool, pause_reason: str | None
) -> EventFate:
    """In the words of deliveries."""
    status, reason, at = delivery.status, delivery.reason, delivery.next_attempt_at
    message = words(reason, delivery.message)
    if paused and status in (DeliveryStatus.QUEUED, DeliveryStatus.RETRYING):
        # A pause ends every back-off: resuming sends at once.
        status, reason, at = DeliveryStatus.HELD, Reason.PAUSED, None
        message = held_words(pause_reason, delivery.message)
    elif status == DeliveryStatus.QUEUED and delivery.blocker not in (None, delivery.id):
        reason = Reason.BEHIND_ANOTHER
        message = f"{words(Reason.BEHIND_ANOTHER)}: delivery {delivery.blocker}"
    return EventFate(
        destination_id=destination_id,
        mapping_id=mapping_id,
        status=status,
        reason=reason,
        message=message,
        delivery_id=delivery.id,
        attempts=delivery.attempts,
        next_attempt_at=at,
        workflow_id=delivery.workflow_id,
        run_id=delivery.run_id,
    )


def explain_absence(
    mapping: DeclaredMapping, event: Mapping[str, Any], source_id: str, *, destination_id: str, mapping_id: str
) -> EventFate:
    """Of a mapping that has no delivery of the event. One that would take it can only have been published later."""
    reason, message = _absence(mapping, event, source_id)
    return EventFate(destination_id, mapping_id, NOT_QUEUED, reason, words(reason, message))


def _absence(mapping: DeclaredMapping, event: Mapping[str, Any], source_id: str) -> tuple[str, str | None]:
    if not mapping.enabled:
        return "disabled", "the mapping is disabled"
    if "*" not in mapping.sources and source_id not in mapping.sources:
        return Reason.SOURCE_NOT_CONNECTED, None
    if refusal := mapping.events.refusal(event):
        return "event_scope", refusal
    return Reason.PUBLISHED_LATER, None
