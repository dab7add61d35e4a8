"""Waking the pumps of this process when events are queued for them."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

from storage.notifications import Notifications

CHECK_SECONDS = 5.0


class EventWakes:
    """`run` in the background; whoever is `registered` for a destination is woken when something was queued for it."""

    def __init__(self, notifications: Notifications) -> None:
        self._notifications = notifications
        self._of_destination: defaultdict[str, set[asyncio.Event]] = defaultdict(set)

    async def run(self) -> None:
        """Until cancelled. While the database is away pumps find out by themselves, more slowly."""
        async with self._notifications.listening() as wake:
            while True:
                await wake.wait(CHECK_SECONDS)
                lanes = wake.take_lanes()
                self._wake(set(self._of_destination) if lanes is None else {destination for destination, _ in lanes})

    @contextmanager
    def registered(self, destination_id: str) -> Iterator[asyncio.Event]:
        event = asyncio.Event()
        self._of_destination[destination_id].add(event)
        try:
            yield event
        finally:
            self._of_destination[destination_id].discard(event)
            if not self._of_destination[destination_id]:
                del self._of_destination[destination_id]

    def _wake(self, destinations: set[str]) -> None:
        for destination_id in destinations:
            for event in self._of_destination.get(destination_id, ()):
                event.set()
