"""The request that follows a redirect."""

from __future__ import annotations

from dataclasses import replace

import httpx

from connectors.messages import OutboundRequest
from connectors.urls import checked_url
from domain.errors import AddressRefused

__all__ = ["next_hop"]

# What may go to another origin. Any other header may be a credential or a signature, whatever its name.
_PUBLIC_HEADERS = frozenset({"accept", "content-type", "idempotency-key", "user-agent"})
_SEE_OTHER = 303
_BECOMES_GET_FROM_POST = frozenset({301, 302})


def next_hop(request: OutboundRequest, status: int, location: str) -> OutboundRequest:
    """Raises AddressRefused for a target that is not http(s), has user info, or leaves https for http."""
    origin = checked_url(request.url)
    try:
        joined = origin.join(location)
    except (httpx.InvalidURL, ValueError) as error:
        raise AddressRefused(f"the redirect's target cannot be read: {error}") from error
    target = checked_url(str(joined.copy_with(fragment=None)))
    if origin.scheme == "https" and target.scheme != "https":
        raise AddressRefused("a redirect from https to http is refused")
    following = replace(request, url=str(target))
    if not _same_origin(origin, target):
        following = _without_credentials(following)
    return _as_get(following) if _becomes_get(request.method, status) else following


def _same_origin(one: httpx.URL, other: httpx.URL) -> bool:
    return (one.scheme, one.host, one.port) == (other.scheme, other.host, other.port)


def _without_credentials(request: OutboundRequest) -> OutboundRequest:
    return replace(request, headers=tuple(pair for pair in request.headers if pair[0].lower() in _PUBLIC_HEADERS))


def _becomes_get(method: str, status: int) -> bool:
    """As browsers and RFC 9110 have it: 307 and 308 repeat the request, 303 fetches, 301 and 302 fetch after a POST."""
    if status == _SEE_OTHER:
        return method != "HEAD"
    return status in _BECOMES_GET_FROM_POST and method == "POST"


def _as_get(request: OutboundRequest) -> OutboundRequest:
    headers = tuple(pair for pair in request.headers if pair[0].lower() != "content-type")
    return replace(request, method="GET", content=b"", headers=headers)
