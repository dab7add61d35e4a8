"""The dispatcher: tells Temporal what the rows say. Woken by `NOTIFY`, with a slow sweep as the safety net.

Several replicas share the work. While Temporal is away everything stays in the rows; nothing is lost and nobody waits for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta

import structlog
from temporalio.api.batch.v1 import BatchOperationSignal
from temporalio.api.workflowservice.v1 import StartBatchOperationRequest
from temporalio.client import Client
from temporalio.common import Priority, SearchAttributePair, TypedSearchAttributes
from temporalio.service import RPCError, RPCStatusCode

from api.surviving import surviving
from storage.notifications import Notifications
from storage.outbox import Outbox, PendingSignal, PendingTell
from workflows import names
from workflows.messages import ProfileSyncInput
from workflows.profile_sync import ProfileSync

CLAIM_LIMIT = 200  # signals claimed at once; at ~10 ms each, two seconds' work
CONCURRENCY = 32  # calls to Temporal at once; more gains nothing on a dev server and is fair on a cluster
SWEEP_SECONDS = 2.0  # how late something is when its notification was missed
RESCUE_SECONDS = 30.0
RESCUE_LIMIT = 500
# After a pause, so many runs whose start is still delayed are woken to show as held at once; others do when their delay ends.
WAKE_LIMIT = 1_000
RPC_TIMEOUT = timedelta(seconds=5)  # a call takes milliseconds; past this Temporal is away and the row waits
RETRY_SECONDS = 1.0  # until a signal that Temporal did not take is tried again

_log = structlog.get_logger("api.dispatcher")


class Dispatcher:
    """`on_sent` is told how many signals went out, for metrics."""

    def __init__(
        self,
        outbox: Outbox,
        notifications: Notifications,
        client: Client,
        *,
        on_sent: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._outbox = outbox
        self._notifications = notifications
        self._client = client
        self._on_sent = on_sent
        self._calls = asyncio.Semaphore(CONCURRENCY)

    async def run(self) -> None:
        """Until cancelled. A database or a Temporal that is away only delays it."""
        rescue = asyncio.create_task(self._rescue_now_and_then())
        try:
            async with self._notifications.listening() as wake:
                while True:
                    if not await surviving(self._work, False):
                        await wake.wait(SWEEP_SECONDS)
        finally:
            rescue.cancel()

    async def _work(self) -> bool:
        """One round. True if there may be more to do at once."""
        for tell in await self._outbox.to_tell():
            await self._tell(tell)
        claimed = await self._outbox.claim(CLAIM_LIMIT)
        if not claimed:
            return False
        try:
            results = await asyncio.gather(*(self._send(signal) for signal in claimed))
        except asyncio.CancelledError:
            await self._outbox.release(claimed, 0)  # whoever comes next need not wait for our claim to run out
            raise
        sent = [(signal, run_id) for signal, run_id in zip(claimed, results, strict=True) if run_id is not None]
        failed = [signal for signal, run_id in zip(claimed, results, strict=True) if run_id is None]
        if sent:
            await self._outbox.sent(sent)
            self._on_sent(len(sent))
        if failed:
            await self._outbox.release(failed, RETRY_SECONDS)
        return bool(sent)

    async def _send(self, signal: PendingSignal) -> str | None:
        """Signal the sync's workflow, starting it if need be. The id of its run, or None if Temporal did not take it."""
        async with self._calls:
            try:
                handle = await self._client.start_workflow(
                    ProfileSync.run,
                    ProfileSyncInput(destination_id=signal.destination_id, profile_id=signal.profile_id),
                    id=names.profile_sync_id(signal.destination_id, signal.profile_id),
                    task_queue=names.TASK_QUEUE,
                    start_signal=signal.signal,
                    start_delay=timedelta(seconds=signal.delay_seconds) if signal.delay_seconds > 0 else None,
                    search_attributes=_search_attributes(signal),
                    static_summary=f"{signal.profile_id} → {signal.destination_id}",
                    static_details=(
                        f"Brings profile `{signal.profile_id}` to destination `{signal.destination_id}`"
                        " once its changes have settled."
                    ),
                    priority=Priority(fairness_key=signal.destination_id),
                    rpc_timeout=RPC_TIMEOUT,
                )
            except (RPCError, RuntimeError) as error:
                _log.warning("signal_not_sent", destination_id=signal.destination_id, reason=str(error))
                return None
            return handle.result_run_id or handle.first_execution_run_id or ""

    async def _tell(self, tell: PendingTell) -> None:
        """Signal every running workflow of a destination, in one batch that shows in Temporal."""
        request = StartBatchOperationRequest(
            namespace=self._client.namespace,
            visibility_query=f'{names.DESTINATION_ID.name}="{tell.destination_id}" AND ExecutionStatus="Running"',
            # The same for every replica, and new even where a database was made anew beside an old Temporal.
            job_id=f"{tell.signal}-{tell.destination_id}-{tell.epoch}-{tell.at_ms}",
            reason=f"destination {tell.destination_id} was changed: {tell.signal}",
            signal_operation=BatchOperationSignal(signal=tell.signal, identity=self._client.identity),
        )
        try:
            await self._client.workflow_service.start_batch_operation(request, timeout=RPC_TIMEOUT)
        except (RPCError, RuntimeError) as error:
            if not (isinstance(error, RPCError) and error.status is RPCStatusCode.ALREADY_EXISTS):
                _log.warning("batch_not_started", destination_id=tell.destination_id, reason=str(error))
                return  # the workflows see the new state at their next look; the next sweep tries again
        if tell.signal == "pause":
            await asyncio.gather(*map(self._send, await self._outbox.debouncing(tell.destination_id, WAKE_LIMIT)))
        await self._outbox.told(tell)
        _log.info("batch_started", destination_id=tell.destination_id, signal=tell.signal, job_id=request.job_id)

    async def _rescue_now_and_then(self) -> None:
        while True:
            await asyncio.sleep(RESCUE_SECONDS)
            if rescued := await surviving(lambda: self._outbox.rescue(RESCUE_LIMIT), 0):
                _log.warning("overdue_syncs_signalled_again", count=rescued)


def _search_attributes(signal: PendingSignal) -> TypedSearchAttributes:
    return TypedSearchAttributes(
        [
            SearchAttributePair(names.DESTINATION_ID, signal.destination_id),
            SearchAttributePair(names.PROFILE_ID, names.searchable(signal.profile_id)),
            SearchAttributePair(names.SYNC_STATE, "waiting"),
        ]
    )
