"""Slashes inside an id. Servers decode `%2F` before routing, which would make two segments of one id."""

from __future__ import annotations

import re

from starlette.types import ASGIApp, Receive, Scope, Send

from api.problems import problem_of
from domain.errors import ErrorDetail, InvalidInput

# Stands for a slash within a segment. Nothing else can: an encoded NUL is refused here, a plain one is no HTTP.
INNER_SLASH = "\x00"


class KeepInnerSlashes:
    """ASGI middleware: `/v1/profiles/a%2Fb` stays one segment after `profiles`. Refuses `%00`, which no id may hold."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        raw: bytes = scope.get("raw_path") or b"" if scope["type"] == "http" else b""
        if INNER_SLASH in scope.get("path", ""):
            await problem_of(_refusal())(scope, receive, send)
            return
        if b"%2f" in raw.lower():
            scope = {**scope, "path": _with_inner_slashes(scope["path"], raw)}
        await self._app(scope, receive, send)


def restored(segment: str) -> str:
    """The id that a segment stands for."""
    return segment.replace(INNER_SLASH, "/")


def _with_inner_slashes(path: str, raw: bytes) -> str:
    """`path` is `raw` decoded, so their slashes come in the same order; only the raw ones tell which were encoded."""
    slashes = iter(re.findall(rb"/|%2f", raw.lower()))
    return "".join(INNER_SLASH if each == "/" and next(slashes, b"/") == b"%2f" else each for each in path)


def _refusal() -> InvalidInput:
    message = "the character U+0000 cannot be part of an id"
    return InvalidInput(message, details=[ErrorDetail("id", message)])
