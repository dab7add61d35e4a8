"""A receiver that answers 200 and counts; nothing else, so that it costs the measurement little."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

__all__ = ["ReceiverProtocol", "Sink"]

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Type: text/plain\r\n\r\nok"


class ReceiverProtocol(asyncio.Protocol):
    """`take` is given the head and the body of each request, and says whether it is answered."""

    def __init__(self, take: Callable[[bytes, bytes], bool]) -> None:
        self._take = take
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head, start = self._buffer[:end], end + 4
            length = _content_length(head)
            if len(self._buffer) < start + length:
                return
            body, self._buffer = self._buffer[start : start + length], self._buffer[start + length :]
            if self._take(head, body):
                self.transport.write(ANSWER)  # type: ignore[attr-defined]


class Sink:
    """`expect(n)`, then `done()` waits for n more requests."""

    def __init__(self) -> None:
        self._left = 0
        self._done = asyncio.Event()
        self.url = ""

    def expect(self, count: int) -> None:
        self._left = count
        self._done.clear()

    async def done(self, seconds: float = 300) -> None:
        await asyncio.wait_for(self._done.wait(), seconds)

    def count(self, _head: bytes, _body: bytes) -> bool:
        self._left -= 1
        if self._left <= 0:
            self._done.set()
        return True

    async def __aenter__(self) -> Sink:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: ReceiverProtocol(self.count), "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()


def _content_length(head: bytes) -> int:
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    return 0
