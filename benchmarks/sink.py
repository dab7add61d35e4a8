"""A receiver that answers 200 and counts; nothing else, so that it costs the measurement little."""

from __future__ import annotations

import asyncio

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Type: text/plain\r\n\r\nok"


class _Connection(asyncio.Protocol):
    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            length = _content_length(self._buffer[:end])
            if len(self._buffer) < end + 4 + length:
                return
            self._buffer = self._buffer[end + 4 + length :]
            self._transport.write(ANSWER)  # type: ignore[attr-defined]
            self._sink.count()


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

    def count(self) -> None:
        self._left -= 1
        if self._left <= 0:
            self._done.set()

    async def __aenter__(self) -> Sink:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Connection(self), "127.0.0.1", 0)
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
