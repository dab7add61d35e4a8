"""Taking calls: each becomes an event, and what it changes of its profile."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from uuid_utils import uuid7

from domain.calls import Call
from domain.errors import SluiceError, TooLarge
from domain.events import IncomingEvent
from domain.incoming import incoming
from domain.profiles import MAX_DOCUMENT_BYTES
from storage.events import Events, ProfilesTooLarge

Fate = str | SluiceError | None


class Intake:
    def __init__(self, events: Events) -> None:
        self._events = events

    async def take(self, calls: Sequence[Call | SluiceError], *, source_id: str = "") -> list[Fate]:
        """Of each call, in their order: its event's id, None if its message is known from before, or why it is refused."""
        now = datetime.now(UTC)
        events = [incoming(call, id=str(uuid7()), now=now) for call in calls if isinstance(call, Call)]
        stored, large = await self._store(events, source_id)
        fates = iter(_fate(each, stored, large) for each in events)
        return [next(fates) if isinstance(call, Call) else call for call in calls]

    async def _store(self, events: list[IncomingEvent], source_id: str) -> tuple[set[str], set[str]]:
        """The ids of the events that are stored, and of the profiles that are too large for theirs."""
        large: set[str] = set()
        while events:
            try:
                return await self._events.store(events, source_id=source_id), large
            except ProfilesTooLarge as error:
                large |= error.profile_ids
                events = [each for each in events if each.profile_id not in large]
        return set(), large


def _fate(event: IncomingEvent, stored: set[str], large: set[str]) -> Fate:
    if event.profile_id in large:
        return TooLarge(f"the profile would grow past {MAX_DOCUMENT_BYTES} bytes")
    return event.id if event.id in stored else None
