"""The route class of every router: the key is checked before a byte of the body is read, and bodies are strict JSON."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException

from api.auth import Guard
from api.json_bodies import parse_json

Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class GuardedRoute(APIRoute):
    """Refuses to exist without a guard; what may be open is made with `open_router`."""

    open_to_all = False

    def get_route_handler(self) -> Handler:
        handle = super().get_route_handler()
        guard = guard_of(self.dependant)
        if guard is None and not self.open_to_all:
            raise TypeError(f"the route {self.path} names no scope")
        takes_body = self.body_field is not None

        async def guarded(request: Request) -> Response:
            if guard is not None:
                await guard.check(request)
            return await handle(await _JsonRequest.read(request) if takes_body else request)

        return guarded


class OpenRoute(GuardedRoute):
    open_to_all = True


def router(*, tag: str) -> APIRouter:
    return APIRouter(route_class=GuardedRoute, tags=[tag], strict_content_type=False)


def open_router(*, tag: str) -> APIRouter:
    """For routes that need no key, or decide by themselves."""
    return APIRouter(route_class=OpenRoute, tags=[tag], strict_content_type=False)


def guard_of(dependant: Dependant) -> Guard | None:
    return next((each.call for each in dependant.dependencies if isinstance(each.call, Guard)), None)


class _JsonRequest(Request):
    """A request whose body has been read and parsed already."""

    _parsed: Any = None

    @classmethod
    async def read(cls, request: Request) -> _JsonRequest:
        made = cls(request.scope, request.receive)
        body = await made.body()
        if body:
            _check_content_type(request)
            made._parsed = parse_json(body)
        return made

    async def json(self) -> Any:
        return self._parsed


def _check_content_type(request: Request) -> None:
    kind = request.headers.get("content-type", "application/json").partition(";")[0].strip().lower()
    if kind != "application/json" and not (kind.startswith("application/") and kind.endswith("+json")):
        raise HTTPException(415, "send JSON: Content-Type: application/json")
