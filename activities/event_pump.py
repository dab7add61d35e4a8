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

from activities.making import LiveSettings, Making, broken_off
from activities.messages import PumpRequest, PumpResult
from activities.metering import Metering
from activities.recording import recorded
from domain.deliveries import AttemptOutcome, DeliveryStatus
from domain.events import QueuedDelivery
from domain.objects import Scope, scope
from storage.attempts import Ended
from storage.event_leases import PERMIT_SECONDS, Claim, EndedEvent, EventLeases, Lease, LeaseLost

SENDERS = 32  # requests at once to one destination from one pump; more gains nothing, and a receiver must bear them
CLAIM_LIMIT = 256  # deliveries read at once: some hundred KB, and a claim costs as much as ten deliveries
LOW_WATER = 128  # with fewer unsent in hand the next claim is made, while the senders go on
MAX_IN_HAND = 4_096  # some MB; only when few profiles have many events each is so much read to find others
FLUSH_LIMIT = 512  # ends written at once: a statement of a few hundred KB
FLUSH_SECONDS = 0.02  # between two writes while senders are busy: so each carries dozens of ends
RESCAN_SECONDS = 1.0  # how late something is that was committed out of turn, or was put back before what is in hand
LOOK_SECONDS = 2.0  # how late something is when its notification was missed
IDLE_SECONDS = 5.0  # a pump that has nothing to do for so long ends
BUSY_SECONDS = 60.0  # a pump that always has something to do reports to its workflow now and then
OUTAGE_AFTER = 5  # failures in a row, of as many profiles, after which the destination counts as not answering
PROBE_SECONDS, MAX_PROBE_SECONDS = 1.0, 60.0  # between two probes of an outage, doubling
LEAVE_AFTER = 8  # full claims in a row after which other lanes are left to pumps of their own, maybe on other workers

Stop = Literal["idle", "held", "outage", "more", "lost"]

_log = structlog.get_logger("activities.event_pump")


class Pump:
    """One run of a pump, under one lease. `wake` is set by others when something may have come."""

    def __init__(
        self,
        lease: Lease,
        leases: EventLeases,
        making: Making,
        metering: Metering,
        *,
        request: PumpRequest,
        wake: asyncio.Event,
        stopping: Callable[[], bool],
        workflow_id: str,
        run_id: str,
    ) -> None:
        self._lease = lease
        self._leases = leases
        self._making = making
        self._metering = metering
        self._wake = wake
        self._stopping = stopping
        self._workflow = {"workflow_id": workflow_id, "run_id": run_id}
        # The queue, as far as it is in hand.
        self._after = dict.fromkeys(lease.lanes, 0)
        self._in_hand: dict[str, int] = {}  # the lane, by delivery
        self._leaving: frozenset[int] = frozenset()
        self._unsent: dict[
            str, deque[QueuedDelivery]
        ] = {}  # by profile; a profile on the wire has an entry, maybe empty
        self._unsent_count = 0
        self._full_claims = 0
        self._held_back: dict[str, bool] = {}  # profiles that failed for now, and whether that is written down yet
        self._written_meanwhile: set[str] = set()  # since the claim that is being made began
        # Senders.
        self._tasks: asyncio.TaskGroup | None = None
        self._runnable: asyncio.Queue[str] = asyncio.Queue()
        self._senders = self._resting = 0
        self._live: LiveSettings | Ended
        self._revision = 0
        self._live_until = self._permit_until = 0.0
        self._renewing = asyncio.Lock()
        # Ends.
        self._ended: deque[EndedEvent] = deque()
        self._something_ended = asyncio.Event()
        self._counts: Counter[str] = Counter()
        # Why to stop, and an outage.
        self._stop: Stop | None = None
        self._failures = 0
        self._probing = lease.outage
        self._probes = request.probes
        self._probe_after = request.probe_after
        self._retry_after = 0.0
        self._message: str | None = None

    async def run(self) -> PumpResult:
        """Until there is nothing to do, or nothing may be done, or long enough. Raises Unavailable when the database stays away."""
        await asyncio.sleep(self._lease.wait_seconds)  # attempts of the lease before may begin until then
        try:
            async with asyncio.TaskGroup() as self._tasks:
                writer = self._tasks.create_task(self._write_on())
                await self._work()
                await self._drain()
                writer.cancel()
                for _ in range(self._senders):
                    self._runnable.put_nowait("")
        except* LeaseLost:
            self._stop = "lost"
        await self._leave_in_order()
        return self._result()

    # The queue

    async def _work(self) -> None:
        now = time.monotonic()
        ends_at, rescan_at, idle_at = now + BUSY_SECONDS, now + RESCAN_SECONDS, now + IDLE_SECONDS
        while self._stop is None:
            now = time.monotonic()
            if now >= ends_at or self._stopping():
                self._halt("more")
                return
            self._wake.clear()
            claimed = 0
            if self._has_room():
                rescan = now >= rescan_at or not self._in_hand
                claimed = await self._claim(rescan=rescan)
                rescan_at = now + RESCAN_SECONDS if rescan else rescan_at
                if self._stop is None and self._probing and not claimed:
                    self._halt("outage" if await self._has_work() else "idle")
                    return
            await self._tend_lanes()
            if claimed >= CLAIM_LIMIT and self._has_room():
                continue
            if self._in_hand:
                idle_at = time.monotonic() + IDLE_SECONDS
                await self._attention(rescan_at - time.monotonic())
            elif time.monotonic() >= idle_at:
                self._halt("idle")
            else:
                await self._attention(min(LOOK_SECONDS, idle_at - time.monotonic()))

    def _has_room(self) -> bool:
        if self._probing:
            return not self._in_hand
        starving = self._runnable.empty() and self._full_claims > 0 and len(self._in_hand) < MAX_IN_HAND
        return self._unsent_count < LOW_WATER or starving

    async def _tend_lanes(self) -> None:
        if self._lease.outage and not self._probing:
            self._lease = replace(self._lease, outage=False)
            await recorded(lambda: self._leases.outage(self._lease, False))
        if self._leaving and self._leaving.isdisjoint(self._in_hand.values()):
            left, self._leaving = self._leaving, frozenset()
            await recorded(lambda: self._leases.leave(self._lease, left))

    async def _attention(self, seconds: float) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._wake.wait(), max(0.0, seconds))

    async def _claim(self, *, rescan: bool) -> int:
        """Take more in hand; the number of deliveries that were found."""
        for profile_id in [each for each, is_written in self._held_back.items() if is_written]:
            del self._held_back[profile_id]  # this claim will not see its deliveries any more
        self._written_meanwhile = set()
        if self._probing:
            claim = await self._permitted(limit=1, after=self._probe_after, due_only=True)
            if claim is not None and not claim.deliveries and self._probe_after:
                self._probe_after = 0  # once around
                claim = await self._permitted(limit=1, after=0, due_only=True)
        else:
            limit = CLAIM_LIMIT + (len(self._in_hand) if rescan else 0)
            claim = await self._permitted(limit=limit, after=0 if rescan else None)
        if claim is None:
            return 0
        for delivery in claim.deliveries:
            self._take(delivery)
        self._count_full_claims(len(claim.deliveries))
        return len(claim.deliveries)

    def _take(self, delivery: QueuedDelivery) -> None:
        if not self._probing:
            self._after[delivery.lane] = max(self._after.get(delivery.lane, 0), delivery.position)
        profile_id = delivery.profile.id
        known = delivery.id in self._in_hand or delivery.id in self._written_meanwhile
        if known or profile_id in self._held_back or delivery.lane not in self._after:
            return
        self._in_hand[delivery.id] = delivery.lane
        self._unsent_count += 1
        if (waiting := self._unsent.get(profile_id)) is not None:
            waiting.append(delivery)
        else:
            self._unsent[profile_id] = deque((delivery,))
            self._let_go(profile_id)

    async def _permitted(self, *, limit: int, after: int | None, due_only: bool = False) -> Claim | None:
        """A claim, with a permit to begin attempts; None, and the pump stops, if there is none to be had."""
        asked = time.monotonic()
        afters = self._after if after is None else dict.fromkeys(self._after, after)
        claim = await recorded(
            lambda: self._leases.claim(self._lease, afters, limit=limit, in_hand=self._in_hand, due_only=due_only)
        )
        if claim is None:
            self._halt("held")
            return None
        if claim.revision != self._revision or asked >= self._live_until:
            destination_id = self._lease.destination_id
            self._live = await recorded(lambda: self._making.settings(destination_id, claim.revision, claim.connector))
            self._revision, self._live_until = claim.revision, asked + PERMIT_SECONDS
        self._permit_until = asked + PERMIT_SECONDS
        return claim

    async def _has_work(self) -> bool:
        """Whether anything is queued that is not held back; nothing is taken in hand."""
        claim = await self._permitted(limit=1, after=0)
        return claim is not None and bool(claim.deliveries)

    def _count_full_claims(self, found: int) -> None:
        """A flood is shared: with the lane of this pump left to itself, others can be served elsewhere."""
        self._full_claims = self._full_claims + 1 if found >= CLAIM_LIMIT else 0
        if self._full_claims < LEAVE_AFTER or len(self._after) == 1:
            return
        home = self._lease.home
        self._leaving = frozenset(self._after) - {home}
        self._after = {home: self._after[home]}
        for waiting in self._unsent.values():
            if waiting and waiting[0].lane != home:
                self._put_back(waiting)

    def _put_back(self, waiting: deque[QueuedDelivery]) -> None:
        """These stay in the queue; the profile's place among the senders is given up by whoever comes to it."""
        for each in waiting:
            del self._in_hand[each.id]
        self._unsent_count -= len(waiting)
        waiting.clear()

    # Senders

    def _let_go(self, profile_id: str) -> None:
        self._runnable.put_nowait(profile_id)
        if not self._resting and self._senders < SENDERS and self._tasks is not None:
            self._senders += 1
            self._tasks.create_task(self._send_on())

    async def _send_on(self) -> None:
        while True:
            self._resting += 1
            profile_id = await self._runnable.get()
            self._resting -= 1
            if not profile_id:
                return
            waiting = self._unsent[profile_id]
            if waiting:
                delivery = waiting.popleft()
                self._unsent_count -= 1
                ended = await self._attempt(delivery) if self._stop is None else None
                if ended is None:
                    del self._in_hand[delivery.id]
                else:
                    self._judge(ended)
            self._go_on(profile_id, waiting)

    def _go_on(self, profile_id: str, waiting: deque[QueuedDelivery]) -> None:
        """With the profile's next event, unless it is held back."""
        if self._stop is not None or profile_id in self._held_back:
            self._put_back(waiting)
        if waiting:
            self._runnable.put_nowait(profile_id)
        else:
            del self._unsent[profile_id]
        if self._unsent_count < LOW_WATER and (self._full_claims or not self._in_hand):
            self._wake.set()

    async def _attempt(self, delivery: QueuedDelivery) -> EndedEvent | None:
        """None: no attempt may begin any more."""
        if not await self._may_begin():
            return None
        started, revision, live = datetime.now(UTC), self._revision, self._live
        if isinstance(live, Ended):
            return EndedEvent(delivery, live, live.status, False, started, revision)
        used = delivery.attempts + 1 - delivery.attempts_before
        try:
            ended = await self._making.make(live, delivery.mapping_id, self._scope(delivery), used=used)
        except Exception as error:  # a fault of ours or of a connector's must not stop the others
            _log.exception("attempt_broke_off", delivery_id=delivery.id)
            ended = broken_off(error)
        attempted = ended.request is not None or ended.outcome is not AttemptOutcome.SKIPPED
        return EndedEvent(delivery, ended, ended.status, attempted, started, revision)

    async def _may_begin(self) -> bool:
        async with self._renewing:
            if self._stop is None and time.monotonic() >= self._permit_until:
                await self._permitted(limit=0, after=None)
        return self._stop is None

    def _scope(self, delivery: QueuedDelivery) -> Scope:
        return scope(
            user=delivery.profile.as_user(),
            event=delivery.event,
            delivery={
                "id": delivery.id,
                "attempt": delivery.attempts + 1,
                "destination": {"id": self._lease.destination_id},
                "mapping": {"id": delivery.mapping_id},
            },
        )

    # Ends

    def _judge(self, made: EndedEvent) -> None:
        """What the end of one attempt says about its profile and its destination."""
        ended, profile_id = made.ended, made.delivery.profile.id
        if ended.status is DeliveryStatus.RETRYING:
            self._failures += 1
            self._message = ended.message
            self._retry_after = max(self._retry_after, ended.delay_seconds or 0.0)
            self._held_back[profile_id] = False
            if self._stop == "outage" or self._probing:  # no workflow for each of them: they wait in the queue
                made = replace(made, status=DeliveryStatus.QUEUED)
                self._probe_after = made.delivery.position
            if self._probing or self._failures >= OUTAGE_AFTER:
                self._halt("outage")
        elif ended.response is not None:
            self._failures = 0
            if self._probing:
                self._probing, self._probes = False, 0
        self._counts[made.status] += 1
        if made.attempted:
            self._metering.attempted(self._lease.destination_id, ended)
        self._ended.append(made)
        self._something_ended.set()

    async def _write_on(self) -> None:
        while True:
            await self._something_ended.wait()
            self._something_ended.clear()
            while self._ended:
                await self._write()
                if self._in_hand:
                    await asyncio.sleep(FLUSH_SECONDS)

    async def _write(self) -> None:
        batch = [self._ended.popleft() for _ in range(min(len(self._ended), FLUSH_LIMIT))]
        await recorded(lambda: self._leases.end(self._lease, batch, **self._workflow))
        for each in batch:
            del self._in_hand[each.delivery.id]
            self._written_meanwhile.add(each.delivery.id)
            if each.ended.status is DeliveryStatus.RETRYING:
                self._held_back[each.delivery.profile.id] = True
        if not self._in_hand:
            self._wake.set()

    # The end of the run

    def _halt(self, why: Stop) -> None:
        if self._stop is None:
            self._stop = why
            self._wake.set()

    async def _drain(self) -> None:
        """What is on the wire ends and is written; what is not stays in the queue."""
        while self._in_hand:
            self._wake.clear()
            if self._in_hand:
                await self._attention(RESCAN_SECONDS)

    async def _leave_in_order(self) -> None:
        if self._stop == "lost":
            return
        if self._leaving:
            await recorded(lambda: self._leases.leave(self._lease, self._leaving))
        if self._lease.outage != (self._stop == "outage" or self._probing):
            await recorded(lambda: self._leases.outage(self._lease, not self._lease.outage))
        if self._stop == "idle":
            await recorded(lambda: self._leases.rest(self._lease, self._after, outage=self._probing))
        elif self._stop == "held":
            nothing = dict.fromkeys(self._after, 0)
            await recorded(lambda: self._leases.rest(self._lease, nothing, outage=self._probing))
        else:
            await recorded(lambda: self._leases.put_down(self._lease))

    def _result(self) -> PumpResult:
        outage = self._stop == "outage"
        backoff = min(MAX_PROBE_SECONDS, PROBE_SECONDS * 2.0 ** min(self._probes, 10))
        return PumpResult(
            state=self._stop or "more",
            delivered=self._counts[DeliveryStatus.DELIVERED],
            skipped=self._counts[DeliveryStatus.SKIPPED],
            failed=self._counts[DeliveryStatus.FAILED],
            retried=self._counts[DeliveryStatus.RETRYING] + self._counts[DeliveryStatus.QUEUED],
            wait_seconds=max(backoff, self._retry_after if self._retry_after > MAX_PROBE_SECONDS else 0)
            if outage
            else 0.0,
            probes=self._probes + 1 if outage else 0,
            probe_after=self._probe_after,
            message=self._message,
        )
