"""A pump's claims: what it takes from the queue, and its permit to begin attempts, with the settings that these are made with."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Mapping

from activities.making import LiveSettings, Making
from activities.recording import recorded
from storage.attempts import Ended
from storage.event_leases import PERMIT_SECONDS, Claim, EventLeases, Lease


class Claims:
    """`live` and `revision` are those of the last claim; `live` is an end if attempts cannot be made with it."""

    live: LiveSettings | Ended

    def __init__(self, lease: Lease, leases: EventLeases, making: Making) -> None:
        self.revision = 0
        self.refused = False
        self._lease = lease
        self._leases = leases
        self._making = making
        self._permit_until = 0.0
        self._live_until = 0.0
        self._renewing = asyncio.Lock()

    async def claim(
        self,
        after: Mapping[int, int],
        returned: Mapping[int, int],
        *,
        limit: int,
        in_hand: Collection[str],
        heads_only: bool = False,
    ) -> Claim | None:
        """None, from then on: no attempt may begin any more. Raises Unavailable when the database stays away."""
        asked = time.monotonic()
        claim = await recorded(
            lambda: self._leases.claim(
                self._lease, after, returned, limit=limit, in_hand=in_hand, heads_only=heads_only
            )
        )
        if claim is None:
            self.refused = True
            return None
        if claim.revision != self.revision or asked >= self._live_until:
            await self._read_settings(claim)
            self._live_until = asked + PERMIT_SECONDS
        self._permit_until = asked + PERMIT_SECONDS
        return claim

    async def may_begin(self, in_hand: Collection[str]) -> bool:
        """Whether an attempt may begin now; asks anew when the permit has run out."""
        if time.monotonic() >= self._permit_until and not self.refused:
            async with self._renewing:
                if time.monotonic() >= self._permit_until and not self.refused:
                    await self.claim({}, {}, limit=0, in_hand=in_hand)
        return not self.refused

    async def _read_settings(self, claim: Claim) -> None:
        destination_id = self._lease.destination_id
        self.live = await recorded(lambda: self._making.settings(destination_id, claim.revision, claim.connector))
        self.revision = claim.revision
