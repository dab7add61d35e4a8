"""An event: something that one profile did, as it was received. Stored once, and queued for every mapping that takes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from zlib import crc32

from domain.profiles import Profile

# One lane, one pump at most: so many workers can share one destination's flood. Stored with each delivery, so it never changes.
LANES = 4


def lane_of(profile_id: str) -> int:
    """Where one profile's events queue, so that one pump keeps their order."""
    return crc32(profile_id.encode()) % LANES


@dataclass(frozen=True, slots=True)
class IncomingEvent:
    """What is to be stored. `event` is the object that templates see (domain/calls.py), `patch` what it changes of the profile.

    `document` is what the profile is made of if there is none yet.
    """

    id: str
    message_id: str
    profile_id: str
    event: Mapping[str, Any]
    document: Mapping[str, Any] = field(default_factory=dict)
    patch: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class QueuedDelivery:
    """An event delivery as its pump takes it from the queue. `attempts_before`: of earlier rounds, before a retry by hand."""

    id: str
    mapping_id: str
    lane: int
    position: int
    attempts: int
    attempts_before: int
    event: Mapping[str, Any]
    profile: Profile
