"""The pump: sends what queues in its lanes, profiles at the same time and one profile's events one after the other.

    claim ──▶ in hand, by profile ──▶ senders ──▶ ended ──▶ written down, in bulk

A delivery stays `queued` in the database until its end is written. What fails for now holds back its profile: an EventRetry goes on
with it. When nothing gets through any more, the rest stays in the queue and single deliveries probe whether the destination answers.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import Literal

import structlog

from activities.attempting import MAX_STALE_SECONDS
from activities.event_claims import Claims
from activities.event_hand import Hand
from activities.event_outage import Outage
from activities.event_pacing import Pacing
from activities.event_scope import event_scope
from activities.making import LiveSettings, Making, broken_off
from activities.messages import PumpRequest, PumpResult
from activities.metering import Metering
from activities.recording import recorded
from domain.deliveries import AttemptOutcome, DeliveryStatus
from domain.errors import Unavailable
from domain.events import QueuedDelivery
from storage.attempts import Ended
from storage.event_leases import EndedEvent, EventLeases, Lease, LeaseLost
from storage.rate_limits import RateLimits

SENDERS = 32  # requests at once to one destination from one pump; more gains nothing, and a receiver must bear them
CLAIM_LIMIT = 256  # deliveries read at once: some hundred KB, and a claim costs as much as ten deliveries
LOW_WATER = 128  # with fewer unsent in hand the next claim is made, while the senders go on
MAX_IN_HAND = 4_096  # some MB; only when few profiles have many events each is so much read to find others
FLUSH_LIMIT = 512  # ends written at once: a statement of a few hundred KB
FLUSH_SECONDS = 0.02  # between two writes while senders are busy: so each carries dozens of ends
RESCAN_SECONDS = 1.0  # how late something is that was committed out of turn, or was put back before what is in hand
LOOK_SECONDS = 2.0  # how late something is when its notification was missed
IDLE_SECONDS = 5.0  # a pump that has nothing to do for so long ends
BRIEF_SECONDS = 1.0  # a pump that runs within a workflow task must give that back
BUSY_SECONDS = 60.0  # a pump that always has something to do reports to its workflow now and then
LEAVE_AFTER = 8  # full claims in a row after which other lanes are left to pumps of their own, maybe on other workers

Stop = Literal["idle", "held", "outage", "more", "lost"]

_log = structlog.get_logger("activities.event_pump")


class Pump:
    """One run of a pump, under one lease. `wake` is set by others when something may have come.

    A `brief` one sends what is there and leaves the rest to the next.
    """

    def __init__(
        self,
        lease: Lease,
        leases: EventLeases,
        limits: RateLimits,
        making: Making,
        metering: Metering,
        *,
        request: PumpRequest,
        brief: bool,
        wake: asyncio.Event,
        stopping: Callable[[], bool],
        workflow_id: str,
        run_id: str,
    ) -> None:
        self._lease = lease
        self._leases = leases
        self._making = making
        self._metering = metering
        self._brief = brief
        self._wake = wake
        self._stopping = stopping
        self._workflow = {"workflow_id": workflow_id, "run_id": run_id}
        self._claims = Claims(lease, leases, making)
        self._hand = Hand(lease.lanes)
        self._outage = Outage(probing=lease.outage, probes=request.probes, after=request.probe_after)
        self._leaving: frozenset[int] = frozenset()
        self._full_claims = 0
        self._passed_over = False  # something that became visible behind where the lanes have been read
        self._senders = self._resting = 0
        self._ended: deque[EndedEvent] = deque()
        self._something_ended = asyncio.Event()
        self._counts: Counter[str] = Counter()
        self._stop: Stop | None = None
        self._stopped = asyncio.Event()
        self._pacing = Pacing(limits, lease.destination_id, self._stopped)

    async def run(self) -> PumpResult:
        """Until there is nothing to do, or nothing may be done, or long enough. Raises Unavailable when the database stays away."""
        await asyncio.sleep(self._lease.wait_seconds)  # attempts of the lease before may begin until then
        try:
            async with asyncio.TaskGroup() as tasks:
                writer = tasks.create_task(self._write_on())
                await self._work(tasks)
                await self._drain()
                writer.cancel()
                self._hand.dismiss(self._senders)
        except BaseExceptionGroup as group:
            if group.subgroup(Unavailable) is not None:
                raise Unavailable("the database stayed away") from group
            if group.split(LeaseLost)[1] is not None:
                raise
            self._stop = "lost"
        await self._leave_in_order()
        return self._result()

    async def _work(self, tasks: asyncio.TaskGroup) -> None:
        now = time.monotonic()
        rescan_at, idle_at = now + RESCAN_SECONDS, now + IDLE_SECONDS
        ends_at = now + (BRIEF_SECONDS if self._brief else BUSY_SECONDS)
        while self._stop is None:
            now = time.monotonic()
            if now >= ends_at or self._stopping():
                self._halt("more")
                return
            self._wake.clear()
            found = 0
            if self._has_room():
                again = now >= rescan_at or self._passed_over or not self._hand
                found = await (self._probe() if self._outage.probing else self._claim(again=again))
                # Much in hand is much to read over once more.
                rescan_at = now + RESCAN_SECONDS * (1 + len(self._hand) // CLAIM_LIMIT) if again else rescan_at
                self._hire(tasks)
            await self._tend_lanes()
            if found >= CLAIM_LIMIT and self._has_room():
                continue
            if self._hand:
                idle_at = time.monotonic() + IDLE_SECONDS
                await self._attention(rescan_at - time.monotonic())
            elif self._brief:
                self._halt("more")
            elif time.monotonic() >= idle_at:
                self._halt("idle")
            else:
                await self._attention(min(LOOK_SECONDS, idle_at - time.monotonic()))

    def _has_room(self) -> bool:
        if self._outage.probing:
            return not self._hand
        starving = self._hand.is_starving and self._full_claims > 0 and len(self._hand) < MAX_IN_HAND
        return self._hand.unsent < LOW_WATER or starving

    async def _claim(self, *, again: bool) -> int:
        """Read on in the queue, or `again` from its beginning; how many were found."""
        self._hand.begin_claim()
        after = dict.fromkeys(self._hand.after, 0) if again else self._hand.after
        claim = await self._claims.claim(after, self._hand.returned, limit=CLAIM_LIMIT, in_hand=self._hand.ids)
        if claim is None:
            self._halt("held")
            return 0
        found = len(claim.deliveries)
        self._hand.read(claim, limit=CLAIM_LIMIT)
        self._hand.take(each for each in claim.deliveries if each.id not in claim.overtaking)
        self._passed_over = bool(claim.overtaking)
        if self._passed_over:
            self._wake.set()
        self._full_claims = self._full_claims + 1 if found >= CLAIM_LIMIT else 0
        if self._full_claims >= LEAVE_AFTER and len(self._hand.after) > 1:
            self._leaving = frozenset(self._hand.after) - {self._lease.home}
            self._hand.leave(self._leaving)
        return found

    async def _probe(self) -> int:
        """Take one delivery whose next attempt is due, of another profile each time; without one, stop."""
        self._hand.begin_claim()
        first = await self._claims.claim(self._hand.after, {}, limit=0, in_hand=())
        self._hand.returned = first.returned if first is not None else {}
        for after in {self._outage.after: None, 0: None}:  # once around
            lanes = dict.fromkeys(self._hand.after, after)
            claim = await self._claims.claim(lanes, self._hand.returned, limit=1, in_hand=(), heads_only=True)
            if claim is None:
                self._halt("held")
                return 0
            if claim.deliveries:
                self._hand.take(claim.deliveries)
                return 1
        waiting = await self._claims.claim(dict.fromkeys(self._hand.after, 0), {}, limit=1, in_hand=())
        self._halt("outage" if waiting is not None and waiting.deliveries else "idle")
        return 0

    async def _tend_lanes(self) -> None:
        if self._lease.outage and not self._outage.probing:
            self._lease = replace(self._lease, outage=False)
            await recorded(lambda: self._leases.outage(self._lease, False))
        if self._leaving and not self._hand.holds_any_of(self._leaving):
            left, self._leaving = self._leaving, frozenset()
            await recorded(lambda: self._leases.leave(self._lease, left))

    async def _attention(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, seconds)):
                await self._wake.wait()

    # Senders

    def _hire(self, tasks: asyncio.TaskGroup) -> None:
        """As many senders as there is work for."""
        while self._senders < min(SENDERS, self._hand.unsent + self._senders - self._resting):
            self._senders += 1
            tasks.create_task(self._send_on())

    async def _send_on(self) -> None:
        while True:
            self._resting += 1
            delivery = await self._hand.next()
            self._resting -= 1
            if delivery is None:
                return
            made = await self._attempt(delivery)
            if made is not None:
                self._judge(made)
            self._hand.done(delivery, was_made=made is not None, goes_on=made is not None and self._stop is None)
            self._passed_over = self._passed_over or made is None
            if (self._full_claims and self._has_room()) or not self._hand:
                self._wake.set()

    async def _attempt(self, delivery: QueuedDelivery) -> EndedEvent | None:
        """None: none was made, since none may begin any more, or not without asking again."""
        if not await self._may_begin():
            return None
        started, revision, live = datetime.now(UTC), self._claims.revision, self._claims.live
        if isinstance(live, Ended):  # what is wrong with the settings is no event's fault: they wait until it is mended
            waiting = replace(live, outcome=AttemptOutcome.RETRY, status=DeliveryStatus.RETRYING, delay_seconds=0.0)
            return EndedEvent(delivery, waiting, waiting.status, False, started, revision)
        used = delivery.attempts + 1 - delivery.attempts_before
        try:
            not_after = time.monotonic() + MAX_STALE_SECONDS
            view = event_scope(delivery, destination_id=self._lease.destination_id, attempt=delivery.attempts + 1)
            ended = await self._making.make(live, delivery.mapping_id, view, used=used, not_after=not_after)
        except Unavailable:  # this process was stopped meanwhile: the delivery is read and begun once more
            return None
        except Exception as error:  # a fault of ours or of a connector's must not stop the others
            _log.exception("attempt_broke_off", delivery_id=delivery.id)
            ended = broken_off(error)
        attempted = ended.outcome is not AttemptOutcome.SKIPPED
        return EndedEvent(delivery, ended, ended.status, attempted, started, revision)

    async def _may_begin(self) -> bool:
        """Once it is this one's turn, and if the destination is still running then."""
        live = self._claims.live
        limit = live.compiled.spec.rate_limit if isinstance(live, LiveSettings) else None
        if limit is not None and not await self._pacing.turn(limit.per_second, wanted=self._hand.unsent + 1):
            return False
        if self._stop is None and not await self._claims.may_begin(self._hand.ids):
            self._halt("held")
        return self._stop is None

    # Ends

    def _judge(self, made: EndedEvent) -> None:
        """What the end of one attempt says about its profile and its destination."""
        if made.ended.outcome is AttemptOutcome.RETRY:  # the last one it was granted says as much about the destination
            back = self._outage.failed(made.ended, made.delivery)
            if made.ended.status is DeliveryStatus.RETRYING:
                self._hand.hold_back(made.delivery)
                made = replace(made, status=DeliveryStatus.QUEUED) if back else made
            if self._outage.declared:
                self._halt("outage")
        elif made.ended.response is not None:
            self._outage.answered()
        self._counts[made.status] += 1
        if made.attempted:
            self._metering.attempted(self._lease.destination_id, made.ended)
        self._ended.append(made)
        self._something_ended.set()

    async def _write_on(self) -> None:
        while True:
            await self._something_ended.wait()
            self._something_ended.clear()
            while self._ended:
                batch = [self._ended.popleft() for _ in range(min(len(self._ended), FLUSH_LIMIT))]
                await self._write(batch)
                self._hand.written(each.delivery for each in batch)
                if not self._hand:
                    self._wake.set()
                else:
                    await asyncio.sleep(FLUSH_SECONDS)

    async def _write(self, batch: list[EndedEvent]) -> None:
        """A row that the database does not take must not keep it from taking the others."""
        try:
            await recorded(lambda: self._leases.end(self._lease, batch, **self._workflow))
        except (Unavailable, LeaseLost):
            raise
        except Exception as error:
            _log.exception("ends_not_written", count=len(batch))
            if len(batch) > 1:
                for each in batch:
                    await self._write([each])
            elif batch[0].ended.request is not None:
                shown = replace(batch[0].ended, request=None, response=None, message=f"{type(error).__name__}")
                await self._write([replace(batch[0], ended=shown)])
            else:
                raise

    # The end of the run

    def _halt(self, why: Stop) -> None:
        if self._stop is None:
            self._stop = why
            self._stopped.set()
            self._wake.set()

    async def _drain(self) -> None:
        """What is on the wire ends and is written; what is not stays in the queue."""
        while self._hand:
            self._wake.clear()
            await self._attention(RESCAN_SECONDS)

    async def _leave_in_order(self) -> None:
        if self._stop == "lost":
            return
        if self._leaving:
            await recorded(lambda: self._leases.leave(self._lease, self._leaving))
        outage = self._outage.declared or self._outage.probing
        if self._lease.outage != outage:
            await recorded(lambda: self._leases.outage(self._lease, outage))
        if self._stop in ("idle", "held"):
            scanned = self._hand.after if self._stop == "idle" else dict.fromkeys(self._hand.after, 0)
            await recorded(lambda: self._leases.rest(self._lease, scanned, outage=outage))
        else:
            wait = self._outage.wait_seconds if self._stop == "outage" else None
            await recorded(lambda: self._leases.put_down(self._lease, probe_in=wait))

    def _result(self) -> PumpResult:
        outage = self._stop == "outage"
        return PumpResult(
            state=self._stop or "more",
            delivered=self._counts[DeliveryStatus.DELIVERED],
            skipped=self._counts[DeliveryStatus.SKIPPED],
            failed=self._counts[DeliveryStatus.FAILED],
            retried=self._counts[DeliveryStatus.RETRYING] + self._counts[DeliveryStatus.QUEUED],
            wait_seconds=self._outage.wait_seconds if outage else 0.0,
            probes=self._outage.probes + 1 if outage else 0,
            probe_after=self._outage.after,
            message=self._outage.message,
        )
