"""Large, lying and slow requests, over real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
import uvicorn

from api.assembly import assemble
from api.limits import RequestLimits
from api.metrics import Metrics
from domain.profiles import MAX_DOCUMENT_BYTES
from storage.database import Database
from tests.api.conftest import Api, services_over

LIMITS = RequestLimits(body_bytes=10_000, body_seconds=0.3)


class Served:
    def __init__(self, port: int, key: str) -> None:
        self.port = port
        self.key = key

    async def exchange(self, *pieces: bytes) -> tuple[int, dict[str, object]]:
        """Sends the pieces, and reads one answer to the end of the connection."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            for piece in pieces:
                writer.write(piece)
                with contextlib.suppress(ConnectionError):
                    await writer.drain()
            head, _, body = (await asyncio.wait_for(reader.read(), 20)).partition(b"\r\n\r\n")
            return int(head.split(b" ")[1]), json.loads(body)
        finally:
            writer.close()

    def head(self, *headers: str) -> bytes:
        lines = ["POST /v1/keys HTTP/1.1", "Host: x", f"Authorization: Bearer {self.key}", *headers]
        return ("\r\n".join(lines) + "\r\n\r\n").encode()


@pytest_asyncio.fixture
async def served(database: Database) -> AsyncIterator[Served]:
    services = services_over(database)
    key = (await services.keys.create("k", ["admin"])).secret
    config = uvicorn.Config(assemble(metrics=Metrics(), services=services, limits=LIMITS), port=0, log_config=None)
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0)  # until the socket is bound
    yield Served(server.servers[0].sockets[0].getsockname()[1], key)
    server.should_exit = True
    await task


async def test_a_body_that_is_declared_too_large_is_refused_unread(served: Served) -> None:
    status, problem = await served.exchange(served.head("Content-Length: 10001"))
    assert (status, problem["code"]) == (413, "too_large")


async def test_a_body_that_grows_too_large_is_refused_while_it_comes(served: Served) -> None:
    chunk = b"400\r\n" + b" " * 0x400 + b"\r\n"
    status, problem = await served.exchange(served.head("Transfer-Encoding: chunked"), *[chunk] * 12)
    assert (status, problem["code"]) == (413, "too_large")


async def test_a_body_that_does_not_come_is_not_waited_for(served: Served) -> None:
    status, problem = await served.exchange(served.head("Content-Length: 100"), b'{"name":')
    assert (status, problem["code"]) == (408, "request_timeout")


async def test_without_a_key_the_size_is_nobodys_business(served: Served) -> None:
    status, problem = await served.exchange(
        b"POST /v1/keys HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}"
    )
    assert (status, problem["code"]) == (401, "unauthenticated")


async def test_a_body_within_the_limit_passes(served: Served) -> None:
    body = b'{"name": "n", "scopes": ["ingest"]}'
    status, _ = await served.exchange(served.head(f"Content-Length: {len(body)}", "Connection: close"), body)
    assert status == 201


@pytest.mark.parametrize("method", ["PATCH", "PUT"])
async def test_a_profile_has_a_limit_of_its_own(api: Api, method: str) -> None:
    fits = {"properties": {"x": "y" * (MAX_DOCUMENT_BYTES - 1000)}}
    large = {"properties": {"x": "y" * MAX_DOCUMENT_BYTES}}
    assert (await api.call(method, "/v1/profiles/ada", fits)).status_code == 200
    answer = await api.call(method, "/v1/profiles/ada", large)
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")
