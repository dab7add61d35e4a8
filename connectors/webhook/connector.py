"""The webhook connector's two functions."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from connectors.base import Item, OutboundResponse, Outcome, PreparedRequest
from connectors.outcomes import classify_by_status
from connectors.webhook.build import build_request
from connectors.webhook.definition import DEFINITION, WebhookCredentials, WebhookSettings

__all__ = ["WebhookConnector"]


class WebhookConnector:
    """One request per item; the status alone decides."""

    definition = DEFINITION

    def build(
        self, settings: WebhookSettings, secrets: WebhookCredentials, items: Sequence[Item], *, now: datetime
    ) -> Sequence[PreparedRequest]:
        return [PreparedRequest(build_request(settings, secrets, item, now=now), (item,)) for item in items]

    def classify(self, prepared: PreparedRequest, response: OutboundResponse, *, now: datetime) -> Sequence[Outcome]:
        return [classify_by_status(response, now=now)] * len(prepared.items)
