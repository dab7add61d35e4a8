"""A profile: what is known of one customer. Changed by JSON Merge Patch (RFC 7396); every real change is a new version."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

MAX_ID_LENGTH = 200  # leaves room for the destination in a Temporal workflow id (at most 1,000 bytes)
MAX_DOCUMENT_BYTES = 256 * 1024  # a profile is read at every attempt; the largest field guides allow is 100 KB
MAX_DEPTH = 32  # deeper documents are mistakes, and recursion over them must stay cheap

ProfileId = Annotated[str, StringConstraints(min_length=1, max_length=MAX_ID_LENGTH, pattern=r"^[^\x00-\x1f\x7f]+$")]


class ProfilePatch(BaseModel):
    """A merge patch: an absent member stays, null removes, objects merge, anything else replaces."""

    model_config = ConfigDict(extra="forbid")

    email: str | None = Field(None, max_length=320)
    anonymousId: str | None = Field(None, max_length=MAX_ID_LENGTH)  # noqa: N815 - the field's name in every SDK
    properties: dict[str, Any] | None = None
    computedProperties: dict[str, Any] | None = None  # noqa: N815
    segments: list[Annotated[str, Field(max_length=200)]] | None = Field(None, max_length=1000)


class Profile(BaseModel):
    """A profile as stored; `document` holds just the members that are set."""

    model_config = ConfigDict(frozen=True)

    id: str
    version: int
    document: dict[str, Any]
    created_at: datetime
    updated_at: datetime
    deleted_at: datetime | None = None

    def as_user(self) -> dict[str, Any]:
        """The `user` object that conditions and templates see."""
        return {
            "id": self.id,
            "userId": self.id,
            "anonymousId": self.document.get("anonymousId"),
            "email": self.document.get("email"),
            "properties": self.document.get("properties", {}),
            "computedProperties": self.document.get("computedProperties", {}),
            "segments": self.document.get("segments", []),
            "createdAt": self.created_at.isoformat(),
            "updatedAt": self.updated_at.isoformat(),
        }
