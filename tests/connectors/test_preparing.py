from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from connectors.base import BatchLimits, Item, OutboundRequest, PreparedRequest
from connectors.preparing import prepare
from connectors.webhook import WebhookConnector
from domain.errors import RenderError
from tests.connectors.builders import NOW, an_item


class Batching(WebhookConnector):
    """Puts three items into one request, and cannot build those of the mapping `bad`."""

    definition = replace(WebhookConnector.definition, batch=BatchLimits(items=3))

    def build(self, settings: Any, secrets: Any, items: Sequence[Item], *, now: datetime) -> Sequence[PreparedRequest]:
        for item in items:
            if item.delivery_id.startswith("bad"):
                raise RenderError(item.delivery_id, 1, 1)
        return [PreparedRequest(OutboundRequest("POST", "https://example.com/"), tuple(items))]


def _prepared(*ids: str) -> tuple[list[list[str]], list[str]]:
    items = [an_item(delivery_id=each) for each in ids]
    prepared, refused = prepare(Batching(), None, None, items, now=NOW)
    return [[item.delivery_id for item in each.items] for each in prepared], [item.delivery_id for item, _ in refused]


def test_items_are_split_by_the_batch_limit_in_order() -> None:
    assert _prepared("a", "b", "c", "d") == ([["a", "b", "c"], ["d"]], [])


def test_one_item_that_cannot_be_built_fails_alone() -> None:
    assert _prepared("a", "bad-1", "c", "d") == ([["a"], ["c"], ["d"]], ["bad-1"])


def test_all_items_can_fail() -> None:
    assert _prepared("bad-1", "bad-2") == ([], ["bad-1", "bad-2"])


def test_the_reason_of_each_refused_item_is_its_own() -> None:
    _, refused = prepare(Batching(), None, None, [an_item(delivery_id=each) for each in ("bad-1", "bad-2")], now=NOW)
    assert [error.message for _, error in refused] == ["bad-1", "bad-2"]


def test_nothing_to_prepare_is_nothing_prepared() -> None:
    assert _prepared() == ([], [])
