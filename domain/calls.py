"""A call as the Segment spec has it, and the objects that conditions and templates see of it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from domain.call_times import corrected_time
from domain.merge_patches import patched
from domain.profiles import MAX_ID_LENGTH, Profile

CallType = Literal["track", "identify", "page", "screen", "group", "alias"]

MAX_CALL_BYTES = 32 * 1024  # what the Segment spec allows, so what its SDKs keep to
MAX_TEXT = 300  # as long as an event name in a mapping's filter may be

# It names a profile, and stands in paths and workflow ids.
_Id = Annotated[str, Field(min_length=1, max_length=MAX_ID_LENGTH, pattern=r"^[^\x00-\x1f\x7f]+$")]


def _text_or_none(value: object) -> object:
    return value if isinstance(value, str) else None


# Nobody loses an event over a clock that cannot be read: it is then as if it were not there.
_Clock = Annotated[str | None, BeforeValidator(_text_or_none)]


class Call(BaseModel):
    """What an SDK sends. Members that no template sees (`integrations`, `_metadata`, …) are let pass, as SDKs send many."""

    model_config = ConfigDict(extra="ignore", frozen=True, coerce_numbers_to_str=True)

    type: CallType
    event: str | None = Field(None, min_length=1, max_length=MAX_TEXT, description="the name of a track call")
    name: str | None = Field(None, max_length=MAX_TEXT, description="of a page or screen call")
    category: str | None = Field(None, max_length=MAX_TEXT, description="of a page or screen call")
    userId: _Id | None = None  # noqa: N815 - the spec's names
    anonymousId: _Id | None = None  # noqa: N815
    groupId: str | None = Field(None, max_length=MAX_TEXT, description="of a group call")  # noqa: N815
    previousId: str | None = Field(None, max_length=MAX_TEXT, description="of an alias call")  # noqa: N815
    messageId: str | None = Field(None, max_length=MAX_TEXT)  # noqa: N815
    timestamp: str | None = Field(None, max_length=MAX_TEXT)
    originalTimestamp: _Clock = Field(None, description="when it was made, by the sender's clock")  # noqa: N815
    sentAt: _Clock = Field(None, description="when it was sent, by the same clock")  # noqa: N815
    properties: dict[str, Any] | None = None
    traits: dict[str, Any] | None = None
    context: dict[str, Any] | None = None

    @model_validator(mode="after")
    def _is_somebodys(self) -> Self:
        if self.userId is None and self.anonymousId is None:
            raise ValueError("a call has a userId or an anonymousId")
        if self.type == "track" and self.event is None:
            raise ValueError("a track call has an event")
        return self

    @property
    def profile_id(self) -> str:
        return self.userId or self.anonymousId or ""

    @property
    def changes_profile(self) -> bool:
        return self.type == "identify"

    @property
    def all_traits(self) -> dict[str, Any]:
        """Some SDKs send them in the context only."""
        within = (self.context or {}).get("traits")
        return {**(within if isinstance(within, dict) else {}), **(self.traits or {})}


_OF_SOME_TYPES = ("category", "groupId", "previousId")


def event_of(call: Call, *, message_id: str, now: datetime) -> dict[str, Any]:
    """The `event` object. `message_id` and `now` stand in for what the call does not say itself.

    What only some types of calls have (`category`, `groupId`, `previousId`) is there if the call has it.
    """
    happened = corrected_time(call.originalTimestamp, call.sentAt, now=now)
    event = {
        "name": call.event if call.type == "track" else call.name,
        "type": call.type,
        "timestamp": happened.isoformat() if happened else call.timestamp or now.isoformat(),
        "properties": call.properties or {},
        "context": call.context or {},
        "traits": call.all_traits,
        "userId": call.userId,
        "anonymousId": call.anonymousId,
        "messageId": call.messageId or message_id,
    }
    for name in _OF_SOME_TYPES:
        if name in call.model_fields_set and (value := getattr(call, name)) is not None:
            event[name] = value
    return event


def identified(document: Mapping[str, Any], traits: Mapping[str, Any]) -> dict[str, Any]:
    """A profile's document as an identify call leaves it: its traits are a merge patch of the properties.

    An email among them also replaces that of the profile itself, which would hide it otherwise.
    """
    known = {**document, "properties": patched(document.get("properties"), traits)}
    if isinstance(traits.get("email"), str) and document.get("email") is not None:
        known["email"] = traits["email"]
    return known


def user_of(call: Call, *, now: datetime) -> dict[str, Any]:
    """The `user` object of somebody of whom nothing but this call is known."""
    document = {"anonymousId": call.anonymousId, "properties": patched({}, call.all_traits)}
    made = Profile(id=call.profile_id, version=0, document=document, created_at=now, updated_at=now)
    return made.as_user()
