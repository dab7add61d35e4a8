"""What an operator declares about a destination. The whole declaration is versioned: a draft is edited, a revision is live."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from domain.mappings import Mapping

Status = Literal["running", "paused"]
DataScope = Literal["all", "profile", "events", "none"]

MAX_MAPPINGS = 100  # a destination is one tool; the largest vendor catalogue needs about forty actions
MAX_QUIET_SECONDS = 86_400.0  # a day: longer debounces are batch jobs
MAX_BACKOFF_SECONDS = 604_800.0  # a week

Slug = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$", description="lower-case letters, digits, - and _")]


class _Declared(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Debounce(_Declared):
    """A sync starts `quiet_seconds` after the last change, at most `max_wait_seconds` after the first undelivered one."""

    quiet_seconds: float = Field(20.0, ge=0, le=MAX_QUIET_SECONDS, allow_inf_nan=False)
    max_wait_seconds: float = Field(300.0, ge=0, le=MAX_QUIET_SECONDS, allow_inf_nan=False)

    @model_validator(mode="after")
    def _wait_covers_quiet(self) -> Debounce:
        if self.max_wait_seconds < self.quiet_seconds:
            raise ValueError("max_wait_seconds must not be shorter than quiet_seconds")
        return self


class Retry(_Declared):
    """How a delivery is retried. The default is 1 + 14 attempts over 3 h 8 min."""

    attempts: int = Field(15, ge=1, le=100)
    initial_seconds: float = Field(1.0, gt=0, le=MAX_BACKOFF_SECONDS, allow_inf_nan=False)
    backoff: float = Field(2.0, ge=1, le=100, allow_inf_nan=False)
    max_interval_seconds: float = Field(3600.0, gt=0, le=MAX_BACKOFF_SECONDS, allow_inf_nan=False)

    @model_validator(mode="after")
    def _cap_covers_initial(self) -> Retry:
        if self.max_interval_seconds < self.initial_seconds:
            raise ValueError("max_interval_seconds must not be shorter than initial_seconds")
        return self

    def delay_seconds(self, attempt: int) -> float:
        """Seconds between attempt number `attempt` (from 1), which failed, and the next one."""
        # The exponent is bounded because 100.0**100 is fine for a float but a larger one would overflow.
        return float(min(self.max_interval_seconds, self.initial_seconds * self.backoff ** min(attempt - 1, 100)))


class RateLimit(_Declared):
    """Requests a second, by all workers together and evenly spread."""

    per_second: float = Field(ge=0.0001, le=10_000, allow_inf_nan=False)


class DestinationSpec(_Declared):
    """The versioned part of a destination: everything but its id, its connector and whether it is paused."""

    name: str = Field(min_length=1, max_length=200)
    settings: dict[str, Any] = Field(default_factory=dict, description="the connector's own settings")
    credentials: str | None = Field(None, description="id of the credentials to use")
    sources: list[str] = Field(
        default_factory=lambda: ["*"], max_length=1000, description='"*" is every source and the profile API'
    )
    prerequisite: str | None = Field(
        None, max_length=10_000, description="a condition that must hold before anything is sent"
    )
    debounce: Debounce = Debounce()
    retry: Retry = Retry()
    rate_limit: RateLimit | None = None
    mappings: list[Mapping] = Field(default_factory=list, max_length=MAX_MAPPINGS)

    @model_validator(mode="after")
    def _mapping_ids_are_unique(self) -> DestinationSpec:
        ids = [mapping.id for mapping in self.mappings]
        if len(ids) != len(set(ids)):
            raise ValueError("two mappings have the same id")
        return self

    @property
    def profile_mappings(self) -> list[Mapping]:
        return [mapping for mapping in self.mappings if mapping.enabled and mapping.source == "profile"]

    @property
    def takes_profiles(self) -> bool:
        """Whether changes made through the profile API concern this destination."""
        return "*" in self.sources and bool(self.profile_mappings)

    @property
    def data_scope(self) -> DataScope:
        kinds = {mapping.source for mapping in self.mappings if mapping.enabled}
        if kinds == {"profile", "events"}:
            return "all"
        return "profile" if "profile" in kinds else "events" if "events" in kinds else "none"
