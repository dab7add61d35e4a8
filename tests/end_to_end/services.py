"""What services and operators do with a running system, in sentences, over its public HTTP API and nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any
from urllib.parse import quote

import httpx

from tests.builders import a_spec
from tests.receiver import eventually

AT_ONCE = 10  # requests; two cores carry no more
PATIENCE_SECONDS = 90.0


class Services:
    """A service tries again while the API is away or answers 503, as its documentation says; anything else is a failure."""

    def __init__(self, url: str, key: str) -> None:
        self.http = httpx.AsyncClient(base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=20)
        self._places = asyncio.Semaphore(AT_ONCE)

    async def __aenter__(self) -> Services:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.http.aclose()

    async def call(self, method: str, path: str, body: Any = None) -> Any:
        """One request that must succeed; the JSON it is answered with."""
        answer = await self.http.request(method, path, json=body)
        assert answer.is_success, f"{method} {path} → {answer.status_code} {answer.text}"
        return answer.json() if answer.content else None

    async def get(self, path: str) -> Any:
        """The answer, once the API gives one: what reads may be asked again."""
        return await eventually(lambda: self._try("GET", path), timeout=PATIENCE_SECONDS, what=f"an answer to {path}")

    async def change(self, profile_id: str, **properties: Any) -> None:
        """Send a change again and again until it is accepted."""
        path, body = f"/v1/profiles/{quote(profile_id, safe='')}", {"properties": properties}
        async with self._places:
            await eventually(
                lambda: self._try("PATCH", path, body), every=0.2, timeout=PATIENCE_SECONDS, what=f"{path} accepted"
            )

    async def change_all(self, profile_ids: Iterable[str], **properties: Any) -> None:
        await asyncio.gather(*(self.change(profile_id, **properties) for profile_id in profile_ids))

    async def publish(self, destination_id: str, url: str, **spec: Any) -> None:
        body = {"id": destination_id, "connector": "webhook", **a_spec(url, **spec)}
        await self.call("POST", "/v1/destinations", body)
        await self.call("POST", f"/v1/destinations/{destination_id}/publish")

    async def delete(self, destination_id: str) -> None:
        await self.call("DELETE", f"/v1/destinations/{destination_id}")

    async def pause(self, destination_id: str) -> Any:
        return await self.call("POST", f"/v1/destinations/{destination_id}/pause", {"reason": "maintenance"})

    async def resume(self, destination_id: str) -> Any:
        return await self.call("POST", f"/v1/destinations/{destination_id}/resume")

    async def destination(self, destination_id: str) -> Any:
        return await self.get(f"/v1/destinations/{destination_id}")

    async def syncs(self, profile_ids: Iterable[str], destination_id: str) -> list[dict[str, Any]]:
        """Of each profile that has one to the destination."""

        async def of(profile_id: str) -> list[dict[str, Any]]:
            async with self._places:
                data = (await self.get(f"/v1/profiles/{quote(profile_id, safe='')}/syncs"))["data"]
            return [sync for sync in data if sync["destination_id"] == destination_id]

        return [sync for found in await asyncio.gather(*map(of, profile_ids)) for sync in found]

    async def account(self, destination_id: str) -> dict[str, int]:
        """The destination's part of the reconciliation."""
        destinations = (await self.get("/v1/reconciliation"))["destinations"]
        return next((found for found in destinations if found["destination_id"] == destination_id), {})

    async def deliveries(self, **filters: Any) -> list[dict[str, Any]]:
        """Newest first."""
        query = "&".join(f"{name}={quote(str(value), safe='')}" for name, value in filters.items())
        found: list[dict[str, Any]] = (await self.get(f"/v1/deliveries?limit=500&{query}"))["data"]
        return found

    async def _try(self, method: str, path: str, body: Any = None) -> Any:
        try:
            answer = await self.http.request(method, path, json=body)
        except httpx.TransportError:
            return None
        if answer.status_code == httpx.codes.SERVICE_UNAVAILABLE:
            return None
        assert answer.is_success, f"{method} {path} → {answer.status_code} {answer.text}"
        return answer.json()
