"""What was received, and what became of it."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import Path, Query
from pydantic import BaseModel, Field

from api.auth import requires
from api.deliveries import Moment
from api.links import WorkflowLink
from api.parameters import Listed, PageQuery, Text
from api.problem_docs import problems
from api.routing import router
from api.services import Services, ServicesDep
from domain.calls import CallType
from domain.event_explanations import EventFate
from domain.profiles import MAX_ID_LENGTH
from storage.event_views import EventsWanted

routes = router(tag="events")

EventId = Annotated[UUID, Path(examples=["0198c6a0-7b5e-7c3a-8f00-5d1f0c2b7a11"])]


class EventsQuery(PageQuery):
    """All that is given must hold."""

    profile: Text | None = Field(None, max_length=MAX_ID_LENGTH)
    name: Text | None = Field(None, description="of a track call, a page or a screen; exact")
    type: CallType | None = None
    source: Text | None = Field(None, description="empty for what came with an API key")
    since: Moment | None = Field(None, description="received then or later; with a time zone")
    until: Moment | None = Field(None, description="received before then; with a time zone")

    def wanted(self) -> EventsWanted:
        return EventsWanted(**{name: getattr(self, name) for name in EventsWanted.__dataclass_fields__})


class EventSummaryAnswer(BaseModel):
    id: str
    source_id: str = Field(description="empty for what came with an API key")
    type: CallType
    name: str | None
    profile_id: str
    received_at: datetime
    deliveries: dict[str, int] = Field(description="how many of its deliveries are in each status")


class EventFateAnswer(BaseModel):
    """One delivery of the event, or a mapping that has none."""

    destination_id: str
    mapping_id: str | None
    delivery_id: str | None
    status: str = Field(description="of the delivery; `not_queued` where there is none, and `reason` says why")
    reason: str | None
    message: str | None
    attempt_count: int
    next_attempt_at: datetime | None
    workflow: WorkflowLink | None


class EventAnswer(BaseModel):
    """`event` is the object that conditions and templates see."""

    id: str
    source_id: str
    type: CallType
    name: str | None
    profile_id: str
    received_at: datetime
    event: dict[str, Any]
    destinations: list[EventFateAnswer] = Field(
        description="its deliveries, and the mappings of events as published now that have none of it"
    )


@routes.get("/v1/events", dependencies=[requires("operate")])
async def list_events(query: Annotated[EventsQuery, Query()], services: ServicesDep) -> Listed[EventSummaryAnswer]:
    """Newest first."""
    page = await services.event_views.page(query.wanted(), cursor=query.cursor, limit=query.limit)
    return Listed(data=[EventSummaryAnswer(**asdict(each)) for each in page.data], next_cursor=page.next_cursor)


@routes.get("/v1/events/{id}", dependencies=[requires("operate")], responses=problems(404))
async def get_event(id: EventId, services: ServicesDep) -> EventAnswer:  # noqa: A002
    """With what each destination was sent of it, or why not."""
    stored = await services.event_views.get(str(id))
    fates = await services.event_views.fates(stored)
    shown = {name: getattr(stored, name) for name in EventAnswer.model_fields if name != "destinations"}
    return EventAnswer(**shown, destinations=[_fate(each, services) for each in fates])


def _fate(fate: EventFate, services: Services) -> EventFateAnswer:
    shown = {name: getattr(fate, name) for name in EventFateAnswer.model_fields if hasattr(fate, name)}
    workflow = services.links.link(fate.workflow_id, fate.run_id) if fate.workflow_id else None
    return EventFateAnswer(**shown, attempt_count=fate.attempts, workflow=workflow)
