"""What a call becomes when it is taken: an event to store, and what it changes of its profile."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from domain.calls import Call, event_of
from domain.events import IncomingEvent


def incoming(call: Call, *, id: str, now: datetime) -> IncomingEvent:  # noqa: A002
    """`id` is that of the event, and of its message too if the call names none; `now` is when it was received."""
    event = event_of(call, message_id=id, now=now)
    document = {"anonymousId": call.anonymousId} if call.anonymousId else {}
    return IncomingEvent(
        id=id,
        message_id=event["messageId"],
        profile_id=call.profile_id,
        event=event,
        document=document,
        patch=_patch(call) if call.changes_profile else {},
    )


def _patch(call: Call) -> dict[str, Any]:
    """Empty if the call says nothing new: an empty object of properties would make a version of its own."""
    patch: dict[str, Any] = {}
    if traits := call.all_traits:
        patch["properties"] = traits
    if call.anonymousId and call.userId:
        patch["anonymousId"] = call.anonymousId
    return patch
