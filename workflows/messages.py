"""What runs are started with, answer and end with. Fields are only ever added, with defaults."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class ProfileSyncInput(BaseModel):
    """What a run is started with."""

    model_config = ConfigDict(frozen=True)

    destination_id: str
    profile_id: str


class ProfileSyncResult(BaseModel):
    """How the run ended; `reason` says why nothing was sent."""

    model_config = ConfigDict(frozen=True)

    state: str
    reason: str | None = None
    message: str | None = None


class ProfileSyncStatus(BaseModel):
    """What the run is doing: `state`, in words `details`, and the mappings whose delivery is under way."""

    model_config = ConfigDict(frozen=True)

    state: str
    details: str
    under_way: list[str]


class EventDeliveryInput(BaseModel):
    """What a pump's run is started with. The counts, `probes` and `probe_after` are those of the runs it continues."""

    model_config = ConfigDict(frozen=True)

    destination_id: str
    lane: int
    delivered: int = 0
    skipped: int = 0
    failed: int = 0
    retried: int = 0
    probes: int = 0
    probe_after: int = 0


class EventDeliveryResult(BaseModel):
    """How many deliveries the pump ended, and why it stopped: `idle` or `held`."""

    model_config = ConfigDict(frozen=True)

    state: str
    delivered: int
    skipped: int
    failed: int
    retried: int


class EventRetryInput(BaseModel):
    """What a run is started with."""

    model_config = ConfigDict(frozen=True)

    destination_id: str
    profile_id: str


class EventRetryResult(BaseModel):
    """How many of the profile's deliveries were brought to their end, before the queue went on with the others."""

    model_config = ConfigDict(frozen=True)

    ended: int


class EventStatus(BaseModel):
    """What the run is doing: `state`, and in words `details`."""

    model_config = ConfigDict(frozen=True)

    state: str
    details: str
