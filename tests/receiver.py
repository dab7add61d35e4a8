"""A receiver whose answers are scripted: the outside world of the tests, over a real socket."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web


@dataclass(frozen=True, slots=True)
class Received:
    """A request as it came in. `at` is the event loop's time, for order and intervals."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    at: float

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def key(self) -> str:
        return self.headers["idempotency-key"]


@dataclass(frozen=True, slots=True)
class Answer:
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: str = "ok"
    wait_for: asyncio.Event | None = None  # answer only once this is set


Script = Callable[[Received], Answer]


class Receiver:
    """`requests` in order of arrival. `script` decides each answer; `then(...)` queues answers that come first."""

    def __init__(self, port: int = 0) -> None:
        self.requests: list[Received] = []
        self.script: Script = lambda _: Answer()
        self._queued: list[Answer] = []
        self._arrived = asyncio.Condition()
        self._port = port
        self._runner: web.AppRunner | None = None
        self.url = ""

    def then(self, *answers: Answer) -> None:
        self._queued.extend(answers)

    async def __aenter__(self) -> Receiver:
        app = web.Application(client_max_size=16 * 1024 * 1024)
        app.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self._port)
        await site.start()
        self._port = self._runner.addresses[0][1]
        self.url = f"http://127.0.0.1:{self._port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def received(self, count: int, timeout: float = 30) -> list[Received]:
        """The requests so far, once there are at least `count`."""

        async def wait() -> None:
            async with self._arrived:
                await self._arrived.wait_for(lambda: len(self.requests) >= count)

        try:
            await asyncio.wait_for(wait(), timeout)
        except TimeoutError:
            raise AssertionError(f"{len(self.requests)} of {count} requests arrived in {timeout} s") from None
        return self.requests

    async def _handle(self, request: web.Request) -> web.Response:
        received = Received(
            method=request.method,
            path=request.path_qs,
            headers={name.lower(): value for name, value in request.headers.items()},
            body=await request.read(),
            at=asyncio.get_running_loop().time(),
        )
        answer = self._queued.pop(0) if self._queued else self.script(received)
        async with self._arrived:
            self.requests.append(received)
            self._arrived.notify_all()
        if answer.wait_for is not None:
            await answer.wait_for.wait()
        return web.Response(status=answer.status, headers=answer.headers, text=answer.body)


async def eventually(
    condition: Callable[[], Awaitable[Any]], *, timeout: float = 30, every: float = 0.05, what: str = "the condition"
) -> Any:
    """The first true result of `condition`, which is asked again and again; for state that nothing announces."""
    deadline = asyncio.get_running_loop().time() + timeout
    while True:
        with suppress(ConnectionError):
            if result := await condition():
                return result
        if asyncio.get_running_loop().time() > deadline:
            raise AssertionError(f"{what} did not come about in {timeout} s")
        await asyncio.sleep(every)
