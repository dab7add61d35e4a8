"""Whether a destination answers at all, as its pump sees it: told by failures in a row, tried by single probes."""

from __future__ import annotations

from domain.events import QueuedDelivery
from storage.attempts import Ended

OUTAGE_AFTER = 5  # profiles whose failures, with nothing between them, tell that the destination does not answer
PROBE_SECONDS, MAX_PROBE_SECONDS = 1.0, 60.0  # between two probes, doubling


class Outage:
    """`probing`: one delivery at a time is tried, each time another profile's. `after`: the position of the last one."""

    def __init__(self, *, probing: bool, probes: int, after: int) -> None:
        self.probing = probing
        self.declared = False
        self.probes = probes
        self.after = after
        self.message: str | None = None
        self._in_a_row: set[str] = set()
        self._asked_seconds = 0.0

    def failed(self, ended: Ended, delivery: QueuedDelivery) -> bool:
        """Note a failure that time may cure. True: the delivery goes back to the queue, without an EventRetry of its own."""
        back = self.probing or self.declared
        self._in_a_row.add(delivery.profile.id)
        self.message = ended.message
        self._asked_seconds = max(self._asked_seconds, ended.asked_seconds or 0.0)
        self.declared = back or len(self._in_a_row) >= OUTAGE_AFTER
        if back:
            self.after = delivery.position if self.probing else max(self.after, delivery.position)
        return back

    def answered(self) -> None:
        self._in_a_row.clear()
        self.probing, self.probes = False, 0

    @property
    def wait_seconds(self) -> float:
        """Until the next probe: a while that doubles; longer only if the destination asked for longer."""
        backoff = min(MAX_PROBE_SECONDS, PROBE_SECONDS * 2.0 ** min(self.probes, 10))
        return max(backoff, self._asked_seconds)
