"""What can be set about a webhook."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, SecretStr

from connectors.base import Action, Definition
from connectors.fields import ConnectorModel, HeaderName, LeafTemplate, Secret, SecretHeaderValue
from connectors.urls import checked_url
from connectors.webhook.signature import signing_key
from domain.errors import AddressRefused
from domain.templates import TextTemplate

__all__ = ["DEFINITION", "WebhookCredentials", "WebhookSettings"]

MAX_TIMEOUT_SECONDS = 60.0  # a sender is kept for as long; receivers that work longer should answer 202 first
MAX_HEADERS = 50  # common servers refuse requests with about a hundred

_LIQUID = re.compile(r"\{\{.*?\}\}|\{%.*?%\}", re.DOTALL)
_AUTHORITY = re.compile(r"https?://([^/?#\\]+)", re.IGNORECASE)


def _web_address(url: TextTemplate) -> TextTemplate:
    """The scheme is written out and there is no user info; a URL without templates is read as a whole."""
    plain = _LIQUID.sub("template", url.text)
    authority = _AUTHORITY.match(plain)
    if authority is None:
        raise ValueError("must start with http:// or https:// and name a host")
    if "@" in authority[1]:
        raise ValueError("must not hold user info; put credentials into a secret header")
    if plain == url.text:
        _read(plain)
    return url


def _read(url: str) -> None:
    try:
        checked_url(url)
    except AddressRefused as error:
        raise ValueError(error.message) from error


def _signing_secret(secret: SecretStr) -> SecretStr:
    signing_key(secret.get_secret_value())
    return secret


SigningSecret = Annotated[Secret, AfterValidator(_signing_secret)]


class WebhookSettings(ConnectorModel):
    """Where and how a webhook is called."""

    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"] = "POST"
    url: Annotated[LeafTemplate, AfterValidator(_web_address)] = Field(
        title="URL", description="The endpoint; parts of it may be Liquid.", examples=["https://example.com/orders"]
    )
    headers: dict[HeaderName, LeafTemplate] = Field(
        default_factory=dict, max_length=MAX_HEADERS, description="Values may be Liquid."
    )
    timeout_seconds: float = Field(default=30.0, gt=0, le=MAX_TIMEOUT_SECONDS, allow_inf_nan=False)
    follow_redirects: bool = False
    idempotency_header: HeaderName | None = Field(
        default="Idempotency-Key",
        description="Carries the delivery id, the same on every attempt; null leaves it out.",
    )


class WebhookCredentials(ConnectorModel):
    """What proves to the endpoint who is calling."""

    signing_secret: SigningSecret | None = Field(
        default=None, description="whsec_…: requests are signed as Standard Webhooks has it."
    )
    previous_signing_secrets: tuple[SigningSecret, ...] = Field(
        default=(), max_length=5, description="Sign too, while receivers change to the current one."
    )
    secret_headers: dict[HeaderName, SecretHeaderValue] = Field(
        default_factory=dict, max_length=MAX_HEADERS, description="For example Authorization or X-Api-Key."
    )


DEFINITION = Definition(
    slug="webhook",
    name="Webhook",
    icon="M10 13a5 5 0 0 0 7.5.5l3-3a5 5 0 0 0-7-7l-1.7 1.7M14 11a5 5 0 0 0-7.5-.5l-3 3a5 5 0 0 0 7 7l1.7-1.7",
    category="webhook",
    documentation_url="https://www.standardwebhooks.com/",
    settings=WebhookSettings,
    credentials=WebhookCredentials,
    actions=(
        Action(
            slug="send",
            name="Send a request",
            description="Calls the endpoint with the mapping's body.",
            default_mapping={
                "name": "Every event",
                "source": "events",
                "body": {"format": "json", "template": {"event": "{{ event | json }}", "user": "{{ user | json }}"}},
            },
        ),
    ),
)
