"""One attempt at an event delivery that failed before: everything read afresh, sent, and written down."""

from __future__ import annotations

import time

import structlog

from activities.attempting import MAX_STALE_SECONDS
from activities.event_scope import event_scope
from activities.making import Making
from activities.messages import AttemptResult
from activities.metering import Metering
from activities.recording import recorded
from activities.turns import in_turn, too_early
from domain.deliveries import DeliveryStatus
from storage.attempts import Ended
from storage.event_retries import BegunEvent, EventNotBegun, EventRetries

_log = structlog.get_logger("activities.attempt")


class EventAttempting:
    def __init__(self, retries: EventRetries, making: Making, metering: Metering | None = None) -> None:
        self._retries = retries
        self._making = making
        self._metering = metering or Metering()

    async def attempt(self, delivery_id: str, *, workflow_id: str, run_id: str) -> AttemptResult:
        """Make one attempt, if one may be made now, or very soon under the rate limit.

        Raises Unavailable when the database is away; nothing is lost by it.
        """
        begun = await in_turn(lambda: self._retries.begin(delivery_id, workflow_id=workflow_id, run_id=run_id))
        if not isinstance(begun, BegunEvent):
            return _not_begun(begun)
        ended = await self._make(begun, time.monotonic())
        await recorded(lambda: self._retries.end(begun, ended))
        self._metering.attempted(begun.destination_id, ended)
        _report(begun, ended)
        return AttemptResult.model_validate(
            {
                "status": "retry" if ended.status is DeliveryStatus.RETRYING else ended.status.value,
                "code": ended.reason,
                "message": ended.message,
                "number": begun.used,
                "retry_in_seconds": ended.delay_seconds,
            }
        )

    async def _make(self, begun: BegunEvent, started: float) -> Ended:
        live = await self._making.settings(begun.destination_id, begun.revision, begun.connector)
        if isinstance(live, Ended):
            return live
        not_after = started + MAX_STALE_SECONDS
        view = event_scope(begun.delivery, destination_id=begun.destination_id, attempt=begun.number)
        return await self._making.make(live, begun.delivery.mapping_id, view, used=begun.used, not_after=not_after)


def _not_begun(why: EventNotBegun | None) -> AttemptResult:
    if why is None or why.deleted or not why.holds:
        return AttemptResult(status="gone")
    if why.turn is not None:
        return too_early(why.turn)
    if why.status in ("queued", "delivering", "retrying"):
        return AttemptResult(status="paused" if why.paused else "gone")
    return AttemptResult.model_validate({"status": why.status, "code": why.reason, "message": why.message})


def _report(begun: BegunEvent, ended: Ended) -> None:
    _log.info(
        "attempt",
        delivery_id=begun.delivery.id,
        destination_id=begun.destination_id,
        mapping_id=begun.delivery.mapping_id,
        attempt=begun.number,
        outcome=str(ended.outcome),
        status=str(ended.status),
        code=ended.reason,
        duration_ms=ended.duration_ms,
        next_attempt_in_seconds=ended.delay_seconds,
    )
