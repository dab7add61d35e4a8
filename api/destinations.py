"""Destinations and their drafts, revisions and pauses."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query

from api.auth import Caller, requires
from api.destination_bodies import (
    CreateDestination,
    Deleted,
    DestinationAnswer,
    DraftAnswer,
    PauseRequest,
    Published,
    PublishRequest,
    RevisionAnswer,
    WriteDraft,
)
from api.destination_ids import new_destination_id
from api.icons import icon_of
from api.parameters import DestinationId, Listed, PageQuery, RevisionNumber
from api.problem_docs import problems
from api.routing import router
from api.services import ServicesDep
from storage.destinations import Destination

routes = router(tag="destinations")

OPERATE = [requires("operate")]
ADMIN = [requires("admin")]


@routes.post("/v1/destinations", status_code=201, dependencies=ADMIN, responses=problems(409))
async def create_destination(body: CreateDestination, services: ServicesDep) -> DestinationAnswer:
    """Created as a draft: nothing flows until it is published."""
    spec, inline = services.admission.read(body, body.connector)
    destination_id = body.id or new_destination_id(spec.name, body.connector)
    made = await services.destinations.create(destination_id, body.connector, spec, inline=inline)
    return _answer(made, services)


@routes.get("/v1/destinations", dependencies=OPERATE)
async def list_destinations(query: Annotated[PageQuery, Query()], services: ServicesDep) -> Listed[DestinationAnswer]:
    """By id."""
    page = await services.destinations.page(cursor=query.cursor, limit=query.limit)
    return Listed(data=[_answer(each, services) for each in page.data], next_cursor=page.next_cursor)


@routes.get("/v1/destinations/{id}", dependencies=OPERATE, responses=problems(404))
async def get_destination(id: DestinationId, services: ServicesDep) -> DestinationAnswer:  # noqa: A002
    """With what is published, or the draft of what never was."""
    return _answer(await services.destinations.get(id), services)


@routes.delete("/v1/destinations/{id}", dependencies=ADMIN, responses=problems(404))
async def delete_destination(id: DestinationId, services: ServicesDep) -> Deleted:  # noqa: A002
    """What is still open for it is discarded; its log stays, and its id is not given again."""
    await services.destinations.delete(id)
    return Deleted(id=id)


@routes.get("/v1/destinations/{id}/draft", dependencies=OPERATE, responses=problems(404))
async def get_draft(id: DestinationId, services: ServicesDep) -> DraftAnswer:  # noqa: A002
    return DraftAnswer.of(await services.drafts.get(id))


@routes.put("/v1/destinations/{id}/draft", dependencies=ADMIN, responses=problems(404))
async def put_draft(id: DestinationId, body: WriteDraft, services: ServicesDep) -> DraftAnswer:  # noqa: A002
    """Replaces the draft as a whole. Traffic does not change before it is published."""
    connector = (await services.destinations.get(id)).connector
    spec, inline = services.admission.read(body, connector)
    return DraftAnswer.of(await services.drafts.put(id, spec, inline=inline))


@routes.delete("/v1/destinations/{id}/draft", dependencies=ADMIN, responses=problems(404, 409))
async def discard_draft(id: DestinationId, services: ServicesDep) -> DestinationAnswer:  # noqa: A002
    """Back to what is published. A destination that never was published is deleted instead (409)."""
    await services.drafts.discard(id)
    return _answer(await services.destinations.get(id), services)


@routes.post("/v1/destinations/{id}/publish", dependencies=ADMIN, responses=problems(404, 409))
async def publish(
    id: DestinationId,  # noqa: A002
    services: ServicesDep,
    caller: Caller,
    body: PublishRequest | None = None,
) -> Published:
    """The draft goes live as the next revision; retries already under way use it too. A pause stays a pause."""
    revision = await services.publications.publish(
        id, note=body.note if body else None, by=caller.name, admit=services.admission
    )
    return Published(revision=revision)


@routes.get("/v1/destinations/{id}/revisions", dependencies=OPERATE, responses=problems(404))
async def list_revisions(
    id: DestinationId,  # noqa: A002
    query: Annotated[PageQuery, Query()],
    services: ServicesDep,
) -> Listed[RevisionAnswer]:
    """Newest first."""
    page = await services.publications.page(id, cursor=query.cursor, limit=query.limit)
    return Listed(data=[RevisionAnswer.of(each) for each in page.data], next_cursor=page.next_cursor)


@routes.post("/v1/destinations/{id}/revisions/{n}/restore", dependencies=ADMIN, responses=problems(404))
async def restore(
    id: DestinationId,  # noqa: A002
    n: RevisionNumber,
    services: ServicesDep,
    caller: Caller,
) -> Published:
    """Rolls back at once: what revision n was is published as a new revision. A draft stays as it is."""
    return Published(revision=await services.publications.restore(id, n, by=caller.name, admit=services.admission))


@routes.post("/v1/destinations/{id}/pause", dependencies=OPERATE, responses=problems(404))
async def pause(
    id: DestinationId,  # noqa: A002
    services: ServicesDep,
    body: PauseRequest | None = None,
) -> DestinationAnswer:
    """From this answer on no new attempt starts; what comes in is held and counted. Pausing again is fine."""
    return _answer(await services.destinations.pause(id, body.reason if body else None), services)


@routes.post("/v1/destinations/{id}/resume", dependencies=OPERATE, responses=problems(404))
async def resume(id: DestinationId, services: ServicesDep) -> DestinationAnswer:  # noqa: A002
    """What was held is delivered. Resuming what runs is fine."""
    return _answer(await services.destinations.resume(id), services)


def _answer(destination: Destination, services: ServicesDep) -> DestinationAnswer:
    return DestinationAnswer.of(destination, icon=icon_of(services.catalog, destination.connector))
