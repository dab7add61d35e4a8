"""EventDelivery: the pump of one destination's events, or of one lane of them. It ends when there is nothing to send.

The queue is in the database. A run costs what it takes to start a pump, to wait out an outage, and to stop; not what is sent.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.messages import PumpRequest, PumpResult
    from activities.pump_events import PumpEvents
    from workflows import names, policies
    from workflows.messages import EventDeliveryInput, EventDeliveryResult, EventStatus


@workflow.defn(name="EventDelivery")
class EventDelivery:
    @workflow.init
    def __init__(self, request: EventDeliveryInput) -> None:
        self._so_far = request
        self._woken = False
        self._state = "delivering"
        self._details = ""

    @workflow.run
    async def run(self, _: EventDeliveryInput) -> EventDeliveryResult:
        is_first = workflow.info().continued_run_id is None
        while True:
            self._woken = False
            result = await (self._pump_first() if is_first else self._pump())
            is_first = False
            self._count(result)
            if result.state == "outage":
                await self._wait_out(result)
            elif result.state != "more" and not self._woken:
                return self._conclude(result.state)
            if workflow.info().is_continue_as_new_suggested():
                workflow.continue_as_new(self._so_far)

    @workflow.signal
    def work(self) -> None:
        """Events were queued, or the destination answers again."""
        self._woken = True

    @workflow.signal
    def pause(self) -> None:
        """The destination was paused: a pump at work finds that out by itself, one that waits looks again and ends."""
        self._woken = True

    @workflow.signal
    def resume(self) -> None:
        """The destination was resumed, or deleted: look again."""
        self._woken = True

    @workflow.signal
    def deliver_now(self) -> None:
        """Do not wait for the next probe of an outage."""
        self._woken = True

    @workflow.query
    def status(self) -> EventStatus:
        return EventStatus(state=self._state, details=self._details)

    async def _pump_first(self) -> PumpResult:
        """In this same workflow task: a lone event does not wait for another."""
        result: PumpResult = await workflow.execute_local_activity_method(
            PumpEvents.pump_first,
            self._next_request(),
            start_to_close_timeout=policies.PUMP_TIMEOUT,
            retry_policy=policies.PUMP_RETRY,
            local_retry_threshold=policies.LOCAL_RETRY_THRESHOLD,
        )
        return result

    async def _pump(self) -> PumpResult:
        result: PumpResult = await workflow.execute_activity_method(
            PumpEvents.pump_events,
            self._next_request(),
            start_to_close_timeout=policies.PUMP_TIMEOUT,
            heartbeat_timeout=policies.PUMP_HEARTBEAT,
            retry_policy=policies.PUMP_RETRY,
            summary="probe whether the destination answers" if self._so_far.probes else "send what is queued",
        )
        return result

    def _next_request(self) -> PumpRequest:
        so_far = self._so_far
        return PumpRequest(
            destination_id=so_far.destination_id,
            lane=so_far.lane,
            probes=so_far.probes,
            probe_after=so_far.probe_after,
        )

    def _count(self, result: PumpResult) -> None:
        counts = ("delivered", "skipped", "failed", "retried")
        added = {name: getattr(self._so_far, name) + getattr(result, name) for name in counts}
        going_on = {"probes": result.probes, "probe_after": result.probe_after}
        self._so_far = self._so_far.model_copy(update={**added, **going_on})

    async def _wait_out(self, result: PumpResult) -> None:
        seconds = result.wait_seconds
        self._show("retrying", f"The destination does not answer ({result.message}); next probe in {seconds:.0f} s.")
        with suppress(TimeoutError):
            await workflow.wait_condition(
                lambda: self._woken, timeout=timedelta(seconds=seconds), timeout_summary="until the next probe"
            )

    def _conclude(self, state: str) -> EventDeliveryResult:
        so_far = self._so_far
        counted = f"{so_far.delivered} delivered, {so_far.skipped} skipped, {so_far.failed} failed"
        if state == "held":
            self._show("held", f"Held: the destination is paused. {counted}.")
        else:
            self._show("delivered", f"Nothing left to send. {counted}.")
        return EventDeliveryResult(
            state=state,
            delivered=so_far.delivered,
            skipped=so_far.skipped,
            failed=so_far.failed,
            retried=so_far.retried,
        )

    def _show(self, state: str, details: str) -> None:
        if state != self._state:
            self._state = state
            workflow.upsert_search_attributes([names.SYNC_STATE.value_set(state)])
        self._details = details
        workflow.set_current_details(details)
