"""What a preview, a test or a rendering is tried on, as callers name it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Self
from uuid import UUID

import uuid_utils.compat as uuid
from pydantic import BaseModel, ConfigDict, Field, model_validator

from activities.subjects import Subject
from domain.calls import Call, event_of, identified, user_of
from domain.errors import NotFound
from domain.profiles import ProfileId
from storage.event_views import EventViews
from storage.profiles import Profiles
from storage.sync_views import SyncViews

CALL_EXAMPLE: dict[str, Any] = {
    "type": "track",
    "event": "signed_up",
    "userId": "user-1",
    "properties": {"plan": "pro"},
    "context": {"traits": {"email": "ada@example.com"}},
}


class SubjectBody(BaseModel):
    """Exactly one of the three."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {"call": CALL_EXAMPLE}})

    call: Call | None = Field(
        None,
        description="of the stored profile with its userId if there is one, else of a profile made of its traits."
        " An identify call changes the profile: its traits are merged into it, and mappings of profile changes see that",
    )
    profile_id: ProfileId | None = Field(None, description="a stored profile, as if it had just changed")
    event_id: UUID | None = Field(
        None,
        description="a stored event, of its profile as it is now; what an identify event changed of it is in it already",
    )

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if sum(each is not None for each in (self.call, self.profile_id, self.event_id)) != 1:
            raise ValueError("give exactly one of call, profile_id and event_id")
        return self


class Subjects:
    def __init__(self, profiles: Profiles, sync_views: SyncViews, event_views: EventViews) -> None:
        self._profiles = profiles
        self._sync_views = sync_views
        self._event_views = event_views

    async def find(self, body: SubjectBody, *, destination_id: str | None = None) -> Subject:
        """With what the destination has been delivered of a profile. Raises NotFound."""
        if body.event_id is not None:
            return await self._of_event(str(body.event_id), destination_id)
        if body.call is not None:
            return await self._of_call(body.call, destination_id)
        profile = await self._profiles.get(body.profile_id or "")
        delivered = await self._delivered(destination_id, profile.id)
        return Subject(profile.as_user(), profile.id, profile.version, delivered=delivered)

    async def _of_event(self, event_id: str, destination_id: str | None) -> Subject:
        stored = await self._event_views.get(event_id)
        profile = await self._profiles.get(stored.profile_id)
        changing = stored.type == "identify"
        delivered = await self._delivered(destination_id, profile.id) if changing else {}
        return Subject(
            profile.as_user(), profile.id, profile.version, stored.event, changes_profile=changing, delivered=delivered
        )

    async def _of_call(self, call: Call, destination_id: str | None) -> Subject:
        now = datetime.now(UTC)
        event = event_of(call, message_id=str(uuid.uuid7()), now=now)
        changing = call.changes_profile
        try:
            profile = await self._profiles.get(call.profile_id)
        except NotFound:
            return Subject(user_of(call, now=now), call.profile_id, event=event, changes_profile=changing)
        if not changing:
            return Subject(profile.as_user(), profile.id, profile.version, event=event)
        known = identified(profile.document, call.all_traits)
        user = profile.model_copy(update={"document": known, "updated_at": now}).as_user()
        delivered = await self._delivered(destination_id, profile.id)
        return Subject(user, profile.id, profile.version, event, changes_profile=True, delivered=delivered)

    async def _delivered(self, destination_id: str | None, profile_id: str) -> dict[str, Any]:
        return await self._sync_views.delivered_users(destination_id, profile_id) if destination_id else {}
