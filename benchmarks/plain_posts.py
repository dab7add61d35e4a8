"""A loop of plain httpx posts: `python -m benchmarks.plain_posts URL COUNT` prints how many it made a second."""

from __future__ import annotations

import asyncio
import sys
import time

import httpx

from benchmarks.calls import PROFILES, body, call


async def posts_a_second(url: str, count: int) -> float:
    bodies = [body(call("plain", user=number % PROFILES)) for number in range(count)]
    headers = {"Content-Type": "application/json"}
    async with httpx.AsyncClient(headers=headers) as client:
        await client.post(url, content=bodies[0])
        started = time.perf_counter()
        for each in bodies:
            (await client.post(url, content=each)).raise_for_status()
        return count / (time.perf_counter() - started)


if __name__ == "__main__":
    print(asyncio.run(posts_a_second(sys.argv[1], int(sys.argv[2]))))
