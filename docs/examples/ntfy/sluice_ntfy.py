"""Push notifications through ntfy (https://docs.ntfy.sh/publish/#publish-as-json)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated

from pydantic import AfterValidator, Field

from connectors.base import Action, Definition, Item, OutboundRequest, OutboundResponse, Outcome, PreparedRequest
from connectors.fields import ConnectorModel, Secret
from connectors.outcomes import classify_by_status
from connectors.urls import checked_url
from connectors.validation import validated
from domain.body_encodings import to_json_bytes
from domain.errors import AddressRefused, DeliveryError, InvalidInput


def _web_address(url: str) -> str:
    try:
        return str(checked_url(url))
    except AddressRefused as error:
        raise ValueError(error.message) from error


class NtfySettings(ConnectorModel):
    server: Annotated[str, AfterValidator(_web_address)] = Field("https://ntfy.sh/", description="The ntfy server.")
    topic: str = Field(min_length=1, max_length=64, pattern=r"^[-_A-Za-z0-9]+$")


class NtfyCredentials(ConnectorModel):
    token: Secret | None = Field(None, description="An access token, for topics that are not public.")


class Notification(ConnectorModel):
    """What a mapping fills in."""

    message: str = Field(min_length=1, max_length=4096)
    title: str = Field("", max_length=250)
    priority: int = Field(3, ge=1, le=5)


class NtfyConnector:
    definition = Definition(
        slug="ntfy",
        name="ntfy",
        icon="M12 3a7 7 0 0 0-7 7v5l-2 3h18l-2-3v-5a7 7 0 0 0-7-7zM9 20a3 3 0 0 0 6 0",
        category="messaging",
        documentation_url="https://docs.ntfy.sh/publish/",
        settings=NtfySettings,
        credentials=NtfyCredentials,
        actions=(
            Action(
                slug="notify",
                name="Send a notification",
                description="Pushes a message to everybody who listens to the topic.",
                inputs=Notification,
                default_mapping={
                    "name": "Tell about new emails",
                    "source": "profile",
                    "fields": ["email"],
                    "body": {"inputs": {"title": "New email", "message": "{{ user.email }}"}},
                },
            ),
        ),
    )

    def build(
        self,
        settings: NtfySettings,
        secrets: NtfyCredentials,
        items: Sequence[Item],
        *,
        now: datetime,  # noqa: ARG002  (for connectors that sign with the time)
    ) -> Sequence[PreparedRequest]:
        return [PreparedRequest(_request(settings, secrets, item), (item,)) for item in items]

    def classify(self, prepared: PreparedRequest, response: OutboundResponse, *, now: datetime) -> Sequence[Outcome]:
        return [classify_by_status(response, now=now)] * len(prepared.items)


def _request(settings: NtfySettings, secrets: NtfyCredentials, item: Item) -> OutboundRequest:
    content = {"topic": settings.topic, **_notification(item).model_dump()}
    headers = [("Content-Type", "application/json"), ("Idempotency-Key", item.delivery_id)]
    if secrets.token:
        headers.append(("Authorization", f"Bearer {secrets.token.get_secret_value()}"))
    return OutboundRequest("POST", settings.server, tuple(headers), to_json_bytes(content))


def _notification(item: Item) -> Notification:
    """Whatever cannot be sent is a DeliveryError: it fails this delivery and no other."""
    if not isinstance(item.rendered, dict):
        raise DeliveryError("this action takes named inputs")
    try:
        return validated(Notification, item.rendered, path="inputs")
    except InvalidInput as error:
        raise DeliveryError(error.message) from error
