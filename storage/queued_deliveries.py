"""An event delivery from a row that joins it with its event and its profile."""

from __future__ import annotations

from typing import Any

from domain.events import QueuedDelivery
from domain.profiles import Profile


def queued_delivery(row: Any) -> QueuedDelivery:
    """`row` has the delivery's columns, `event`, and the profile's `profile_id, version, document, created_at, updated_at`."""
    profile = Profile.model_construct(
        id=row.profile_id,
        version=row.version,
        document=row.document,
        created_at=row.created_at,
        updated_at=row.updated_at,
        deleted_at=None,
    )
    return QueuedDelivery(
        id=str(row.id),
        mapping_id=row.mapping_id,
        lane=row.lane,
        position=row.position,
        attempts=row.attempts,
        attempts_before=row.attempts_before,
        event=row.event,
        profile=profile,
    )
