"""One attempt at one delivery: everything read afresh, sent, and written down."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime

import structlog

from activities.building import render_item
from activities.compilation import CompiledDestination
from activities.explaining import explain, failure
from activities.messages import AttemptResult
from activities.metering import Metering
from activities.published import PublishedDestinations
from activities.secrets import SecretsOf
from activities.sending import Exchange, Sending
from connectors.outcomes import may_have_arrived
from domain.deliveries import AttemptOutcome, DeliveryStatus, Reason
from domain.errors import SluiceError, Unavailable
from domain.mappings import differences
from domain.objects import Scope, scope
from storage.attempts import Attempts, Begun, Ended, NotBegun

# A worker that was stopped for longer between reading a profile and sending it might overtake a newer attempt elsewhere.
MAX_STALE_SECONDS = 10.0
# With the pause below about half a minute: a database restart, well within the activity's own timeout.
RECORDING_TRIES = 20
RECORDING_PAUSE_SECONDS = 1.5

_log = structlog.get_logger("activities.attempt")


class Attempting:
    def __init__(
        self,
        attempts: Attempts,
        published: PublishedDestinations,
        secrets: SecretsOf,
        sending: Sending,
        metering: Metering | None = None,
    ) -> None:
        self._attempts = attempts
        self._published = published
        self._secrets = secrets
        self._sending = sending
        self._metering = metering or Metering()

    async def attempt(self, delivery_id: str, *, workflow_id: str, run_id: str, only: bool = False) -> AttemptResult:
        """Make one attempt, if one may be made now. Raises Unavailable when the database is away; nothing is lost by it."""
        begun = await self._attempts.begin(delivery_id, workflow_id=workflow_id, run_id=run_id)
        if not isinstance(begun, Begun):
            return _not_begun(begun)
        ended = await self._make(begun, time.monotonic())
        settled = await self._record(begun, ended, only and ended.is_whole)
        self._metering.attempted(begun, ended)
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
        try:
            compiled = await self._published.get(begun.destination_id, begun.revision, begun.connector)
            view = _scope(begun)
            refused = _refused(compiled, begun, view)
            if refused is not None:
                return refused
            item = render_item(compiled, begun.mapping_id, view)
            secrets = await self._secrets.open(compiled.spec.credentials, compiled.connector.definition.credentials)
        except Unavailable:
            raise
        except SluiceError as error:
            failed = failure(error)
            return _failed(failed.reason or error.code, failed.message or error.message)
        if time.monotonic() - started > MAX_STALE_SECONDS:
            raise Unavailable("this worker was stopped in the middle of an attempt; nothing was sent")
        exchange = await self._sending.send(compiled, secrets, item)
        return _ended(exchange, compiled, begun)

    async def _record(self, begun: Begun, ended: Ended, only: bool) -> bool:
        """An answer in hand is worth some patience: losing it means sending again."""
        for _ in range(RECORDING_TRIES):
            try:
                return await self._attempts.end(begun, ended, only=only)
            except Unavailable:
                await asyncio.sleep(RECORDING_PAUSE_SECONDS)
        return await self._attempts.end(begun, ended, only=only)


def _not_begun(why: NotBegun | None) -> AttemptResult:
    if why is None or why.destination_deleted or why.profile_deleted:
        return AttemptResult(status="gone")
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


def _refused(compiled: CompiledDestination, begun: Begun, view: Scope) -> Ended | None:
    """The settings may have changed since the delivery was planned, and so may the profile."""
    mapping = compiled.mappings.get(begun.mapping_id)
    if mapping is None or not mapping.mapping.enabled:
        return _skip(Reason.MAPPING_REMOVED, "the mapping is not part of the published revision any more")
    explanation = explain(compiled, begun.mapping_id, view, now=datetime.now(UTC))
    if explanation.status == "matched":
        return None
    ended = _skip if explanation.status == "skipped" else _failed
    return ended(explanation.reason or "", explanation.message or "")


def _skip(reason: str, message: str) -> Ended:
    return Ended(AttemptOutcome.SKIPPED, DeliveryStatus.SKIPPED, reason, message)


def _failed(reason: str, message: str, exchange: Exchange | None = None) -> Ended:
    return Ended(
        AttemptOutcome.DEFINITIVE,
        DeliveryStatus.FAILED,
        reason,
        message,
        duration_ms=exchange.duration_ms if exchange else None,
        request=exchange.request if exchange else None,
        response=exchange.response if exchange else None,
    )


def _ended(exchange: Exchange, compiled: CompiledDestination, begun: Begun) -> Ended:
    outcome, retry = exchange.outcome, compiled.spec.retry
    if outcome.kind == "definitive":
        return _failed(outcome.code, outcome.message, exchange)
    delivered = outcome.kind == "delivered"
    last = begun.used >= retry.attempts
    delay = max(retry.delay_seconds(begun.used), outcome.retry_after_seconds or 0.0)
    gave_up = f"gave up after {begun.used} attempts; the last: {outcome.message}"
    return Ended(
        outcome=AttemptOutcome.DELIVERED if delivered else AttemptOutcome.RETRY,
        status=DeliveryStatus.DELIVERED if delivered else (DeliveryStatus.FAILED if last else DeliveryStatus.RETRYING),
        reason=None if delivered else outcome.code,
        message=None if delivered else (gave_up if last else outcome.message),
        delay_seconds=None if delivered or last else delay,
        duration_ms=exchange.duration_ms,
        request=exchange.request,
        response=exchange.response,
        may_have_arrived=may_have_arrived(exchange.outcome, exchange.response),
        is_whole=[each.id for each in compiled.spec.profile_mappings] == [begun.mapping_id],
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
