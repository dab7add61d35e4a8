"""httpx over aiohttp, whose parser and connection pool take a tenth of the time of httpx's own.

As `httpx-aiohttp` does it, but for what a delivery has no use for (streamed requests, proxies) and what costs as much as the exchange
itself: see docs/decisions/http-transport.md.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from functools import lru_cache

import aiohttp
import httpx
from multidict import CIMultiDict

__all__ = ["AiohttpTransport", "Body"]


class Body(httpx.AsyncByteStream):
    """An answer's body, to be read once. Raises aiohttp's errors."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response

    async def chunk(self) -> bytes:
        """What has arrived, once there is something; nothing at the end."""
        return await self._response.content.readany()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while chunk := await self.chunk():
            yield chunk

    async def aclose(self) -> None:
        """A connection with unread bytes is closed, not pooled."""
        self._response.release()


class AiohttpTransport(httpx.AsyncBaseTransport):
    """`open_session` is called once, within the event loop. Raises aiohttp's errors, not httpx's."""

    def __init__(self, open_session: Callable[[], aiohttp.ClientSession]) -> None:
        self._open_session = open_session
        self._session: aiohttp.ClientSession | None = None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Its stream is a ByteStream; its extensions have a `timeout` in seconds for `pool` and for `connect`."""
        assert isinstance(request.stream, httpx.ByteStream)  # noqa: S101 - a contract between us two
        session = self._session = self._session or self._open_session()
        timeout = request.extensions["timeout"]
        response = await session.request(
            request.method,
            str(request.url),
            headers=CIMultiDict([(name.decode(), value.decode()) for name, value in request.headers.raw]),
            data=b"".join(request.stream) or None,
            allow_redirects=False,
            auto_decompress=False,
            timeout=_timeout(timeout["pool"], timeout["connect"]),
        )
        return httpx.Response(response.status, headers=response.raw_headers, stream=Body(response))

    async def aclose(self) -> None:
        if self._session is not None:
            await self._session.close()


@lru_cache(maxsize=64)
def _timeout(pool: float, connect: float) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(connect=pool, sock_connect=connect)
