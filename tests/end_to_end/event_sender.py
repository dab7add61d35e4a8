"""A service that tells what its customers do, and tries each batch again until it is answered with success."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from typing import Any

import httpx

from tests.end_to_end.services import Services
from tests.receiver import eventually

PATIENCE_SECONDS = 120.0  # every part may be killed again and again meanwhile


class Sender:
    """The only one who sends events of its profiles. `stored`: how many of each profile were answered with success."""

    def __init__(self, services: Services, name: str, profiles: Sequence[str], *, seed: int = 0) -> None:
        self.stored: Counter[str] = Counter()
        self.batches = self.requests = 0
        self._services = services
        self._name = name
        self._profiles = profiles
        self._random = random.Random(seed)

    async def send(self, count: int) -> None:
        """One batch of `count` events of profiles at random."""
        await self.send_of(self._random.choices(self._profiles, k=count))

    async def send_round(self) -> None:
        """One batch with an event of each profile, in their order."""
        await self.send_of(self._profiles)

    async def send_of(self, profiles: Sequence[str]) -> None:
        """One batch with an event of each of these, each numbered after the one before of its profile."""
        numbers = self.stored.copy()
        calls = []
        for profile in profiles:
            calls.append(self._call(profile, numbers[profile]))
            numbers[profile] += 1
        self.batches += 1
        await eventually(
            lambda: self._try(calls), every=0.2, timeout=PATIENCE_SECONDS, what="a batch that is answered with 200"
        )
        self.stored = numbers

    async def stored_by_the_api(self) -> Counter[str]:
        """How many of these events of each profile the API lists."""
        found: Counter[str] = Counter()
        query = f"/v1/events?limit=500&name={self._name}"
        page = await self._services.get(query)
        while True:
            found.update(each["profile_id"] for each in page["data"])
            if page["next_cursor"] is None:
                return Counter({profile: found[profile] for profile in self._profiles if found[profile]})
            page = await self._services.get(f"{query}&cursor={page['next_cursor']}")

    def _call(self, profile: str, n: int) -> dict[str, Any]:
        return {
            "type": "track",
            "event": self._name,
            "userId": profile,
            "messageId": f"{self._name}-{profile}-{n}",
            "properties": {"n": n},
        }

    async def _try(self, calls: list[dict[str, Any]]) -> bool:
        self.requests += 1
        try:
            answer = await self._services.http.post("/v1/batch", json={"batch": calls})
        except httpx.TransportError:
            return False
        if answer.status_code == httpx.codes.SERVICE_UNAVAILABLE:
            return False
        assert answer.status_code == 200, f"{answer.status_code} {answer.text}"
        told = answer.json()
        assert told["accepted"] + told["duplicates"] == len(calls), told
        return True
