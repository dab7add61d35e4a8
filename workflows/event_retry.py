"""EventRetry: goes on with a profile's event that failed for now, under the destination's retry policy, until it has ended.

Meanwhile the profile's later events wait in the queue; then the pump goes on with them. Like a profile sync, a run asks what is to be
done and does that, so a signal that comes twice, late or not at all changes when something happens, never what.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta

from temporalio import workflow
from temporalio.exceptions import ActivityError, ApplicationError, ApplicationErrorCategory, is_cancelled_exception

with workflow.unsafe.imports_passed_through():
    from activities.errors import RETRY
    from activities.messages import AttemptResult, DeliveryOrder, EventRetryPlan, EventRetryRequest
    from activities.retry_event import RetryEvent
    from workflows import names, policies
    from workflows.messages import EventRetryInput, EventRetryResult, EventStatus


@workflow.defn(name="EventRetry")
class EventRetry:
    @workflow.init
    def __init__(self, request: EventRetryInput) -> None:
        self._request = request
        self._woken = False
        self._now = False
        self._attempt: workflow.ActivityHandle[AttemptResult] | None = None
        self._ended = 0
        self._failure: AttemptResult | None = None
        self._state = "retrying"
        self._details = ""

    @workflow.run
    async def run(self, request: EventRetryInput) -> EventRetryResult:
        while True:
            self._woken = False
            plan = await self._next()
            if plan.held:
                self._show("held", "Held: the destination is paused.")
                await self._rest(policies.HOLD_RECHECK, "look again, should the resume have been missed")
            elif plan.order is None:
                if not self._woken:
                    return self._conclude()
            elif plan.wait_seconds > 0 and not self._now:
                self._show("retrying", f"{_tried(plan.order)} failed; the next follows in {plan.wait_seconds:.0f} s.")
                await self._rest(timedelta(seconds=plan.wait_seconds), "back-off")
            else:
                await self._try(plan.order)
            if workflow.info().is_continue_as_new_suggested():
                workflow.continue_as_new(request)

    @workflow.signal
    def retry(self) -> None:
        """An event of this profile failed for now."""
        self._woken = True

    @workflow.signal
    def pause(self) -> None:
        """The destination was paused: a back-off ends at once, an attempt on the wire ends normally."""
        self._wake()

    @workflow.signal
    def resume(self) -> None:
        """The destination was resumed, or deleted: look again."""
        self._woken = True

    @workflow.signal
    def deliver_now(self) -> None:
        """Skip what is left of the back-off."""
        self._now = True
        self._wake()

    @workflow.query
    def status(self) -> EventStatus:
        return EventStatus(state=self._state, details=self._details)

    async def _next(self) -> EventRetryPlan:
        plan: EventRetryPlan = await workflow.execute_local_activity_method(
            RetryEvent.next_event,
            EventRetryRequest(destination_id=self._request.destination_id, profile_id=self._request.profile_id),
            start_to_close_timeout=policies.PREPARE_TIMEOUT,
            retry_policy=policies.PREPARE_RETRY,
            local_retry_threshold=policies.LOCAL_RETRY_THRESHOLD,
        )
        return plan

    async def _rest(self, longest: timedelta, summary: str) -> None:
        with suppress(TimeoutError):
            await workflow.wait_condition(lambda: self._woken, timeout=longest, timeout_summary=summary)

    async def _try(self, order: DeliveryOrder) -> None:
        """Until the delivery has ended or was interrupted; what came of it is in the database."""
        self._now = False
        self._show("delivering", f"Trying again, from attempt {order.attempts_used + 1} on, under the declared policy.")
        self._attempt = workflow.start_activity_method(
            RetryEvent.retry_event,
            order,
            start_to_close_timeout=policies.ATTEMPT_TIMEOUT,
            heartbeat_timeout=policies.ATTEMPT_HEARTBEAT,
            retry_policy=policies.delivery_retry(order, order.attempts_used),
            cancellation_type=workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
            summary=f"mapping {order.mapping_id}, delivery {order.delivery_id}",
        )
        try:
            result = await self._attempt
        except ActivityError as error:
            # Interrupted, or trouble of ours (workers died, the database was away): what is recorded says how to go on.
            if not _was_interrupted(error):
                await self._rest(policies.AFTER_TROUBLE, "pause after trouble")
            return
        finally:
            self._attempt = None
        if result.status in ("paused", "gone"):
            await self._rest(policies.AFTER_TROUBLE, "look again")
            return
        self._ended += 1
        self._failure = result if result.status == "failed" else self._failure

    def _wake(self) -> None:
        self._woken = True
        if self._attempt is not None:
            self._attempt.cancel()

    def _show(self, state: str, details: str) -> None:
        if state != self._state:
            self._state = state
            workflow.upsert_search_attributes([names.SYNC_STATE.value_set(state)])
        self._details = details
        workflow.set_current_details(details)

    def _conclude(self) -> EventRetryResult:
        failure = self._failure
        if failure is not None:
            self._show("failed", f"Failed: {failure.message}")
            raise ApplicationError(
                failure.message or "the delivery failed",
                type=failure.code,
                non_retryable=True,
                category=ApplicationErrorCategory.BENIGN,
            )
        self._show("delivered", "The queue goes on with this profile's events.")
        return EventRetryResult(ended=self._ended)


def _tried(order: DeliveryOrder) -> str:
    return f"Attempt {order.attempts_used}" if order.attempts_used else "An attempt"


def _was_interrupted(error: ActivityError) -> bool:
    """By `pause` or `deliver_now`: in its back-off, or during an attempt, which then failed and was not followed by another."""
    cause = error.cause
    return is_cancelled_exception(error) or (isinstance(cause, ApplicationError) and cause.type == RETRY)
