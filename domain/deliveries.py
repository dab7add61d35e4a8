"""Deliveries and their attempts: the words that statuses, outcomes and reasons are written in, everywhere."""

from __future__ import annotations

from enum import StrEnum


class DeliveryStatus(StrEnum):
    """`held` is never stored: it is what an open delivery of a paused destination is called."""

    QUEUED = "queued"
    HELD = "held"
    DELIVERING = "delivering"
    RETRYING = "retrying"
    DELIVERED = "delivered"
    SKIPPED = "skipped"
    FAILED = "failed"
    DISCARDED = "discarded"


OPEN = (DeliveryStatus.QUEUED, DeliveryStatus.DELIVERING, DeliveryStatus.RETRYING)


class DeliveryKind(StrEnum):
    PROFILE_SYNC = "profile_sync"
    EVENT = "event"
    TEST = "test"


class AttemptOutcome(StrEnum):
    DELIVERED = "delivered"
    RETRY = "retry"
    DEFINITIVE = "definitive"
    SKIPPED = "skipped"
    UNKNOWN = "unknown"  # the worker died during the attempt: the receiver may or may not have had it


class Reason(StrEnum):
    """Why something was not sent, or not yet. Connector outcomes add their own codes, such as `http_503`."""

    PREREQUISITE_FALSE = "prerequisite_false"
    CONDITION_ERROR = "condition_error"
    RENDER_ERROR = "render_error"
    CONFIGURATION_ERROR = "configuration_error"
    MAPPING_REMOVED = "mapping_removed"
    PROFILE_DELETED = "profile_deleted"
    DESTINATION_DELETED = "destination_deleted"
    SUPERSEDED = "superseded"
    NO_MAPPING = "no_mapping"
    DEBOUNCING = "debouncing"
    PAUSED = "paused"
    RETRY_REQUESTED = "retry_requested"
    SKIPPED_BY_OPERATOR = "skipped_by_operator"
    PARKED = "parked"
    BEHIND_ANOTHER = "behind_another"
    OUTAGE = "outage"
    RATE_LIMITED = "rate_limited"
    EVENT_SCOPE = "event_scope"
    SOURCE_NOT_CONNECTED = "source_not_connected"
    PUBLISHED_LATER = "published_later"
