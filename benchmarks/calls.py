"""Track calls of about 500 bytes, the mapping that sends them on, and the body that comes of it."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from typing import Any

__all__ = ["MAPPED", "batches", "body", "call"]

PROFILES = 2_000
BATCH = 100
AGENT = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
MAPPED = {
    "n": "{{ event.properties.n | json }}",
    "user": "{{ user.id }}",
    "event": "{{ event.name }}",
    "message_id": "{{ event.messageId }}",
    "at": "{{ event.timestamp }}",
    "properties": "{{ event.properties | json }}",
    "agent": "{{ event.context.userAgent }}",
}
_numbers = itertools.count(1)


def call(event: str, *, user: int = 0) -> dict[str, Any]:
    """One track call, whose `properties.n` is larger than that of any before it."""
    n = next(_numbers)
    return {
        "type": "track",
        "userId": f"customer-{user:06}",
        "event": event,
        "messageId": f"{n:08}-b1c5-4c4e-9f5e-6a3f0f0f8a51",
        "timestamp": "2026-11-22T09:40:00.123Z",
        "properties": {
            "n": n,
            "orderId": f"order-{n}",
            "revenue": 129.95,
            "currency": "EUR",
            "products": [{"sku": "SKU-1138", "name": "A winter coat", "price": 129.95, "quantity": 1}],
        },
        "context": {"ip": "203.0.113.7", "userAgent": AGENT},
    }


def body(made: dict[str, Any]) -> bytes:
    """What MAPPED makes of a call."""
    properties = made["properties"]
    mapped = {
        "n": properties["n"],
        "user": made["userId"],
        "event": made["event"],
        "message_id": made["messageId"],
        "at": made["timestamp"],
        "properties": properties,
        "agent": AGENT,
    }
    return json.dumps(mapped, separators=(",", ":")).encode()


def batches(event: str, count: int, *, posters: int, profiles: int = PROFILES) -> list[Sequence[bytes]]:
    """Bodies of POST /v1/batch, a list for each poster. A profile's calls are all one poster's, so that they keep their order."""
    return [
        _of_poster(event, len(range(poster, count, posters)), poster, posters, profiles) for poster in range(posters)
    ]


def _of_poster(event: str, count: int, poster: int, posters: int, profiles: int) -> list[bytes]:
    own = range(poster, profiles, posters)
    calls = [call(event, user=own[number % len(own)]) for number in range(count)]
    return [_dumped(calls[start : start + BATCH]) for start in range(0, count, BATCH)]


def _dumped(calls: list[dict[str, Any]]) -> bytes:
    return json.dumps({"batch": calls, "sentAt": "2026-11-22T09:40:00.200Z"}, separators=(",", ":")).encode()
