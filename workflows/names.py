"""Names that Temporal knows us by. Running workflows and saved queries hold them: they never change."""

from __future__ import annotations

from temporalio.common import SearchAttributeKey

TASK_QUEUE = "sluice"

DESTINATION_ID = SearchAttributeKey.for_keyword("DestinationId")
PROFILE_ID = SearchAttributeKey.for_keyword("ProfileId")
SYNC_STATE = SearchAttributeKey.for_keyword("SyncState")
SEARCH_ATTRIBUTES = (DESTINATION_ID, PROFILE_ID, SYNC_STATE)


def profile_sync_id(destination_id: str, profile_id: str) -> str:
    return f"profile-sync/{destination_id}/{profile_id}"
