"""deliver: the attempts at one delivery, the first within the workflow task itself, the others under the retry policy."""

from __future__ import annotations

import time
from collections import Counter

import structlog
from temporalio import activity

from activities.attempting import Attempting
from activities.errors import as_application_errors
from activities.finishing import to_its_end
from activities.messages import AttemptResult, DeliveryOrder
from activities.places import Places
from activities.slow_destinations import SLOW_SECONDS, SlowDestinations
from activities.turns import PATIENCE_SECONDS

# A first attempt occupies a workflow task, so few may wait for one destination: others' workflow tasks must find room.
FIRST_ATTEMPTS_PER_DESTINATION = 4
FIRST_PATIENCE_SECONDS = 1.0  # so long a first attempt may wait for its turn under the rate limit


class Deliver:
    def __init__(self, attempting: Attempting, places: Places) -> None:
        self._attempting = attempting
        self._places = places
        self._first = Counter[str]()
        self._slow = SlowDestinations()

    @activity.defn(name="deliver_first")
    @as_application_errors
    async def deliver_first(self, order: DeliveryOrder) -> AttemptResult:
        """A local activity: no task of its own while all goes well. A busy or slow destination is left to `deliver`."""
        destination = order.destination_id
        if self._first[destination] >= FIRST_ATTEMPTS_PER_DESTINATION or destination in self._slow:
            return AttemptResult(status="busy")
        self._first[destination] += 1
        started = time.monotonic()
        try:
            result = await to_its_end(self._attempt(order, FIRST_PATIENCE_SECONDS))
        finally:
            self._first[destination] -= 1
            if not self._first[destination]:
                del self._first[destination]
        if time.monotonic() - started > SLOW_SECONDS or result.status in ("retry", "busy"):
            self._slow.add(destination)
        return result

    @activity.defn(name="deliver")
    @as_application_errors
    async def deliver(self, order: DeliveryOrder) -> AttemptResult:
        """An activity under the destination's retry policy: raises to be tried again, returns when the delivery has ended."""
        return await self._places.attempt(order.destination_id, lambda: self._attempt(order, PATIENCE_SECONDS))

    async def _attempt(self, order: DeliveryOrder, patience_seconds: float) -> AttemptResult:
        info = activity.info()
        workflow_id, run_id = info.workflow_id or "", info.workflow_run_id or ""
        with structlog.contextvars.bound_contextvars(workflow_id=workflow_id, run_id=run_id):
            return await self._attempting.attempt(
                order.delivery_id,
                workflow_id=workflow_id,
                run_id=run_id,
                only=order.only,
                patience_seconds=patience_seconds,
            )
