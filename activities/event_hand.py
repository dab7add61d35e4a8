"""What a pump has in hand: taken from the queue, and not written down yet. By profile, so that each keeps its order."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Collection, Iterable, KeysView

from domain.events import QueuedDelivery
from storage.event_leases import Claim


class Hand:
    """`after`: up to which position each lane has been read; `returned`: what the database said of it then.

    A profile is with one sender at most at any moment.
    """

    def __init__(self, lanes: Iterable[int]) -> None:
        self.after = dict.fromkeys(lanes, 0)
        self.returned: dict[int, int] = {}
        self.unsent = 0
        self._lanes: dict[str, int] = {}  # of what is in hand, by delivery
        self._waiting: dict[str, deque[QueuedDelivery]] = {}  # by profile; one with a sender has an entry, maybe empty
        self._runnable: asyncio.Queue[str | None] = asyncio.Queue()
        self._held_back: dict[str, str] = {}  # the delivery that failed for now, by profile
        self._written_back: set[str] = set()  # those of these profiles of which that is written down
        self._written_meanwhile: set[str] = set()  # since the claim that is being made began

    def __len__(self) -> int:
        return len(self._lanes)

    @property
    def ids(self) -> KeysView[str]:
        return self._lanes.keys()

    @property
    def is_starving(self) -> bool:
        """No profile waits for a sender: what is unsent is of profiles that have one."""
        return self._runnable.empty()

    def begin_claim(self) -> None:
        """From now on the database knows what has been written so far; what is written meanwhile it may not know."""
        for profile_id in self._written_back:
            del self._held_back[profile_id]
        self._written_back = set()
        self._written_meanwhile = set()

    def take(self, deliveries: Iterable[QueuedDelivery]) -> None:
        """Take in hand what is not yet, and may go."""
        for delivery in deliveries:
            known = delivery.id in self._lanes or delivery.id in self._written_meanwhile
            if not known and delivery.lane in self.after and delivery.profile.id not in self._held_back:
                self._add(delivery)

    def read(self, claim: Claim, *, limit: int) -> None:
        """What a claim of at most `limit` deliveries says about how far the lanes have been read.

        Full, it was cut at its last delivery, which may lie before where a lane was read to: then that is read once more.
        """
        found = claim.deliveries
        self.returned = claim.returned
        if len(found) >= limit:
            self.after = dict.fromkeys(self.after, found[-1].position)
        else:
            for delivery in found:
                if delivery.lane in self.after:
                    self.after[delivery.lane] = max(self.after[delivery.lane], delivery.position)

    def _add(self, delivery: QueuedDelivery) -> None:
        profile_id = delivery.profile.id
        self._lanes[delivery.id] = delivery.lane
        self.unsent += 1
        if (waiting := self._waiting.get(profile_id)) is not None:
            waiting.append(delivery)
            if len(waiting) > 1 and waiting[-2].position > delivery.position:  # put back in the queue by somebody
                self._waiting[profile_id] = deque(sorted(waiting, key=lambda each: each.position))
            return
        self._waiting[profile_id] = deque((delivery,))
        self._runnable.put_nowait(profile_id)

    async def next(self) -> QueuedDelivery | None:
        """For a sender, which calls `done` with it; None: it is to end."""
        while (profile_id := await self._runnable.get()) is not None:
            if waiting := self._waiting[profile_id]:
                self.unsent -= 1
                return waiting.popleft()
            del self._waiting[profile_id]
        return None

    def dismiss(self, senders: int) -> None:
        for _ in range(senders):
            self._runnable.put_nowait(None)

    def done(self, delivery: QueuedDelivery, *, was_made: bool, goes_on: bool) -> None:
        """Its profile's next one may go, unless nothing or nothing of this profile may. What was not made stays in the queue."""
        profile_id = delivery.profile.id
        waiting = self._waiting[profile_id]
        if not was_made:
            del self._lanes[delivery.id]
        if not goes_on or profile_id in self._held_back:
            self._put_back(waiting)
        if waiting:
            self._runnable.put_nowait(profile_id)
        else:
            del self._waiting[profile_id]

    def hold_back(self, delivery: QueuedDelivery) -> None:
        """Nothing more of its profile is taken, until the database knows of the failure and says by itself what may be taken."""
        self._held_back[delivery.profile.id] = delivery.id

    def written(self, deliveries: Iterable[QueuedDelivery]) -> None:
        for delivery in deliveries:
            del self._lanes[delivery.id]
            self._written_meanwhile.add(delivery.id)
            if self._held_back.get(delivery.profile.id) == delivery.id:
                self._written_back.add(delivery.profile.id)

    def leave(self, lanes: Collection[int]) -> None:
        """Take nothing of these lanes any more, and put back what is unsent."""
        self.after = {lane: position for lane, position in self.after.items() if lane not in lanes}
        for waiting in self._waiting.values():
            if waiting and waiting[0].lane in lanes:
                self._put_back(waiting)

    def holds_any_of(self, lanes: Collection[int]) -> bool:
        return any(lane in lanes for lane in self._lanes.values())

    def _put_back(self, waiting: deque[QueuedDelivery]) -> None:
        for each in waiting:
            del self._lanes[each.id]
        self.unsent -= len(waiting)
        waiting.clear()
