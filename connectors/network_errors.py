"""What went wrong on the way to a server, as one of our errors."""

from __future__ import annotations

from collections.abc import Iterator

import aiohttp
import httpx
from aiohttp.client_exceptions import ClientConnectorDNSError

from domain.errors import AddressRefused, DeliveryError, NetworkError

__all__ = ["delivery_error"]

UNKNOWN_OUTCOME = "the request had been sent, so its outcome is unknown"

# The first that fits names the failure; the more special come first.
_KINDS: tuple[tuple[type[BaseException], str, str], ...] = (
    (ClientConnectorDNSError, "dns_failed", "the host name could not be resolved"),
    (aiohttp.ClientConnectorCertificateError, "tls_failed", "the server's certificate was not accepted"),
    (aiohttp.ClientConnectorSSLError, "tls_failed", "no TLS connection"),
    (aiohttp.ClientConnectorError, "connect_failed", "no connection"),
    (aiohttp.ConnectionTimeoutError, "connect_timeout", "no connection in time"),
    (TimeoutError, "timeout", "no answer in time"),
    (aiohttp.ClientResponseError, "bad_response", "the answer was not HTTP, or its headers were too large"),
    (aiohttp.ClientConnectionError, "connection_reset", "the connection ended before the answer"),
    (aiohttp.ClientPayloadError, "connection_reset", "the connection ended before the answer"),
    (OSError, "connection_reset", "the connection ended before the answer"),
)


def delivery_error(error: BaseException, *, sent: bool) -> DeliveryError:
    """AddressRefused, NetworkError with its kind, or a plain DeliveryError for a request that could not be written."""
    for cause in _causes(error):
        if isinstance(cause, AddressRefused):
            return AddressRefused(cause.message)
    fault = error.__cause__ if isinstance(error, httpx.HTTPError) and error.__cause__ else error
    for kind, code, words in _KINDS:
        if isinstance(fault, kind):
            return _network_error(code, words, fault, sent=sent)
    if isinstance(fault, ValueError):
        return DeliveryError(f"the request cannot be sent: {fault}")
    return _network_error("network_error", "the exchange failed", fault, sent=sent)


def _network_error(kind: str, words: str, fault: BaseException, *, sent: bool) -> NetworkError:
    parts = [words, _reason(fault), UNKNOWN_OUTCOME if sent else ""]
    return NetworkError("; ".join(part for part in parts if part), kind=kind)


def _reason(fault: BaseException) -> str:
    """The system's own words, without the address, which the attempt shows anyway."""
    cause = getattr(fault, "os_error", None) or getattr(fault, "certificate_error", None) or fault
    return getattr(cause, "strerror", None) or str(cause)


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        seen = seen.__cause__ or seen.__context__
