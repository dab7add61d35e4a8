"""Destinations that were slow or failed a moment ago, as this process remembers: nothing of theirs is done within a workflow task."""

from __future__ import annotations

import time

SLOW_SECONDS = 1.0  # what took longer than this counts as slow
AVOID_SECONDS = 30.0  # so long a destination is remembered
MAX_REMEMBERED = 10_000  # a hundred bytes each


class SlowDestinations:
    def __init__(self) -> None:
        self._until: dict[str, float] = {}

    def __contains__(self, destination_id: str) -> bool:
        until = self._until.get(destination_id)
        if until is not None and until < time.monotonic():
            del self._until[destination_id]
            return False
        return until is not None

    def add(self, destination_id: str) -> None:
        if len(self._until) >= MAX_REMEMBERED:
            self._until.clear()
        self._until[destination_id] = time.monotonic() + AVOID_SECONDS
