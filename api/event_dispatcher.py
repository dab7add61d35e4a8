"""The dispatcher of events: starts pumps where events are queued and nobody sends them, and retries for profiles that failed.

Woken by `NOTIFY`, with a slow sweep as the safety net. Several replicas share the work. While Temporal is away everything stays in the
rows; nothing is lost and nobody waits for it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import TypeVar

import structlog
from temporalio.client import Client
from temporalio.common import Priority, SearchAttributePair, TypedSearchAttributes
from temporalio.service import RPCError

from api.surviving import surviving
from storage.event_lanes import EventLanes, WantedPump
from storage.event_retries import EventRetries, PendingRetry
from storage.notifications import Notifications
from workflows import names
from workflows.event_delivery import EventDelivery
from workflows.event_retry import EventRetry
from workflows.messages import EventDeliveryInput, EventRetryInput

CLAIM_LIMIT = 200  # started at once; at ~30 ms each, a few seconds' work
CONCURRENCY = 32  # calls to Temporal at once; more gains nothing on a dev server and is fair on a cluster
SWEEP_SECONDS = 2.0  # how late something is when its notification was missed
RESCUE_SECONDS = 30.0
RPC_TIMEOUT = timedelta(seconds=5)  # a call takes milliseconds; past this Temporal is away and the row waits
RETRY_SECONDS = 1.0  # until what Temporal did not take is tried again

T = TypeVar("T", WantedPump, PendingRetry)

_log = structlog.get_logger("api.event_dispatcher")


class EventDispatcher:
    """`on_sent` is told how many workflows were started or signalled, for metrics."""

    def __init__(
        self,
        lanes: EventLanes,
        retries: EventRetries,
        notifications: Notifications,
        client: Client,
        *,
        on_sent: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._lanes = lanes
        self._retries = retries
        self._notifications = notifications
        self._client = client
        self._on_sent = on_sent
        self._calls = asyncio.Semaphore(CONCURRENCY)
        self._sweep_at = 0.0

    async def run(self) -> None:
        """Until cancelled. A database or a Temporal that is away only delays it."""
        rescue = asyncio.create_task(self._rescue_now_and_then())
        try:
            async with self._notifications.listening() as wake:
                while True:
                    if not await surviving(lambda: self._work(wake.take_lanes()), False):
                        await wake.wait(SWEEP_SECONDS)
        finally:
            rescue.cancel()

    async def _work(self, lanes: set[tuple[str, int]] | None) -> bool:
        """One round. True if there may be more to do at once."""
        queued = lanes or set()
        if not lanes or time.monotonic() >= self._sweep_at:  # however much others are busy
            self._sweep_at = time.monotonic() + SWEEP_SECONDS
            queued = {*queued, *await self._lanes.asleep()}
        sent = await self._start_pumps(await self._lanes.rouse(queued)) if queued else 0
        sent += await self._start_pumps(await self._lanes.claim(CLAIM_LIMIT))
        sent += await self._signal_retries(await self._retries.claim(CLAIM_LIMIT))
        self._on_sent(sent)
        return sent > 0

    async def _start_pumps(self, pumps: Sequence[WantedPump]) -> int:
        """How many of these Temporal took; the others are tried again soon."""
        taken, refused = await _sorted_out(pumps, self._start_pump, self._lanes.release)
        if taken:
            await self._lanes.started([pump for pump, _ in taken])
        if refused:
            await self._lanes.release(refused, RETRY_SECONDS)
        return len(taken)

    async def _signal_retries(self, retries: Sequence[PendingRetry]) -> int:
        taken, refused = await _sorted_out(retries, self._start_retry, self._retries.release)
        if taken:
            await self._retries.sent(taken)
        if refused:
            await self._retries.release(refused, RETRY_SECONDS)
        return len(taken)

    async def _start_pump(self, pump: WantedPump) -> str | None:
        """The id of the run, or None if Temporal did not take it."""
        return await self._call(
            pump.destination_id,
            lambda: self._client.start_workflow(
                EventDelivery.run,
                EventDeliveryInput(destination_id=pump.destination_id, lane=pump.lane),
                id=names.event_delivery_id(pump.destination_id, pump.lane),
                task_queue=names.EVENTS_QUEUE,
                start_signal="work",
                search_attributes=_search_attributes(pump.destination_id, "delivering"),
                static_summary=f"events → {pump.destination_id}",
                static_details=f"Sends what is queued for destination `{pump.destination_id}`, until nothing is.",
                priority=Priority(fairness_key=pump.destination_id),
                rpc_timeout=RPC_TIMEOUT,
            ),
        )

    async def _start_retry(self, retry: PendingRetry) -> str | None:
        delay = timedelta(seconds=retry.delay_seconds) if retry.delay_seconds > 0 else None
        return await self._call(
            retry.destination_id,
            lambda: self._client.start_workflow(
                EventRetry.run,
                EventRetryInput(destination_id=retry.destination_id, profile_id=retry.profile_id),
                id=names.event_retry_id(retry.destination_id, retry.profile_id),
                task_queue=names.TASK_QUEUE,
                start_signal=retry.signal,
                start_delay=delay,
                search_attributes=_search_attributes(retry.destination_id, "retrying", retry.profile_id),
                static_summary=f"{retry.profile_id}: event → {retry.destination_id}, again",
                static_details=(
                    f"Goes on with an event of profile `{retry.profile_id}` that destination `{retry.destination_id}` did not"
                    " take. The profile's later events wait for it."
                ),
                priority=Priority(fairness_key=retry.destination_id),
                rpc_timeout=RPC_TIMEOUT,
            ),
        )

    async def _call(self, destination_id: str, start: Callable[[], Awaitable[object]]) -> str | None:
        async with self._calls:
            try:
                handle = await start()
            except (RPCError, RuntimeError) as error:
                _log.warning("workflow_not_started", destination_id=destination_id, reason=str(error))
                return None
        return getattr(handle, "result_run_id", None) or getattr(handle, "first_execution_run_id", None) or ""

    async def _rescue_now_and_then(self) -> None:
        while True:
            await asyncio.sleep(RESCUE_SECONDS)
            lanes = await surviving(self._lanes.rescue, 0)
            retries = await surviving(self._retries.rescue, 0)
            if lanes or retries:
                _log.warning("overdue_events_taken_up_again", lanes=lanes, retries=retries)


async def _sorted_out(
    claimed: Sequence[T],
    start: Callable[[T], Awaitable[str | None]],
    release: Callable[[Sequence[T], float], Awaitable[None]],
) -> tuple[list[tuple[T, str]], list[T]]:
    """What Temporal took, each with its run's id, and what it did not."""
    try:
        run_ids = await asyncio.gather(*map(start, claimed))
    except asyncio.CancelledError:
        await release(claimed, 0)  # whoever comes next need not wait for our claim to run out
        raise
    pairs = list(zip(claimed, run_ids, strict=True))
    return [(each, run_id) for each, run_id in pairs if run_id is not None], [
        each for each, run_id in pairs if run_id is None
    ]


def _search_attributes(destination_id: str, state: str, profile_id: str | None = None) -> TypedSearchAttributes:
    pairs = [
        SearchAttributePair(names.DESTINATION_ID, destination_id),
        SearchAttributePair(names.SYNC_STATE, state),
    ]
    if profile_id is not None:
        pairs.append(SearchAttributePair(names.PROFILE_ID, names.searchable(profile_id)))
    return TypedSearchAttributes(pairs)
