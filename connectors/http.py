"""The one client that every outbound request goes through."""

from __future__ import annotations

import asyncio
import ssl
from contextvars import ContextVar
from dataclasses import dataclass
from time import perf_counter
from types import TracebackType

import aiohttp
import certifi
import httpx
from aiohttp.abc import AbstractResolver
from aiohttp.connector import Connection

from connectors.addresses import AddressPolicy
from connectors.headers import raw_header
from connectors.messages import USER_AGENT, OutboundRequest, OutboundResponse
from connectors.network_errors import delivery_error
from connectors.redirects import next_hop
from connectors.response_bodies import read_body
from connectors.sockets import SystemResolver, guarded_connector, unguarded_connector
from connectors.transport import AiohttpTransport
from connectors.urls import checked_url
from domain.errors import NetworkError

__all__ = ["HttpLimits", "OutboundHttp"]


@dataclass(frozen=True, slots=True)
class HttpLimits:
    """Bounds of one exchange, whatever the other side does."""

    connect_seconds: float = 10.0  # name look-up, TCP and TLS; three SYN retransmissions fit
    body_bytes: int = 64 * 1024  # answers are read for their outcome and shown in the log; more is of no use to either
    header_field_bytes: int = 8190  # what common servers send at most
    header_fields: int = 100
    redirects: int = 5


@dataclass(slots=True)
class _Progress:
    sent: bool = False


_progress: ContextVar[_Progress] = ContextVar("outbound_progress")


class OutboundHttp:
    """Sends requests to permitted addresses; keeps connections, keeps no cookies, asks no proxy and no environment.

    The policy is fixed for the client's life, so that no pooled connection outlives a change of policy.
    """

    def __init__(
        self,
        policy: AddressPolicy | None = None,
        *,
        limits: HttpLimits | None = None,
        tls: ssl.SSLContext | None = None,
        resolver: AbstractResolver | None = None,
    ) -> None:
        self._policy = policy or AddressPolicy()
        self._limits = limits or HttpLimits()
        self._tls = tls or _public_trust()
        self._resolver = resolver or SystemResolver()
        self._guarded = self._transport(trusted=False)
        self._trusted = self._transport(trusted=True)

    async def __aenter__(self) -> OutboundHttp:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        await self._guarded.aclose()
        await self._trusted.aclose()
        await self._resolver.close()

    async def send(self, request: OutboundRequest) -> OutboundResponse:
        """One exchange, redirects included when asked for.

        Raises AddressRefused (nothing was sent to the refused address) or NetworkError, whose message says so when the
        request had been sent and its outcome is therefore unknown; DeliveryError for a header that cannot be sent.
        """
        started = perf_counter()
        deadline = asyncio.get_running_loop().time() + request.timeout_seconds
        hop = request
        for _ in range(self._limits.redirects + 1):
            response, location = await self._exchange(hop, deadline, started)
            if not (request.follow_redirects and location):
                return response
            hop = next_hop(hop, response.status, location)
        raise NetworkError(f"more than {self._limits.redirects} redirects", kind="too_many_redirects")

    async def _exchange(
        self, request: OutboundRequest, deadline: float, started: float
    ) -> tuple[OutboundResponse, str | None]:
        response = await self._head(request, deadline)
        headers = dict(response.headers.items())  # httpx has their names in lower case
        body, truncated = await read_body(response, headers, self._limits.body_bytes, deadline)
        elapsed = (perf_counter() - started) * 1000
        location = headers.get("location") if 300 <= response.status_code < 400 else None
        return OutboundResponse(response.status_code, headers, body, truncated, elapsed), location

    async def _head(self, request: OutboundRequest, deadline: float) -> httpx.Response:
        """The answer up to its headers; its body is still to be read."""
        outgoing = self._outgoing(request)
        transport = self._trusted if self._policy.trusts(outgoing.url.host) else self._guarded
        progress = _Progress()
        token = _progress.set(progress)
        try:
            async with asyncio.timeout_at(deadline):
                return await transport.handle_async_request(outgoing)
        except (TimeoutError, OSError, ValueError, aiohttp.ClientError, httpx.HTTPError) as error:
            raise delivery_error(error, sent=progress.sent) from error
        finally:
            _progress.reset(token)

    def _outgoing(self, request: OutboundRequest) -> httpx.Request:
        connect = min(self._limits.connect_seconds, request.timeout_seconds)
        return httpx.Request(
            request.method,
            checked_url(request.url),
            headers=[raw_header(name, value) for name, value in request.headers],
            stream=httpx.ByteStream(
                request.content
            ),  # not `content`: aiohttp makes the headers that httpx would derive from it
            extensions={"timeout": {"pool": connect, "connect": connect}},
        )

    def _transport(self, *, trusted: bool) -> AiohttpTransport:
        return AiohttpTransport(lambda: self._session(trusted))

    def _session(self, trusted: bool) -> aiohttp.ClientSession:
        connector = (
            unguarded_connector(self._resolver, self._tls)
            if trusted
            else guarded_connector(self._policy, self._resolver, self._tls)
        )
        return aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
            headers={"User-Agent": USER_AGENT},
            skip_auto_headers=("Content-Type",),
            max_line_size=self._limits.header_field_bytes,
            max_field_size=self._limits.header_field_bytes,
            max_headers=self._limits.header_fields,
            request_class=_WatchedRequest,
        )


def _public_trust() -> ssl.SSLContext:
    """The system's authorities (an operator adds private ones there), and certifi's where an image has none."""
    context = ssl.create_default_context()
    context.load_verify_locations(certifi.where())
    return context


class _WatchedRequest(aiohttp.ClientRequest):
    """Notes when it is put on a connection: from then on the receiver may have it. A trace would cost a tenth of a request."""

    async def send(self, conn: Connection) -> aiohttp.ClientResponse:
        _progress.get().sent = True
        return await super().send(conn)
