"""What a request may weigh and how long its body may take. Measured on what arrives, not on what headers promise."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.problems import problem_of
from domain.errors import SluiceError, TooLarge

MAX_BODY_SECONDS = 30.0  # 1 MiB in that time is 35 KB/s, slower than any server's uplink
MAX_URL_BYTES = 8_192  # what common proxies allow
MAX_HEADER_BYTES = 32_768


class BodyTooSlow(SluiceError):
    code = "request_timeout"
    status = 408


class UrlTooLong(SluiceError):
    code = "url_too_long"
    status = 414


class HeadersTooLarge(SluiceError):
    code = "headers_too_large"
    status = 431


@dataclass(frozen=True, slots=True)
class RequestLimits:
    body_bytes: int = 1_048_576
    body_seconds: float = MAX_BODY_SECONDS


class LimitRequests:
    """ASGI middleware. The body is counted while it is read: nothing is buffered here."""

    def __init__(self, app: ASGIApp, limits: RequestLimits) -> None:
        self._app = app
        self._limits = limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        refusal = _refusal(scope)
        if refusal is not None:
            await problem_of(refusal)(scope, receive, send)
            return
        await self._app(scope, _LimitedBody(scope, receive, self._limits), send)


class _LimitedBody:
    """`receive`, raising TooLarge or BodyTooSlow where the body is read, so that they are answered like any error."""

    def __init__(self, scope: Scope, receive: Receive, limits: RequestLimits) -> None:
        self._receive = receive
        self._limits = limits
        self._declared = _declared_length(scope)
        self._got = 0
        self._complete = False
        self._deadline: float | None = None

    async def __call__(self) -> Message:
        if self._complete:
            return await self._receive()
        if self._declared > self._limits.body_bytes:
            raise self._too_large()
        message = await self._in_time()
        self._got += len(message.get("body", b""))
        self._complete = not message.get("more_body", False)
        if self._got > self._limits.body_bytes:
            raise self._too_large()
        return message

    async def _in_time(self) -> Message:
        if self._deadline is None:
            self._deadline = asyncio.get_running_loop().time() + self._limits.body_seconds
        try:
            async with asyncio.timeout_at(self._deadline):
                return await self._receive()
        except TimeoutError:
            raise BodyTooSlow(f"the body took longer than {self._limits.body_seconds:g} seconds") from None

    def _too_large(self) -> TooLarge:
        return TooLarge(f"the body is larger than {self._limits.body_bytes} bytes")


def _refusal(scope: Scope) -> SluiceError | None:
    if len(scope.get("raw_path") or b"") + len(scope["query_string"]) > MAX_URL_BYTES:
        return UrlTooLong(f"the URL is longer than {MAX_URL_BYTES} bytes")
    if sum(len(name) + len(value) for name, value in scope["headers"]) > MAX_HEADER_BYTES:
        return HeadersTooLarge(f"the headers are larger than {MAX_HEADER_BYTES} bytes")
    return None


def _declared_length(scope: Scope) -> int:
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit():
            return int(value)
    return 0
