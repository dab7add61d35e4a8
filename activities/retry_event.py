"""retry_event: the attempts at the event delivery that holds back its profile, under the destination's retry policy."""

from __future__ import annotations

import structlog
from temporalio import activity

from activities.errors import as_application_errors
from activities.event_attempting import EventAttempting
from activities.messages import AttemptResult, DeliveryOrder, EventRetryPlan, EventRetryRequest, RetryPlan
from activities.places import Places
from activities.published import PublishedDestinations
from domain.destinations import Retry
from domain.errors import InvalidInput, NotFound
from storage.event_retries import Blocker, EventRetries


class RetryEvent:
    def __init__(
        self, retries: EventRetries, published: PublishedDestinations, attempting: EventAttempting, places: Places
    ) -> None:
        self._retries = retries
        self._published = published
        self._attempting = attempting
        self._places = places

    @activity.defn(name="next_event")
    @as_application_errors
    async def next_event(self, request: EventRetryRequest) -> EventRetryPlan:
        """A local activity: what is to be done for this profile now."""
        blocker = await self._retries.blocker(request.destination_id, request.profile_id)
        if blocker is None:
            return EventRetryPlan()
        if blocker.paused:
            return EventRetryPlan(held=True)
        order = DeliveryOrder(
            delivery_id=blocker.delivery_id,
            destination_id=request.destination_id,
            mapping_id=blocker.mapping_id,
            attempts_used=blocker.used,
            retry=RetryPlan.model_validate((await self._policy(request.destination_id, blocker)).model_dump()),
        )
        return EventRetryPlan(order=order, wait_seconds=blocker.wait_seconds)

    @activity.defn(name="retry_event")
    @as_application_errors
    async def retry_event(self, order: DeliveryOrder) -> AttemptResult:
        """Raises to be tried again, returns when the delivery has ended."""
        return await self._places.attempt(order.destination_id, lambda: self._attempt(order))

    async def _attempt(self, order: DeliveryOrder) -> AttemptResult:
        info = activity.info()
        workflow_id, run_id = info.workflow_id or "", info.workflow_run_id or ""
        with structlog.contextvars.bound_contextvars(workflow_id=workflow_id, run_id=run_id):
            return await self._attempting.attempt(order.delivery_id, workflow_id=workflow_id, run_id=run_id)

    async def _policy(self, destination_id: str, blocker: Blocker) -> Retry:
        """A revision that cannot be used has none; the attempt will say why it cannot."""
        try:
            return (await self._published.get(destination_id, blocker.revision, blocker.connector)).spec.retry
        except (InvalidInput, NotFound):
            return Retry()
