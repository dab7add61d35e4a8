"""The receiver of deliveries as a process of its own: `python -m benchmarks.receiver`, told what to do by lines on its input.

`/` counts; `/checked` reads the body's `n` and `user` too: when each arrived, and whether a user's came in order; `/silent` never answers.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import uvloop

from benchmarks.sink import ReceiverProtocol

__all__ = ["Receiver", "running_receiver"]

_LINE_BYTES = 2**26  # the arrivals of a hundred thousand are one line
_LOOK_SECONDS = 0.002


class Receiver:
    """The process, as seen from the benchmark. Times are on the monotonic clock, which all processes share."""

    def __init__(self, process: asyncio.subprocess.Process, url: str) -> None:
        self._process = process
        self.url = url
        self.pid = process.pid

    async def count(self) -> int:
        """Requests so far."""
        return int((await self._ask("count"))["count"])

    async def has_counted(self, count: int, seconds: float) -> None:
        """Return once there were so many requests in all. Raises TimeoutError."""
        answer = await self._ask("await", count=count, seconds=seconds)
        if answer["count"] < count:
            raise TimeoutError(f"{answer['count']} of {count} requests came within {seconds:.0f} s")

    async def arrivals(self) -> dict[int, float]:
        """When each `n` came first, since this was last asked."""
        return {int(n): at for n, at in (await self._ask("arrivals"))["arrivals"].items()}

    async def out_of_order(self) -> int:
        """How many came after a later one of their user's."""
        return int((await self._ask("count"))["out_of_order"])

    async def hang_up(self) -> None:
        """Close the connections that were never answered."""
        await self._ask("hang_up")

    async def _ask(self, do: str, **arguments: Any) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"do": do, **arguments}).encode() + b"\n")
        answer: dict[str, Any] = json.loads(await self._process.stdout.readline())
        return answer


@asynccontextmanager
async def running_receiver() -> AsyncIterator[Receiver]:
    pipe = asyncio.subprocess.PIPE
    argv = (sys.executable, "-m", "benchmarks.receiver")
    process = await asyncio.create_subprocess_exec(*argv, stdin=pipe, stdout=pipe, limit=_LINE_BYTES)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield Receiver(process, json.loads(await process.stdout.readline())["url"])
    finally:
        process.stdin.close()  # the end of its input ends it
        with suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), 5)
        with suppress(ProcessLookupError):
            process.kill()


class _Counted:
    def __init__(self) -> None:
        self._count = self._out_of_order = 0
        self._arrivals: dict[int, float] = {}
        self._last: dict[str, int] = {}
        self._silent: set[asyncio.BaseTransport] = set()

    def protocol(self) -> ReceiverProtocol:
        protocol = ReceiverProtocol(lambda head, body: self._take(protocol, head, body))
        return protocol

    async def answer(self, do: str, count: int = 0, seconds: float = 0) -> dict[str, Any]:
        if do == "hang_up":
            for transport in self._silent:
                transport.close()
            self._silent.clear()
        if do == "arrivals":
            arrivals, self._arrivals = self._arrivals, {}
            return {"arrivals": arrivals}
        give_up = time.monotonic() + seconds
        while do == "await" and self._count < count and time.monotonic() < give_up:
            await asyncio.sleep(_LOOK_SECONDS)
        return {"count": self._count, "out_of_order": self._out_of_order}

    def _take(self, protocol: ReceiverProtocol, head: bytes, body: bytes) -> bool:
        if head.startswith(b"POST /silent"):
            self._silent.add(protocol.transport)
            return False
        self._count += 1
        if head.startswith(b"POST /checked"):
            self._check(json.loads(body))
        return True

    def _check(self, body: dict[str, Any]) -> None:
        n, user = body["n"], body["user"]
        self._arrivals.setdefault(n, time.monotonic())
        self._out_of_order += n < self._last.get(user, 0)
        self._last[user] = n


async def main() -> None:
    loop = asyncio.get_running_loop()
    counted, lines = _Counted(), asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    server = await loop.create_server(counted.protocol, "127.0.0.1", 0)
    print(json.dumps({"url": f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"}), flush=True)
    while line := await lines.readline():
        print(json.dumps(await counted.answer(**json.loads(line))), flush=True)


if __name__ == "__main__":
    uvloop.run(main())
