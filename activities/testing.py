"""test: send for real what was rehearsed, once, and write it down as a test. Asks neither for a pause nor for sources."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import structlog

from activities.compilation import CompiledDestination
from activities.rehearsing import Rehearsal
from activities.secrets import OpenedSecrets
from activities.sending import Exchange, Sending
from activities.subjects import Subject
from connectors.base import PreparedRequest
from connectors.outcomes import Outcome
from domain.deliveries import AttemptOutcome, DeliveryStatus, Reason
from domain.errors import Unavailable
from storage.attempts import Ended
from storage.declarations import Declaration
from storage.trials import TrialEntry, Trials

TEST_TIMEOUT = "test_timeout"
SENDING_SECONDS = 60.0  # the longest timeout a destination may have: whoever asked waits for all answers
AT_ONCE = 8  # requests of one test; a hundred mappings must not fall on a vendor in one moment

_log = structlog.get_logger("activities.test")


@dataclass(frozen=True, slots=True)
class Tested:
    """How one mapping's test ended. `outcome` says `retry` for what real traffic would try again."""

    rehearsal: Rehearsal
    ended: Ended


class Testing:
    def __init__(self, trials: Trials, sending: Sending) -> None:
        self._trials = trials
        self._sending = sending

    async def send(
        self,
        rehearsals: Sequence[Rehearsal],
        declaration: Declaration,
        compiled: CompiledDestination,
        subject: Subject,
        secrets: OpenedSecrets | None,
    ) -> list[Tested]:
        """One request per mapping that matched. Raises Unavailable before anything is sent, and nothing afterwards."""
        await self._trials.begin(
            [_entry(each) for each in rehearsals],
            destination_id=declaration.destination_id,
            revision=declaration.revision,
            profile_id=subject.profile_id,
            profile_version=subject.profile_version,
        )
        places, deadline = asyncio.Semaphore(AT_ONCE), asyncio.get_running_loop().time() + SENDING_SECONDS

        async def tested(rehearsal: Rehearsal) -> Tested:
            if rehearsal.prepared is None or secrets is None:
                return Tested(rehearsal, _unsent(rehearsal))
            async with places:
                exchange = await self._exchange(compiled, secrets, rehearsal.prepared, rehearsal.request, deadline)
            ended = _ended(exchange)
            await self._record(rehearsal.delivery_id, ended)
            return Tested(rehearsal, ended)

        return list(await asyncio.gather(*map(tested, rehearsals)))

    async def _exchange(
        self,
        compiled: CompiledDestination,
        secrets: OpenedSecrets,
        prepared: PreparedRequest,
        request: dict[str, Any] | None,
        deadline: float,
    ) -> Exchange:
        left = deadline - asyncio.get_running_loop().time()
        if left <= 0:
            message = f"not sent: the requests before this one took {SENDING_SECONDS:g} seconds"
            return Exchange(Outcome("definitive", TEST_TIMEOUT, message), request)
        bounded = replace(prepared.request, timeout_seconds=min(prepared.request.timeout_seconds, left))
        return await self._sending.exchange(compiled.connector, secrets, replace(prepared, request=bounded))

    async def _record(self, delivery_id: str, ended: Ended) -> None:
        """Whoever asked gets the answer even if it cannot be written down; the log then says that it is not known."""
        try:
            await self._trials.end(delivery_id, ended)
        except Unavailable as error:
            _log.warning("test_not_recorded", delivery_id=delivery_id, reason=error.message)


def _entry(rehearsal: Rehearsal) -> TrialEntry:
    if rehearsal.prepared is not None:
        return TrialEntry(rehearsal.delivery_id, rehearsal.mapping.id, rehearsal.request)
    ended = _unsent(rehearsal)
    attempted = ended.status is DeliveryStatus.FAILED and ended.reason != Reason.CONDITION_ERROR
    return TrialEntry(rehearsal.delivery_id, rehearsal.mapping.id, ended=ended, attempted=attempted)


def _unsent(rehearsal: Rehearsal) -> Ended:
    explanation = rehearsal.explanation
    if explanation.status == "skipped":
        return Ended(AttemptOutcome.SKIPPED, DeliveryStatus.SKIPPED, explanation.reason, explanation.message)
    return Ended(AttemptOutcome.DEFINITIVE, DeliveryStatus.FAILED, explanation.reason, explanation.message)


def _ended(exchange: Exchange) -> Ended:
    outcome = exchange.outcome
    delivered = outcome.kind == "delivered"
    return Ended(
        AttemptOutcome(outcome.kind),
        DeliveryStatus.DELIVERED if delivered else DeliveryStatus.FAILED,
        None if delivered else outcome.code,
        None if delivered else outcome.message,
        duration_ms=exchange.duration_ms,
        request=exchange.request,
        response=exchange.response,
    )
