"""The delivery log, and another try for what failed."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import Query
from pydantic import AwareDatetime, BaseModel, Field

from api.auth import requires
from api.links import WorkflowLink
from api.parameters import DeliveryId, Listed, PageQuery, Text
from api.problem_docs import problems
from api.routing import router
from api.services import Services, ServicesDep
from domain.deliveries import DeliveryKind, DeliveryStatus
from domain.destinations import Slug
from domain.profiles import MAX_ID_LENGTH
from domain.reasons import held_words, words
from storage.deliveries import Attempt, Delivery, DeliveryDetail, DeliveryFilter

# Near the ends of Python's calendar a change of time zone overflows.
EARLIEST, LATEST = datetime(1970, 1, 1, tzinfo=UTC), datetime(9000, 1, 1, tzinfo=UTC)

Moment = Annotated[AwareDatetime, Field(ge=EARLIEST, le=LATEST)]

routes = router(tag="deliveries")


class DeliveriesQuery(PageQuery):
    """All that is given must hold."""

    destination: Slug | None = None
    mapping: Slug | None = None
    profile: Text | None = Field(None, max_length=MAX_ID_LENGTH)
    event: UUID | None = None
    status: DeliveryStatus | None = None
    kind: DeliveryKind | None = None
    since: Moment | None = Field(None, description="made then or later; with a time zone")
    until: Moment | None = Field(None, description="made before then; with a time zone")

    def as_filter(self) -> DeliveryFilter:
        return DeliveryFilter(
            destination=self.destination,
            mapping=self.mapping,
            profile=self.profile,
            event=str(self.event) if self.event else None,
            status=self.status,
            kind=self.kind,
            since=self.since,
            until=self.until,
        )


class DeliverySummary(BaseModel):
    id: str = Field(description="also the idempotency key of every attempt")
    kind: DeliveryKind
    status: DeliveryStatus
    reason: str | None
    message: str | None
    destination_id: str
    mapping_id: str | None
    profile_id: str | None
    event_id: str | None
    revision: int | None
    profile_version: int | None
    attempt_count: int
    next_attempt_at: datetime | None
    workflow: WorkflowLink | None
    created_at: datetime
    updated_at: datetime
    finished_at: datetime | None


class AttemptAnswer(BaseModel):
    """`request` is what was sent and `response` what came back, secrets masked, bodies cut to an excerpt."""

    number: int
    started_at: datetime
    duration_ms: float | None
    revision: int | None
    profile_version: int | None
    request: Any
    response: Any
    outcome: str | None
    error: Any


class DeliveryAnswer(DeliverySummary):
    attempts: list[AttemptAnswer]


@routes.get("/v1/deliveries", dependencies=[requires("operate")])
async def list_deliveries(query: Annotated[DeliveriesQuery, Query()], services: ServicesDep) -> Listed[DeliverySummary]:
    """Newest first."""
    page = await services.deliveries.page(query.as_filter(), cursor=query.cursor, limit=query.limit)
    data = [DeliverySummary(**_summary(each, services)) for each in page.data]
    return Listed(data=data, next_cursor=page.next_cursor)


@routes.get("/v1/deliveries/{id}", dependencies=[requires("operate")], responses=problems(404))
async def get_delivery(id: DeliveryId, services: ServicesDep) -> DeliveryAnswer:  # noqa: A002
    """With every attempt, oldest first."""
    return _detail(await services.deliveries.get(str(id)), services)


@routes.post("/v1/deliveries/{id}/retry", dependencies=[requires("operate")], responses=problems(404, 409))
async def retry_delivery(id: DeliveryId, services: ServicesDep) -> DeliveryAnswer:  # noqa: A002
    """Brings a failed delivery back, with its attempts anew; one that waits for its next attempt goes at once.

    An event takes its old place in the queue, before later events of its profile.
    """
    found = (await services.deliveries.get(str(id))).delivery
    retried = services.event_actions if found.kind == DeliveryKind.EVENT else services.syncs
    await retried.retry(found.id)
    return _detail(await services.deliveries.get(found.id), services)


@routes.post("/v1/deliveries/{id}/skip", dependencies=[requires("operate")], responses=problems(404, 409))
async def skip_delivery(id: DeliveryId, services: ServicesDep) -> DeliveryAnswer:  # noqa: A002
    """Ends an event delivery that is queued or retrying, for good and unsent; its profile's next event goes."""
    await services.event_actions.skip(str(id))
    return _detail(await services.deliveries.get(str(id)), services)


@routes.post("/v1/deliveries/{id}/park", dependencies=[requires("operate")], responses=problems(404, 409))
async def park_delivery(id: DeliveryId, services: ServicesDep) -> DeliveryAnswer:  # noqa: A002
    """Sets an event delivery that is queued or retrying aside, to be retried later; its profile's next event goes."""
    await services.event_actions.park(str(id))
    return _detail(await services.deliveries.get(str(id)), services)


def _summary(delivery: Delivery, services: Services) -> dict[str, Any]:
    shown = {name: getattr(delivery, name) for name in DeliverySummary.model_fields if hasattr(delivery, name)}
    workflow_id = delivery.workflow_id
    workflow = services.links.link(workflow_id, delivery.run_id) if workflow_id else None
    message = words(delivery.reason, delivery.message)
    if delivery.status == DeliveryStatus.HELD:  # a pause ends every back-off: resuming sends at once
        shown["next_attempt_at"], message = None, held_words(last_error=delivery.message)
    return {**shown, "message": message, "attempt_count": delivery.attempts, "workflow": workflow}


def _detail(detail: DeliveryDetail, services: Services) -> DeliveryAnswer:
    attempts = [_attempt(each) for each in detail.attempts]
    return DeliveryAnswer(**_summary(detail.delivery, services), attempts=attempts)


def _attempt(attempt: Attempt) -> AttemptAnswer:
    return AttemptAnswer(**{name: getattr(attempt, name) for name in AttemptAnswer.model_fields})
