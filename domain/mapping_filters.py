"""Which events and which users a mapping takes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from domain.reasons import shortened

Name = Annotated[str, Field(min_length=1, max_length=300)]

MAX_NAMES = 1_000  # a tracking plan of a large company has a few hundred events

_USER_MODES = {
    "all": "all users",
    "identified": "identified users only",
    "anonymous": "anonymous users only",
}


class EventFilter(BaseModel):
    """Event names are exact and case-sensitive; `only []` takes nothing, `except []` everything."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    mode: Literal["all", "only", "except"] = "all"
    names: list[Name] = Field(default_factory=list, max_length=MAX_NAMES)

    def refusal(self, event: Mapping[str, Any] | None) -> str | None:
        """Why this event is not taken, in words; None if it is. The name of a call without one is its type."""
        if event is None:
            return "the mapping takes events, and this is a profile change"
        name = event.get("name") or event.get("type")
        if self.mode == "all" or (name in self.names) == (self.mode == "only"):
            return None
        listed = shortened(", ".join(self.names)) or "none"
        return f"the event {name} is not among those sent: {'only' if self.mode == 'only' else 'all except'} {listed}"


class UserFilter(BaseModel):
    """Users by segment (any of, or none of), or by whether they are known by name."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    mode: Literal["all", "segments", "not_segments", "identified", "anonymous"] = "all"
    segments: list[Name] = Field(default_factory=list, max_length=MAX_NAMES)

    @model_validator(mode="after")
    def _segments_suit_mode(self) -> Self:
        if self.segments and self.mode not in ("segments", "not_segments"):
            raise ValueError(f"segments have no meaning for the users mode {self.mode}")
        return self

    def refusal(self, user: Mapping[str, Any]) -> str | None:
        """Why this user is not taken, in words; None if they are."""
        if self._takes(user):
            return None
        if self.mode in _USER_MODES:
            return f"the mapping takes {_USER_MODES[self.mode]}"
        listed = shortened(", ".join(self.segments)) or "none"
        return f"the user is in {'none' if self.mode == 'segments' else 'one'} of the segments {listed}"

    def _takes(self, user: Mapping[str, Any]) -> bool:
        if self.mode == "all":
            return True
        if self.mode in ("identified", "anonymous"):
            return _is_identified(user) == (self.mode == "identified")
        shared = not set(self.segments).isdisjoint(user.get("segments") or ())
        return shared == (self.mode == "segments")


def _is_identified(user: Mapping[str, Any]) -> bool:
    """A profile known by its anonymous id only has that as its user id, or none."""
    user_id = user.get("userId")
    return user_id is not None and user_id != user.get("anonymousId")
