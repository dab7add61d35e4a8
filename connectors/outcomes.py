"""What became of one item, and the rule for connectors that say nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any, Literal

from connectors.messages import OutboundResponse
from domain.errors import DeliveryError, NetworkError

__all__ = ["Outcome", "classify_by_status", "classify_error", "may_have_arrived", "retry_after_seconds"]

MAX_RETRY_AFTER_SECONDS = 86_400.0
# A day covers daily quotas; a longer wait is a mistake of the server's and would park the delivery unseen.

# Timeout, locked, too early, rate limit: the 4xx that time alone can cure.
_RETRYABLE_4XX = frozenset({408, 423, 425, 429})


# No connection was made, so nothing was sent.
_NEVER_SENT = frozenset({"address_refused", "connect_failed", "connect_timeout", "dns_failed", "tls_failed"})


@dataclass(frozen=True, slots=True)
class Outcome:
    """`code` is stable (`http_429`, `dns_failed`, a vendor's own); `message` is for people and may quote the server."""

    kind: Literal["delivered", "retry", "definitive"]
    code: str
    message: str
    retry_after_seconds: float | None = None


def classify_by_status(response: OutboundResponse, *, now: datetime) -> Outcome:
    """2xx delivered; 408, 423, 425, 429, every 5xx and whatever is not recognised retried; other 4xx definitive."""
    status = response.status
    code, message = f"http_{status}", f"{status} {_phrase(status)}".strip()
    if 200 <= status < 300:
        return Outcome("delivered", code, message)
    if 400 <= status < 500 and status not in _RETRYABLE_4XX:
        return Outcome("definitive", code, message)
    return Outcome("retry", code, message, retry_after_seconds(response, now=now))


def classify_error(error: DeliveryError) -> Outcome:
    """For an exchange that brought no answer, or a request that could not be built: NetworkError is retried by kind."""
    code = error.kind if isinstance(error, NetworkError) else error.code
    return Outcome("retry" if error.retryable else "definitive", code, error.message)


def may_have_arrived(outcome: Outcome, response: Mapping[str, Any] | None) -> bool:
    """Whether the receiver may have taken the request. An answer settles that; without one, it may unless nothing was sent."""
    return outcome.kind == "delivered" if response is not None else outcome.code not in _NEVER_SENT


def retry_after_seconds(response: OutboundResponse, *, now: datetime) -> float | None:
    """Seconds from `now` as the `Retry-After` header asks (a number or an HTTP date), between 0 and a day."""
    header = response.headers.get("retry-after", "").strip()
    seconds = _as_seconds(header, now) if header else None
    return None if seconds is None else min(max(seconds, 0.0), MAX_RETRY_AFTER_SECONDS)


def _as_seconds(header: str, now: datetime) -> float | None:
    if header.isascii() and header.replace(".", "", 1).isdigit():
        return float(header)
    try:
        at = parsedate_to_datetime(header)
        return ((at if at.tzinfo else at.replace(tzinfo=UTC)) - now).total_seconds()
    except (ValueError, OverflowError):
        return None


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""
