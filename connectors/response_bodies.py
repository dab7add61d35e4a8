"""Reading an answer's body under bounds."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Mapping

import aiohttp
import httpx

from connectors.transport import Body

__all__ = ["read_body"]

_GZIP_OR_ZLIB = 32 + zlib.MAX_WBITS  # zlib detects which of the two it is
_COMPRESSED = frozenset({"gzip", "x-gzip", "deflate"})


async def read_body(
    response: httpx.Response, headers: Mapping[str, str], limit: int, deadline: float
) -> tuple[bytes, bool]:
    """At most `limit` bytes, decompressed, and whether there was more than that or the rest did not come.

    An answer whose body breaks off is still an answer: its status says what happened. `deadline` is in loop time.
    """
    body = response.stream
    assert isinstance(body, Body)  # noqa: S101  (what our transport returns)
    try:
        raw, truncated = await _read(body, limit, deadline)
    finally:
        await body.aclose()  # a connection with unread bytes is closed, not pooled
    if headers.get("content-encoding", "").strip().lower() in _COMPRESSED:
        raw, cut = _inflate(raw, limit)
        truncated = truncated or cut
    return raw, truncated


async def _read(body: Body, limit: int, deadline: float) -> tuple[bytes, bool]:
    raw = bytearray()
    try:
        async with asyncio.timeout_at(deadline):
            while chunk := await body.chunk():
                raw += chunk
                if len(raw) > limit:
                    return bytes(raw[:limit]), True
    except (TimeoutError, OSError, aiohttp.ClientError):
        return bytes(raw), True
    return bytes(raw), False


def _inflate(raw: bytes, limit: int) -> tuple[bytes, bool]:
    """What cannot be decompressed is shown as it came."""
    inflater = zlib.decompressobj(_GZIP_OR_ZLIB)
    try:
        body = inflater.decompress(raw, limit)
    except zlib.error:
        return raw, False
    return body, bool(inflater.unconsumed_tail) or not inflater.eof
