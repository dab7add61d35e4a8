"""Around every request: its id, its log line, its metrics, and an answer whatever happens inside."""

from __future__ import annotations

import re
import time
from collections.abc import Callable

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uuid_utils.compat import uuid7

from api.problems import problem

REQUEST_ID = b"x-request-id"
_ACCEPTED = re.compile(rb"[A-Za-z0-9._:-]{1,128}")  # goes into logs as it is, so nothing that could forge a line

Observe = Callable[[str, str, int, float], None]
"""Told method, route, status and seconds of every request."""

_log = structlog.get_logger("api.requests")


class AccompanyRequests:
    """ASGI middleware, the outermost."""

    def __init__(self, app: ASGIApp, observe: Observe) -> None:
        self._app = app
        self._observe = observe

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = _request_id(scope)
        answer = _Answer(send, request_id)
        started = time.perf_counter()
        with structlog.contextvars.bound_contextvars(request_id=request_id):
            try:
                await self._app(scope, receive, answer)
            except Exception as error:
                await _answer_failure(error, scope, receive, answer)
            self._note(scope, answer.status, time.perf_counter() - started)

    def _note(self, scope: Scope, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path_format", "unmatched")
        self._observe(scope["method"], route, status, seconds)
        # The route and not the path: paths hold the ids of customers.
        write = _log.debug if route in ("/healthz", "/readyz", "/metrics") else _log.info
        write("request", method=scope["method"], route=route, status=status, duration_ms=round(seconds * 1000, 1))


class _Answer:
    """`send`, adding the request's id and remembering the status."""

    def __init__(self, send: Send, request_id: str) -> None:
        self._send = send
        self._header = (REQUEST_ID, request_id.encode())
        self.status = 0

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message = {**message, "headers": [*message.get("headers", ()), self._header]}
        await self._send(message)


async def _answer_failure(error: Exception, scope: Scope, receive: Receive, answer: _Answer) -> None:
    _log.error("request_failed", exc_info=error)
    response = problem(500, "internal_error", "something went wrong here; the log has it under the X-Request-Id")
    if answer.status:  # the client has the beginning of another answer: only breaking off tells it
        raise error
    await response(scope, receive, answer)


def _request_id(scope: Scope) -> str:
    for name, value in scope["headers"]:
        if name == REQUEST_ID and _ACCEPTED.fullmatch(value):
            return str(value.decode())
    return str(uuid7())
