"""What services and operators do in the benchmarks, over the public HTTP API."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterable, Sequence
from typing import Any

import aiohttp

from benchmarks.calls import MAPPED
from benchmarks.system import ADMIN_KEY

__all__ = ["ApiClient"]

_HEADERS = {"Authorization": f"Bearer {ADMIN_KEY}", "Content-Type": "application/json"}


class ApiClient:
    """Raises AssertionError for every answer that is no success."""

    def __init__(self, url: str) -> None:
        self._http = aiohttp.ClientSession(url, headers=_HEADERS)

    async def __aenter__(self) -> ApiClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.close()

    async def publish(self, destination_id: str, url: str, *, event: str, **settings: Any) -> None:
        """A webhook that is sent the events of this name."""
        only = {"mode": "only", "names": [event]}
        body = {"format": "json", "template": MAPPED}
        mapping = {"id": "events", "source": "events", "events": only, "action": "send", "body": body}
        spec = {"name": destination_id, "settings": {"url": url, **settings}, "mappings": [mapping]}
        await self._call("POST", "/v1/destinations", {"id": destination_id, "connector": "webhook", **spec})
        await self._call("POST", f"/v1/destinations/{destination_id}/publish")

    async def remove(self, *destination_ids: str) -> None:
        for destination_id in destination_ids:
            await self._call("DELETE", f"/v1/destinations/{destination_id}")

    async def pause(self, destination_id: str) -> None:
        await self._call("POST", f"/v1/destinations/{destination_id}/pause", {})

    async def resume(self, destination_id: str) -> None:
        await self._call("POST", f"/v1/destinations/{destination_id}/resume")

    async def track(self, call: dict[str, Any]) -> tuple[float, float]:
        """When it was sent and when it was acknowledged, on the monotonic clock."""
        sent = time.monotonic()
        await self._call("POST", "/v1/track", call)
        return sent, time.monotonic()

    async def post_batches(self, of_posters: Iterable[Sequence[bytes]]) -> None:
        """Each poster sends its batches one after the other, all posters at the same time."""
        await asyncio.gather(*(self._post(bodies) for bodies in of_posters))

    async def _post(self, bodies: Sequence[bytes]) -> None:
        for body in bodies:
            async with self._http.post("/v1/batch", data=body) as answer:
                said = await answer.json()
                assert answer.ok and not said["refused"] and not said["duplicates"], said

    async def _call(self, method: str, path: str, body: Any = None) -> None:
        data = json.dumps(body) if body is not None else None
        async with self._http.request(method, path, data=data) as answer:
            assert answer.ok, f"{method} {path} → {answer.status} {await answer.text()}"
