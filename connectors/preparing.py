"""Building requests for several items so that one which cannot be built fails alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from connectors.base import Connector, Item, PreparedRequest
from domain.errors import DeliveryError

__all__ = ["prepare"]

Built = tuple[list[PreparedRequest], list[tuple[Item, DeliveryError]]]


def prepare(connector: Connector, settings: Any, secrets: Any, items: Sequence[Item], *, now: datetime) -> Built:
    """Requests within the connector's batch limit, and the items that could not be built with the reason of each."""
    prepared: list[PreparedRequest] = []
    refused: list[tuple[Item, DeliveryError]] = []
    size = connector.definition.batch.items
    for start in range(0, len(items), size):
        built, failed = _built(
            lambda batch: connector.build(settings, secrets, batch, now=now), items[start : start + size]
        )
        prepared.extend(built)
        refused.extend(failed)
    return prepared, refused


def _built(build: Callable[[Sequence[Item]], Sequence[PreparedRequest]], batch: Sequence[Item]) -> Built:
    """The batch as one; if that fails, each item for itself."""
    try:
        return list(build(batch)), []
    except DeliveryError as error:
        if len(batch) == 1:
            return [], [(batch[0], error)]
    alone = [_built(build, [item]) for item in batch]
    return [request for built, _ in alone for request in built], [each for _, failed in alone for each in failed]
