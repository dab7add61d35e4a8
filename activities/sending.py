"""Sending one item: build, send, classify. Whatever goes wrong is an outcome, written down with what was sent."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from activities.building import build
from activities.compilation import CompiledDestination
from activities.explaining import failure
from activities.secrets import OpenedSecrets
from connectors.base import Connector, Item, PreparedRequest
from connectors.http import OutboundHttp
from connectors.outcomes import Outcome, classify_error
from domain.errors import DeliveryError


@dataclass(frozen=True, slots=True)
class Exchange:
    """What was sent and answered, secrets masked, and what it means."""

    outcome: Outcome
    request: dict[str, Any] | None = None
    response: dict[str, Any] | None = None
    duration_ms: float | None = None


class Sending:
    def __init__(self, http: OutboundHttp) -> None:
        self._http = http

    async def send(self, compiled: CompiledDestination, secrets: OpenedSecrets, item: Item) -> Exchange:
        """Send one item and never raise for it."""
        try:
            prepared = build(compiled, secrets, item, now=datetime.now(UTC))
        except DeliveryError as error:
            outcome = replace(classify_error(error), message=failure(error).message or error.message)
            return Exchange(_masked(secrets, outcome))
        return await self.exchange(compiled.connector, secrets, prepared)

    async def exchange(self, connector: Connector, secrets: OpenedSecrets, prepared: PreparedRequest) -> Exchange:
        """Send a request that was built and never raise for it."""
        started = datetime.now(UTC)
        request = secrets.masker.request(prepared.request)
        try:
            response = await self._http.send(prepared.request)
        except DeliveryError as error:
            took = (datetime.now(UTC) - started).total_seconds() * 1000
            return Exchange(_masked(secrets, classify_error(error)), request, duration_ms=took)
        outcome = connector.classify(prepared, response, now=datetime.now(UTC))[0]
        return Exchange(
            _masked(secrets, outcome), request, secrets.masker.response(response), duration_ms=response.duration_ms
        )


def _masked(secrets: OpenedSecrets, outcome: Outcome) -> Outcome:
    return Outcome(outcome.kind, outcome.code, secrets.masker.text(outcome.message), outcome.retry_after_seconds)
