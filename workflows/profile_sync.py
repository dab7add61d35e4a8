"""ProfileSync: one run brings one profile to one destination.

    prepare ──▶ wait for the quiet time ──▶ deliver ──▶ prepare ──▶ … ──▶ settled
       ▲              hold while paused        │
       └──────── woken by a signal, a timer or the end of a delivery ◀──┘

The row in the database is the truth. Whatever wakes the run, it asks `prepare` what to do and does that, so a signal that comes twice,
late or not at all changes when something happens, never what.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import suppress
from datetime import timedelta

from temporalio import workflow
from temporalio.exceptions import ActivityError, ApplicationError, ApplicationErrorCategory, is_cancelled_exception

with workflow.unsafe.imports_passed_through():
    from activities.deliver import Deliver
    from activities.errors import RETRY
    from activities.messages import AttemptResult, DeliveryOrder, Plan, PrepareInput, Settled
    from activities.prepare import Prepare
    from workflows import names, policies
    from workflows.messages import ProfileSyncInput, ProfileSyncResult, ProfileSyncStatus

# Runs that were under way before a change of the commands they issue go on without it.
BRAKE = "brake"


@workflow.defn(name="ProfileSync")
class ProfileSync:
    @workflow.init
    def __init__(self, request: ProfileSyncInput) -> None:
        self._request = request
        self._woken = False
        self._signals = 0
        self._now = False
        self._settled: Settled | None = None
        self._deliveries: dict[str, asyncio.Task[None]] = {}
        self._refusals = Counter[str]()
        self._state = "waiting"
        self._details = ""

    @workflow.run
    async def run(self, request: ProfileSyncInput) -> ProfileSyncResult:
        while True:
            plan = await self._prepare()
            for order in plan.deliveries:
                self._begin(order)
            if plan.settled is not None and not self._deliveries and not self._woken:
                return self._conclude(plan.settled)
            if plan.settled is not None or plan.held or workflow.info().is_continue_as_new_suggested():
                self._interrupt()
            await self._rest(plan)
            if self._settled is not None and not self._deliveries and not self._woken:
                return self._conclude(self._settled)
            if workflow.info().is_continue_as_new_suggested() and not self._deliveries:
                workflow.continue_as_new(request)

    @workflow.signal
    def profile_changed(self) -> None:
        """A change that nothing was going to look at by itself."""
        self._wake()

    @workflow.signal
    def pause(self) -> None:
        """The destination was paused: attempts in back-off end at once, one on the wire ends normally."""
        self._interrupt()
        self._wake()

    @workflow.signal
    def resume(self) -> None:
        """The destination was resumed, or deleted: look again."""
        self._wake()

    @workflow.signal
    def deliver_now(self) -> None:
        """Skip what is left of the quiet time or the back-off."""
        self._now = True
        self._interrupt()
        self._wake()

    @workflow.query
    def status(self) -> ProfileSyncStatus:
        return ProfileSyncStatus(state=self._state, details=self._details, under_way=sorted(self._deliveries))

    async def _prepare(self) -> Plan:
        self._woken = False
        self._settled = None
        request = PrepareInput(
            destination_id=self._request.destination_id,
            profile_id=self._request.profile_id,
            under_way=sorted(self._deliveries),
            now=self._now,
        )
        plan: Plan = await workflow.execute_local_activity_method(
            Prepare.prepare,
            request,
            start_to_close_timeout=policies.PREPARE_TIMEOUT,
            retry_policy=policies.PREPARE_RETRY,
            local_retry_threshold=policies.LOCAL_RETRY_THRESHOLD,
        )
        if plan.deliveries or plan.settled:
            self._now = False
        return plan

    async def _rest(self, plan: Plan) -> None:
        """Until something happens that may change what is to be done."""
        if plan.held:
            self._show("held", "Held: the destination is paused.")
            timeout, summary = policies.HOLD_RECHECK, "look again, should the resume have been missed"
        elif plan.wait_seconds is not None:
            if not self._deliveries:
                self._show("waiting", f"Waiting {plan.wait_seconds:.0f} s for the changes to settle.")
            timeout, summary = timedelta(seconds=plan.wait_seconds), "quiet time"
        else:
            await workflow.wait_condition(self._has_news)
            return
        with suppress(TimeoutError):
            await workflow.wait_condition(self._has_news, timeout=timeout, timeout_summary=summary)

    def _has_news(self) -> bool:
        return self._woken or (self._settled is not None and not self._deliveries)

    def _begin(self, order: DeliveryOrder) -> None:
        self._deliveries[order.mapping_id] = asyncio.create_task(self._deliver(order))

    async def _deliver(self, order: DeliveryOrder) -> None:
        """One delivery, until it has ended or was interrupted; what came of it is in the database."""
        ended, signals = False, self._signals
        try:
            result = await self._attempts(order)
            ended = result.settled
            await self._brake(order, result)
        except asyncio.CancelledError:
            workflow.logger.debug("delivery interrupted", extra={"delivery_id": order.delivery_id})
        except ActivityError as error:
            # Interrupted, or trouble of ours (workers died, the database was away): what is recorded says how to go on.
            if not _was_interrupted(error):
                await workflow.sleep(policies.AFTER_TROUBLE, summary="pause after trouble")
        finally:
            del self._deliveries[order.mapping_id]
            # A signal since may be about a change made after the sync was settled, and already looked at as if this still ran.
            if ended and signals == self._signals:
                self._settled = Settled(state="idle")
            else:
                self._woken = True

    async def _brake(self, order: DeliveryOrder, result: AttemptResult) -> None:
        """Should what `prepare` orders be refused again and again, asking anew must not become a tight loop."""
        if result.status not in ("paused", "gone"):
            del self._refusals[order.mapping_id]
            return
        self._refusals[order.mapping_id] += 1
        if self._refusals[order.mapping_id] >= policies.REFUSALS and workflow.patched(BRAKE):
            await workflow.sleep(policies.AFTER_TROUBLE, summary="pause after refusals")

    async def _attempts(self, order: DeliveryOrder) -> AttemptResult:
        """How the last one ended."""
        used = order.attempts_used
        if not used:
            first = await self._first_attempt(order)
            if first.status not in ("retry", "busy"):
                return first
            if first.status == "retry":
                used = first.number
                await self._back_off(first)
            elif first.message:
                self._show("waiting", f"The delivery {first.message}.")
        return await self._further_attempts(order, used)

    async def _first_attempt(self, order: DeliveryOrder) -> AttemptResult:
        """In this same workflow task: when all is well, nothing else is needed."""
        result: AttemptResult = await workflow.execute_local_activity_method(
            Deliver.deliver_first,
            order,
            start_to_close_timeout=policies.ATTEMPT_TIMEOUT,
            retry_policy=policies.PREPARE_RETRY,
            local_retry_threshold=policies.LOCAL_RETRY_THRESHOLD,
            cancellation_type=workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
        )
        return result

    async def _back_off(self, failed: AttemptResult) -> None:
        seconds = failed.retry_in_seconds or 0.0
        self._show("retrying", f"Attempt {failed.number} failed ({failed.code}); the next follows in {seconds:.0f} s.")
        await workflow.sleep(timedelta(seconds=seconds), summary=f"back-off after {failed.code}")

    async def _further_attempts(self, order: DeliveryOrder, used: int) -> AttemptResult:
        """Under the destination's declared retry policy."""
        if used:
            self._show("retrying", f"Retrying under the destination's policy, from attempt {used + 1} on.")
        result: AttemptResult = await workflow.execute_activity_method(
            Deliver.deliver,
            order,
            start_to_close_timeout=policies.ATTEMPT_TIMEOUT,
            heartbeat_timeout=policies.ATTEMPT_HEARTBEAT,
            retry_policy=policies.delivery_retry(order, used),
            cancellation_type=workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
            summary=f"mapping {order.mapping_id}, delivery {order.delivery_id}",
        )
        return result

    def _wake(self) -> None:
        self._signals += 1
        self._refusals.clear()
        self._woken = True

    def _interrupt(self) -> None:
        for task in self._deliveries.values():
            task.cancel()

    def _show(self, state: str, details: str) -> None:
        if state != self._state:
            self._state = state
            workflow.upsert_search_attributes([names.SYNC_STATE.value_set(state)])
        self._details = details
        workflow.set_current_details(details)

    def _conclude(self, settled: Settled) -> ProfileSyncResult:
        if settled.state == "failed":
            self._show("failed", f"Failed: {settled.message}")
            raise ApplicationError(
                settled.message or "the delivery failed",
                type=settled.reason,
                non_retryable=True,
                category=ApplicationErrorCategory.BENIGN,
            )
        state = "delivered" if settled.state == "idle" else settled.state
        self._show(state, settled.message or state.capitalize())
        return ProfileSyncResult(state=state, reason=settled.reason, message=settled.message)


def _was_interrupted(error: ActivityError) -> bool:
    """By `pause` or `deliver_now`: in its back-off, or during an attempt, which then failed and was not followed by another."""
    cause = error.cause
    return is_cancelled_exception(error) or (isinstance(cause, ApplicationError) and cause.type == RETRY)
