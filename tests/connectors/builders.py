"""Items and settings as the delivery activity hands them to a connector."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from connectors.base import Connector, Item
from connectors.validation import validated
from domain.bodies import Body, RenderedBody, compile_body
from domain.objects import scope

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
A_PROFILE = {
    "id": "u-1",
    "userId": "u-1",
    "anonymousId": None,
    "email": "ada@example.com",
    "properties": {"fullName": "Ada Lovelace", "plan": "pro"},
    "computedProperties": {},
    "segments": ["trial"],
    "createdAt": "2026-01-01T00:00:00Z",
    "updatedAt": "2026-02-01T00:00:00Z",
}
AN_EVENT = {
    "type": "track",
    "name": "order_completed",
    "userId": "u-1",
    "messageId": "m-1",
    "timestamp": "2026-03-01T11:59:00Z",
    "properties": {"orderId": "o/1", "total": 0},
    "context": {},
}


def an_item(
    *,
    delivery_id: str = "d-1",
    attempt: int = 1,
    action: str = "send",
    body: Mapping[str, Any] | None = None,
    rendered: RenderedBody | Mapping[str, Any] | None = None,
    user: Mapping[str, Any] | None = None,
    event: Mapping[str, Any] | None = None,
) -> Item:
    """An order of Ada's; `body` is a mapping's body as written, which is rendered here."""
    delivery = {"id": delivery_id, "attempt": attempt, "destination": {"id": "dest"}, "mapping": {"id": "map"}}
    seen = scope(user={**A_PROFILE, **(user or {})}, event={**AN_EVENT, **(event or {})}, delivery=delivery)
    if body is not None:
        rendered = compile_body(Body.model_validate(body)).render(seen)
    return Item(delivery_id, attempt, "map", action, rendered, seen)


def settings_of(connector: Connector, **settings: Any) -> Any:
    return validated(connector.definition.settings, settings, path="settings")


def secrets_of(connector: Connector, **secrets: Any) -> Any:
    return validated(connector.definition.credentials, secrets, path="credentials")
