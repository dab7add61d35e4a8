"""What a mapping sees of an event delivery, whoever makes the attempt."""

from __future__ import annotations

from domain.events import QueuedDelivery
from domain.objects import Scope, scope


def event_scope(delivery: QueuedDelivery, *, destination_id: str, attempt: int) -> Scope:
    """`attempt` counts from 1, over all rounds."""
    return scope(
        user=delivery.profile.as_user(),
        event=delivery.event,
        delivery={
            "id": delivery.id,
            "attempt": attempt,
            "destination": {"id": destination_id},
            "mapping": {"id": delivery.mapping_id},
        },
    )
