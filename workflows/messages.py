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
