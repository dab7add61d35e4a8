"""Names that Temporal knows us by. Running workflows and saved queries hold them: they never change."""

from __future__ import annotations

import json

from temporalio.common import SearchAttributeKey

TASK_QUEUE = "sluice"
EVENTS_QUEUE = "sluice-events"  # pumps and their runs: a pump keeps its place for as long as events come

DESTINATION_ID = SearchAttributeKey.for_keyword("DestinationId")
PROFILE_ID = SearchAttributeKey.for_keyword("ProfileId")
SYNC_STATE = SearchAttributeKey.for_keyword("SyncState")
SEARCH_ATTRIBUTES = (DESTINATION_ID, PROFILE_ID, SYNC_STATE)

# Temporal refuses a longer search attribute, as JSON with every character beyond ASCII escaped: up to twelve bytes for one.
MAX_ATTRIBUTE_BYTES = 2_048


def profile_sync_id(destination_id: str, profile_id: str) -> str:
    return f"profile-sync/{destination_id}/{profile_id}"


def event_delivery_id(destination_id: str, lane: int) -> str:
    return f"event-delivery/{destination_id}/{lane}"


def event_retry_id(destination_id: str, profile_id: str) -> str:
    return f"event-retry/{destination_id}/{profile_id}"


def searchable(value: str) -> str:
    """As much of it as a search attribute takes; only ids of many emoji are cut."""
    longest = MAX_ATTRIBUTE_BYTES // len(r"\ud83d\ude00")
    return value if len(json.dumps(value)) <= MAX_ATTRIBUTE_BYTES else value[: longest - 1]
