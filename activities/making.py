"""Making an attempt: decide, render, send, judge. The same steps for a profile sync and for an event; what they read and write differs."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from datetime import UTC, datetime

from activities.building import render_item
from activities.compilation import CompiledDestination
from activities.explaining import explain, failure
from activities.published import PublishedDestinations
from activities.secrets import OpenedSecrets, SecretsOf
from activities.sending import Exchange, Sending
from activities.slow_destinations import SlowDestinations
from connectors.base import Item
from connectors.outcomes import may_have_arrived
from domain.deliveries import AttemptOutcome, DeliveryStatus, Reason
from domain.errors import SluiceError, Unavailable
from domain.objects import Scope
from storage.attempts import Ended

SLOW_TEMPLATE_SECONDS = (
    0.02  # as long may all else in this process wait for one rendering; most take a tenth of a millisecond
)


@dataclass(frozen=True, slots=True)
class LiveSettings:
    """A destination as it is published at this moment, with the secrets it signs in with."""

    compiled: CompiledDestination
    secrets: OpenedSecrets


class Making:
    def __init__(self, published: PublishedDestinations, secrets: SecretsOf, sending: Sending) -> None:
        self._published = published
        self._secrets = secrets
        self._sending = sending
        self._slow = SlowDestinations()

    async def settings(self, destination_id: str, revision: int, connector: str) -> LiveSettings | Ended:
        """Or how every attempt ends that needs them. Raises Unavailable when the database is away."""
        try:
            compiled = await self._published.get(destination_id, revision, connector)
            secrets = await self._secrets.open(compiled.spec.credentials, compiled.connector.definition.credentials)
        except Unavailable:
            raise
        except SluiceError as error:
            return failed_by(error)
        return LiveSettings(compiled, secrets)

    async def _item(self, compiled: CompiledDestination, mapping_id: str, view: Scope) -> Item | Ended:
        """In a thread if the mapping was slow a moment ago: others' heartbeats must not wait for a template."""
        key = f"{id(compiled)}/{mapping_id}"
        if key in self._slow:
            item = await asyncio.to_thread(_decide_and_render, compiled, mapping_id, view)
        else:
            started = time.monotonic()
            item = _decide_and_render(compiled, mapping_id, view)
            if time.monotonic() - started > SLOW_TEMPLATE_SECONDS:
                self._slow.add(key)
        return item

    async def make(
        self, live: LiveSettings, mapping_id: str, view: Scope, *, used: int, not_after: float | None = None
    ) -> Ended:
        """One attempt, number `used` of its round, which never raises for what people wrote or a receiver does.

        Raises Unavailable, and has sent nothing, when it is later than `not_after` (on the monotonic clock) by the time it could.
        """
        item = await self._item(live.compiled, mapping_id, view)
        if isinstance(item, Ended):
            return item
        if not_after is not None and time.monotonic() > not_after:
            raise Unavailable("this worker was stopped in the middle of an attempt; nothing was sent")
        return _ended(await self._sending.send(live.compiled, live.secrets, item), live.compiled, mapping_id, used)


def _decide_and_render(compiled: CompiledDestination, mapping_id: str, view: Scope) -> Item | Ended:
    refused = _refused(compiled, mapping_id, view)
    if refused is not None:
        return refused
    try:
        return render_item(compiled, mapping_id, view)
    except SluiceError as error:
        return failed_by(error)


def failed_by(error: SluiceError) -> Ended:
    """The end of an attempt that could not be made."""
    explained = failure(error)
    return _failed(explained.reason or error.code, explained.message or error.message)


def broken_off(error: Exception) -> Ended:
    """The end of an attempt that ran into a fault in our code or a connector's. Its text might quote a secret; its kind cannot."""
    return _failed(SluiceError.code, f"a fault in the program: {type(error).__name__}; its log says more")


def _refused(compiled: CompiledDestination, mapping_id: str, view: Scope) -> Ended | None:
    """The settings may have changed since the delivery was planned, and so may the profile."""
    mapping = compiled.mappings.get(mapping_id)
    if mapping is None or not mapping.mapping.enabled:
        return _skip(Reason.MAPPING_REMOVED, "the mapping is not part of the published revision any more")
    explanation = explain(compiled, mapping_id, view, now=datetime.now(UTC))
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


def _ended(exchange: Exchange, compiled: CompiledDestination, mapping_id: str, used: int) -> Ended:
    outcome, retry = exchange.outcome, compiled.spec.retry
    if outcome.kind == "definitive":
        return _failed(outcome.code, outcome.message, exchange)
    delivered = outcome.kind == "delivered"
    last = used >= retry.attempts
    delay = max(retry.delay_seconds(used), outcome.retry_after_seconds or 0.0)
    gave_up = f"gave up after {used} attempts; the last: {outcome.message}"
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
        is_whole=[each.id for each in compiled.spec.profile_mappings] == [mapping_id],
        asked_seconds=outcome.retry_after_seconds,
    )
