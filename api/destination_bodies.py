"""What the destination routes read and answer."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag

from api.parameters import Text
from domain.destinations import DataScope, Debounce, DestinationSpec, RateLimit, Retry, Slug, Status
from domain.mappings import Mapping
from storage.destinations import Destination
from storage.drafts import Draft
from storage.publications import Revision

SPEC_EXAMPLE: dict[str, Any] = {
    "name": "CRM",
    "settings": {"url": "https://crm.example.com/contacts"},
    "credentials": {"secrets": {"secret_headers": {"Authorization": "Bearer …"}}},
    "mappings": [
        {
            "id": "contact",
            "name": "Contact",
            "source": "profile",
            "action": "send",
            "body": {"format": "json", "template": {"email": "{{ user.email }}"}},
        }
    ],
}


class InlineCredentials(BaseModel):
    """Stored as credentials of their own, encrypted; answers hold only their id."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    name: str | None = Field(None, min_length=1, max_length=200, description="the destination's name if left out")
    secrets: dict[str, Any] = Field(repr=False, description="the connector's credential fields")
    environment: Literal["production", "test"] = "production"


def _kind(value: object) -> str:
    return "inline" if isinstance(value, dict | InlineCredentials) else "id"


CredentialsField = Annotated[
    Annotated[Slug, Tag("id")] | Annotated[InlineCredentials, Tag("inline")], Discriminator(_kind)
]


class WriteDraft(DestinationSpec):
    """The whole declaration; `credentials` are an id, or given inline."""

    model_config = ConfigDict(json_schema_extra={"example": SPEC_EXAMPLE}, hide_input_in_errors=True)

    credentials: CredentialsField | None = None  # type: ignore[assignment]  # inline ones become an id before it is a spec


class CreateDestination(WriteDraft):
    model_config = ConfigDict(json_schema_extra={"example": {"id": "crm", "connector": "webhook", **SPEC_EXAMPLE}})

    id: Slug | None = Field(None, description="made from the name if left out")
    connector: Slug


class PublishRequest(BaseModel):
    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {"note": "Send the locale too"}})

    note: Text | None = Field(None, max_length=1000)


class PauseRequest(BaseModel):
    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {"reason": "CRM maintenance until 14:00"}})

    reason: Text | None = Field(None, max_length=1000)


class Published(BaseModel):
    model_config = ConfigDict(json_schema_extra={"example": {"revision": 2}})

    revision: int


class Deleted(BaseModel):
    id: str
    status: Literal["deleted"] = "deleted"


class _SpecFields(BaseModel):
    """A spec as it is answered. `credentials` is an id: secrets never come back."""

    name: str
    settings: dict[str, Any]
    credentials: str | None
    sources: list[str]
    prerequisite: str | None
    debounce: Debounce
    retry: Retry
    rate_limit: RateLimit | None
    mappings: list[Mapping]


class DestinationAnswer(_SpecFields):
    id: str
    connector: str
    icon: str | None = Field(
        description="the `d` of an SVG path in a 24 × 24 box; null when the connector is not installed"
    )
    status: Status
    data_scope: DataScope
    published_revision: int | None
    has_draft: bool
    held: int = Field(description="syncs and event deliveries that a pause holds back")
    queued: int = Field(
        description="event deliveries that wait their turn while it runs; those in back-off not counted"
    )
    outage_since: datetime | None = Field(
        description="since when it has answered no event: a few profiles go on trying, the others' events wait"
    )
    pause_reason: str | None
    paused_at: datetime | None
    created_at: datetime
    updated_at: datetime

    @staticmethod
    def of(destination: Destination, *, icon: str | None) -> DestinationAnswer:
        shown = {
            name: getattr(destination, name) for name in DestinationAnswer.model_fields if hasattr(destination, name)
        }
        return DestinationAnswer(**shown, **_spec(destination.spec), icon=icon, data_scope=destination.spec.data_scope)


class DraftAnswer(_SpecFields):
    id: str
    connector: str
    updated_at: datetime

    @staticmethod
    def of(draft: Draft) -> DraftAnswer:
        return DraftAnswer(
            id=draft.destination_id, connector=draft.connector, updated_at=draft.updated_at, **_spec(draft.spec)
        )


class RevisionAnswer(BaseModel):
    number: int
    note: str | None
    published_at: datetime
    published_by: str | None = Field(description="the name of the key it was published with")
    spec: _SpecFields

    @staticmethod
    def of(revision: Revision) -> RevisionAnswer:
        return RevisionAnswer(
            number=revision.number,
            note=revision.note,
            published_at=revision.published_at,
            published_by=revision.published_by,
            spec=_SpecFields(**_spec(revision.spec)),
        )


def _spec(spec: DestinationSpec) -> dict[str, Any]:
    return {name: getattr(spec, name) for name in _SpecFields.model_fields}
