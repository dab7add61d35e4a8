"""The sync of one profile to one destination: its states, and the decision what to do next.

The row in the database is the truth; a workflow asks `decide` whenever it wakes, and does what it says. So it does not matter how
often, how late or by whom it is woken.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from domain.deliveries import OPEN, DeliveryStatus, Reason
from domain.profiles import Profile

# A timer of Temporal's may fire a little early; for so little nobody sets another one.
DUE_SLACK_SECONDS = 0.05


class SyncState(StrEnum):
    """`held` is never stored: it is what an open sync of a paused destination is called."""

    IDLE = "idle"
    WAITING = "waiting"
    HELD = "held"
    DELIVERING = "delivering"
    RETRYING = "retrying"
    FAILED = "failed"
    SKIPPED = "skipped"
    DISCARDED = "discarded"


@dataclass(frozen=True, slots=True)
class MappingProgress:
    """How far one mapping has got with this profile. Settled means delivered, skipped or failed: nothing is left to do."""

    mapping_id: str
    settled_version: int
    delivered_version: int | None
    delivered_user: dict[str, Any] | None
    delivery_id: str | None
    status: str
    reason: str | None = None
    message: str | None = None
    attempts_used: int = 0  # in this round: since the delivery was made, or since somebody asked for a retry

    @property
    def is_open(self) -> bool:
        return self.status in OPEN


@dataclass(frozen=True, slots=True)
class SyncFacts:
    """What is known of a sync when it is decided what to do. `due_in_seconds` is None when no change awaits its debounce."""

    destination_id: str
    profile_id: str
    connector: str
    running: bool
    deleted: bool
    revision: int
    profile: Profile
    wanted_version: int
    state: str
    reason: str | None
    message: str | None
    due_in_seconds: float | None
    progress: dict[str, MappingProgress] = field(default_factory=dict)

    @property
    def is_due(self) -> bool:
        """Whether no change has to wait for its debounce (any longer)."""
        return self.due_in_seconds is None or self.due_in_seconds <= DUE_SLACK_SECONDS


@dataclass(frozen=True, slots=True)
class Discard:
    reason: Reason


@dataclass(frozen=True, slots=True)
class Hold:
    """The destination is paused: wait to be resumed."""


@dataclass(frozen=True, slots=True)
class Await:
    """Nothing may start now. Look again in `seconds`; None: when a delivery that is under way has ended."""

    seconds: float | None


@dataclass(frozen=True, slots=True)
class Start:
    """These mappings have something to deliver, now."""

    mapping_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Settle:
    """Everything wanted is accounted for."""

    state: SyncState
    reason: str | None = None
    message: str | None = None


Decision = Discard | Hold | Await | Start | Settle


def decide(facts: SyncFacts, mapping_ids: Sequence[str], under_way: Collection[str], *, now: bool = False) -> Decision:
    """What to do next.

    `mapping_ids` are the published, enabled profile mappings in order; `under_way` those whose delivery the workflow is busy with;
    `now` skips the debounce (somebody asked for it).
    """
    if facts.deleted:
        return Discard(Reason.DESTINATION_DELETED)
    if facts.profile.deleted_at is not None:
        return Discard(Reason.PROFILE_DELETED)
    if not facts.running:
        return Hold()
    missing = [mapping_id for mapping_id in mapping_ids if _lacks(facts, mapping_id) and mapping_id not in under_way]
    if not missing:
        return Await(None) if under_way else _settled(facts, mapping_ids)
    # What was begun is finished without a debounce: it has had its own.
    begun = [mapping_id for mapping_id in missing if _is_open(facts, mapping_id)]
    if not (now or facts.is_due):
        return Start(tuple(begun)) if begun else Await(facts.due_in_seconds)
    return Start(tuple(missing))


def _lacks(facts: SyncFacts, mapping_id: str) -> bool:
    progress = facts.progress.get(mapping_id)
    return progress is None or progress.settled_version < facts.wanted_version


def _is_open(facts: SyncFacts, mapping_id: str) -> bool:
    progress = facts.progress.get(mapping_id)
    return progress is not None and progress.is_open


def _settled(facts: SyncFacts, mapping_ids: Sequence[str]) -> Settle:
    """Failed if anything failed; else delivered if anything was delivered; else skipped."""
    ended = [facts.progress[mapping_id] for mapping_id in mapping_ids]
    failed = next((progress for progress in ended if progress.status == DeliveryStatus.FAILED), None)
    if failed is not None:
        return Settle(SyncState.FAILED, failed.reason, failed.message)
    if any(progress.status == DeliveryStatus.DELIVERED for progress in ended):
        return Settle(SyncState.IDLE)
    if not ended:
        return Settle(SyncState.SKIPPED, Reason.NO_MAPPING, "no enabled mapping takes profile changes")
    return Settle(SyncState.SKIPPED, ended[0].reason, ended[0].message)
