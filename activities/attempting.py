"""One attempt at one delivery: everything read afresh, sent, and written down."""

from __future__ import annotations

import time

import structlog

from activities.making import Making
from activities.messages import AttemptResult
from activities.metering import Metering
from activities.recording import recorded
from activities.turns import PATIENCE_SECONDS, in_turn, too_early
from domain.deliveries import DeliveryStatus
from domain.mappings import differences
from domain.objects import Scope, scope
from storage.attempts import Attempts, Begun, Ended, NotBegun

# A worker that was stopped for longer between reading a profile and sending it might overtake a newer attempt elsewhere.
MAX_STALE_SECONDS = 10.0

_log = structlog.get_logger("activities.attempt")


class Attempting:
    def __init__(
        self,
        attempts: Attempts,
        making: Making,
        metering: Metering | None = None,
    ) -> None:
        self._attempts = attempts
        self._making = making
        self._metering = metering or Metering()

    async def attempt(
        self,
        delivery_id: str,
        *,
        workflow_id: str,
        run_id: str,
        only: bool = False,
        patience_seconds: float = PATIENCE_SECONDS,
    ) -> AttemptResult:
        """Make one attempt, if one may be made now, or in `patience_seconds` under the rate limit.

        Raises Unavailable when the database is away; nothing is lost by it.
        """
        begun = await in_turn(
            lambda: self._attempts.begin(delivery_id, workflow_id=workflow_id, run_id=run_id), patience_seconds
        )
        if not isinstance(begun, Begun):
            return _not_begun(begun)
        ended = await self._make(begun, time.monotonic())
        settled = await recorded(lambda: self._attempts.end(begun, ended, only=only and ended.is_whole))
        self._metering.attempted(begun.destination_id, ended)
        _report(begun, ended)
        return AttemptResult.model_validate(
            {
                "status": "retry" if ended.status is DeliveryStatus.RETRYING else ended.status.value,
                "code": ended.reason,
                "message": ended.message,
                "number": begun.used,
                "retry_in_seconds": ended.delay_seconds,
                "settled": settled,
            }
        )

    async def _make(self, begun: Begun, started: float) -> Ended:
        live = await self._making.settings(begun.destination_id, begun.revision, begun.connector)
        if isinstance(live, Ended):
            return live
        not_after = started + MAX_STALE_SECONDS
        return await self._making.make(live, begun.mapping_id, _scope(begun), used=begun.used, not_after=not_after)


def _not_begun(why: NotBegun | None) -> AttemptResult:
    if why is None or why.destination_deleted or why.profile_deleted:
        return AttemptResult(status="gone")
    if why.turn is not None:
        return too_early(why.turn)
    if why.status in ("queued", "delivering", "retrying"):
        return AttemptResult(status="paused" if why.paused else "gone")
    return AttemptResult.model_validate({"status": why.status, "code": why.reason, "message": why.message})


def _scope(begun: Begun) -> Scope:
    user = begun.profile.as_user()
    return scope(
        user=user,
        changes=differences(begun.delivered_user, user),
        delivery={
            "id": begun.delivery_id,
            "attempt": begun.number,
            "destination": {"id": begun.destination_id},
            "mapping": {"id": begun.mapping_id},
        },
    )


def _report(begun: Begun, ended: Ended) -> None:
    _log.info(
        "attempt",
        delivery_id=begun.delivery_id,
        destination_id=begun.destination_id,
        mapping_id=begun.mapping_id,
        attempt=begun.number,
        outcome=str(ended.outcome),
        status=str(ended.status),
        code=ended.reason,
        duration_ms=ended.duration_ms,
        next_attempt_in_seconds=ended.delay_seconds,
    )
