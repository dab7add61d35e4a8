"""Profiles: what services tell us of their customers, and how far each destination is with it."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Any

from fastapi import Body, Depends, Request
from pydantic import BaseModel, Field

from api.auth import requires
from api.links import WorkflowLink
from api.parameters import ProfileIdPath
from api.problem_docs import problems
from api.routing import router
from api.services import Services, ServicesDep
from domain.errors import NotFound, TooLarge
from domain.event_backlogs import EventBacklog
from domain.profiles import MAX_DOCUMENT_BYTES, Profile, ProfilePatch
from domain.reasons import words
from domain.sync_explanations import MappingState
from domain.syncs import SyncState
from storage.profiles import ProfileChange
from storage.sync_views import SyncView
from workflows.names import event_delivery_id, event_retry_id, profile_sync_id

routes = router(tag="profiles")

EXAMPLES: Any = {
    "patch": {
        "summary": "Change some properties",
        "value": {"email": "ada@example.com", "properties": {"plan": "pro", "trialEnds": None}, "segments": ["paying"]},
    }
}

PROFILE_PATH = "/v1/profiles/{id}"


class ChangeAnswer(BaseModel):
    """`changed` is false when everything was so already: then there is no new version and nothing is sent."""

    id: str
    version: int
    changed: bool
    created_at: datetime
    updated_at: datetime


class ProfileAnswer(BaseModel):
    id: str
    version: int
    email: str | None
    anonymousId: str | None  # noqa: N815  (the field's name in every SDK)
    properties: dict[str, Any]
    computedProperties: dict[str, Any]  # noqa: N815
    segments: list[str]
    created_at: datetime
    updated_at: datetime


class DeletedProfile(BaseModel):
    id: str
    deleted: bool = True


class MappingSync(BaseModel):
    """One mapping's newest delivery of the profile."""

    mapping_id: str
    status: str
    reason: str | None
    message: str | None
    delivery_id: str | None
    delivered_version: int | None
    next_attempt_at: datetime | None


class EventBlocker(BaseModel):
    """The event delivery that failed for now: the profile's later events wait until it has ended."""

    delivery_id: str
    event_id: str
    mapping_id: str
    status: str
    reason: str | None
    message: str | None
    attempt_count: int
    next_attempt_at: datetime | None
    workflow: WorkflowLink


class EventsWaiting(BaseModel):
    queued: int = Field(description="events of this profile that wait, the blocker not counted")
    blocker: EventBlocker | None


class SyncAnswer(BaseModel):
    """`reason` and `message` say why, in the words of deliveries and previews; the two times say when."""

    destination_id: str
    state: str = Field(description="idle, waiting, held, delivering, retrying, failed, skipped or discarded")
    reason: str | None
    message: str | None
    wanted_version: int | None = Field(description="null where only events are wanted of the profile")
    delivered_version: int | None
    due_at: datetime | None = Field(
        description="when the last change goes out, if none follows it; while held, not before then"
    )
    next_attempt_at: datetime | None = Field(
        description="of what failed and is tried again; null while held, since resuming sends it at once"
    )
    mappings: list[MappingSync] = Field(description="of those that have had anything to deliver or to refuse")
    events: EventsWaiting | None = Field(description="null when none of this profile waits for the destination")
    workflow: WorkflowLink


class SyncsAnswer(BaseModel):
    data: list[SyncAnswer]


async def _fits_a_profile(request: Request) -> None:
    if len(await request.body()) > MAX_DOCUMENT_BYTES:
        raise TooLarge(f"a profile may have {MAX_DOCUMENT_BYTES} bytes of JSON")


@routes.get("/v1/profiles/{id}/syncs", dependencies=[requires("operate")], responses=problems(404))
async def list_syncs(id: ProfileIdPath, services: ServicesDep) -> SyncsAnswer:  # noqa: A002
    """What each destination has of this profile, and what it waits for."""
    views = await services.sync_views.of_profile(id)
    return SyncsAnswer(data=[_sync(view, services) for view in views])


@routes.patch(PROFILE_PATH, dependencies=[requires("ingest"), Depends(_fits_a_profile)])
async def patch_profile(
    id: ProfileIdPath,  # noqa: A002
    body: Annotated[ProfilePatch, Body(openapi_examples=EXAMPLES)],
    services: ServicesDep,
) -> ChangeAnswer:
    """JSON Merge Patch (RFC 7396): absent members stay, null removes, objects merge. Makes the profile if need be."""
    return _changed(await services.profiles.patch(id, body.model_dump(exclude_unset=True)))


@routes.put(PROFILE_PATH, dependencies=[requires("ingest"), Depends(_fits_a_profile)])
async def put_profile(
    id: ProfileIdPath,  # noqa: A002
    body: Annotated[ProfilePatch, Body(openapi_examples=EXAMPLES)],
    services: ServicesDep,
) -> ChangeAnswer:
    """Replaces all that is known of the profile."""
    return _changed(await services.profiles.replace(id, body.model_dump(exclude_unset=True)))


@routes.get(PROFILE_PATH, dependencies=[requires("operate")], responses=problems(404))
async def get_profile(id: ProfileIdPath, services: ServicesDep) -> ProfileAnswer:  # noqa: A002
    return _profile(await services.profiles.get(id))


@routes.delete(PROFILE_PATH, dependencies=[requires("ingest")], responses=problems(404))
async def delete_profile(id: ProfileIdPath, services: ServicesDep) -> DeletedProfile:  # noqa: A002
    """Forgets the document and discards what is still to be sent of it. Destinations keep what they were sent."""
    if not await services.profiles.delete(id):
        raise NotFound(f"there is no profile {id!r}")
    return DeletedProfile(id=id)


def _changed(change: ProfileChange) -> ChangeAnswer:
    profile = change.profile
    return ChangeAnswer(
        id=profile.id,
        version=profile.version,
        changed=change.changed,
        created_at=profile.created_at,
        updated_at=profile.updated_at,
    )


def _profile(profile: Profile) -> ProfileAnswer:
    document = profile.document
    return ProfileAnswer(
        id=profile.id,
        version=profile.version,
        email=document.get("email"),
        anonymousId=document.get("anonymousId"),
        properties=document.get("properties", {}),
        computedProperties=document.get("computedProperties", {}),
        segments=document.get("segments", []),
        created_at=profile.created_at,
        updated_at=profile.updated_at,
    )


def _sync(view: SyncView, services: Services) -> SyncAnswer:
    return SyncAnswer(
        destination_id=view.destination_id,
        wanted_version=view.wanted_version,
        delivered_version=view.delivered_version,
        **asdict(view.explanation),
        mappings=[_mapping(each, view) for each in view.mappings],
        events=_events(view, view.events, services) if view.events else None,
        workflow=services.links.link(*_workflow(view)),
    )


def _workflow(view: SyncView) -> tuple[str, str | None]:
    """Its id and the run, if that is known: of the sync, or of what sends the events where there is no sync."""
    if view.wanted_version is not None or view.events is None:
        return profile_sync_id(view.destination_id, view.profile_id), view.run_id
    if view.events.blocker is not None:
        return event_retry_id(view.destination_id, view.profile_id), view.events.blocker.run_id
    return event_delivery_id(view.destination_id, view.events.home), None


def _events(view: SyncView, events: EventBacklog, services: Services) -> EventsWaiting:
    if events.blocker is None:
        return EventsWaiting(queued=events.queued, blocker=None)
    shown = asdict(events.blocker)
    workflow = services.links.link(event_retry_id(view.destination_id, view.profile_id), shown.pop("run_id"))
    attempt_count = shown.pop("attempts")
    blocker = EventBlocker(**shown, attempt_count=attempt_count, workflow=workflow)
    return EventsWaiting(queued=events.queued, blocker=blocker)


def _mapping(mapping: MappingState, view: SyncView) -> MappingSync:
    shown = {**asdict(mapping), "message": words(mapping.reason, mapping.message)}
    if view.explanation.state == SyncState.HELD:
        shown["next_attempt_at"] = None
    return MappingSync(**shown)
