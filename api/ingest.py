"""What services tell us of what their customers do: calls of the Segment spec."""

from __future__ import annotations

from typing import Any

from fastapi import Request
from pydantic import BaseModel, Field

from api.auth import requires
from api.calls import BatchBody, read_batch, read_call
from api.routing import router
from api.services import ServicesDep
from domain.calls import Call
from domain.errors import SluiceError

routes = router(tag="ingest")

TRACK_EXAMPLE: dict[str, Any] = {
    "userId": "user-1",
    "event": "Order Completed",
    "properties": {"revenue": 12.5},
    "timestamp": "2026-11-22T09:40:00Z",
    "messageId": "order-4711-completed",
}
BATCH_EXAMPLE: dict[str, Any] = {
    "batch": [
        {"type": "identify", "userId": "user-1", "traits": {"email": "ada@example.com", "plan": "pro"}},
        {"type": "track", **TRACK_EXAMPLE},
    ],
    "context": {"library": {"name": "shop", "version": "1.0"}},
    "sentAt": "2026-11-22T09:40:00.100Z",
}


class TrackAnswer(BaseModel):
    """The event is stored. `duplicate`: one with this messageId was before; then nothing was changed and there is no new id."""

    success: bool = True
    id: str | None
    duplicate: bool = False


class RefusedCall(BaseModel):
    """`index` is the call's place in the batch, from 0; `code` one of the API's errors."""

    index: int
    code: str
    message: str


class BatchAnswer(BaseModel):
    """What was accepted is stored. `duplicates` were before, by their messageId; `refused` are stored nowhere."""

    success: bool = True
    accepted: int
    duplicates: int
    refused: list[RefusedCall] = Field(description="mend them before you send them again")


def reads(schema: dict[str, Any], example: dict[str, Any]) -> dict[str, Any]:
    """The request body of a route that reads its body itself, for the OpenAPI document."""
    content = {"application/json": {"schema": schema, "examples": {"usual": {"value": example}}}}
    return {"requestBody": {"required": True, "content": content}}


_CALL = Call.model_json_schema()
_TRACK_SCHEMA = {
    **_CALL,
    "properties": {**_CALL["properties"], "type": {"const": "track", "default": "track"}},
    "required": ["event"],
}


@routes.post(
    "/v1/track",
    dependencies=[requires("ingest")],
    openapi_extra=reads(_TRACK_SCHEMA, TRACK_EXAMPLE),
    response_model_exclude_unset=True,
)
async def track(request: Request, services: ServicesDep) -> TrackAnswer:
    """One thing that somebody did. `type` may be left out; so may `userId` if there is an `anonymousId`."""
    call = read_call(await request.body(), "track")
    [fate] = await services.intake.take([call])
    if isinstance(fate, SluiceError):
        raise fate
    return TrackAnswer(success=True, id=fate) if fate else TrackAnswer(success=True, id=None, duplicate=True)


@routes.post(
    "/v1/batch",
    dependencies=[requires("ingest")],
    openapi_extra=reads(BatchBody.model_json_schema(), BATCH_EXAMPLE),
)
async def batch(request: Request, services: ServicesDep) -> BatchAnswer:
    """Calls of any type, stored in their order. One that is malformed costs none of the others: it is named in the answer."""
    fates = await services.intake.take(read_batch(await request.body()))
    return BatchAnswer(
        success=True,
        accepted=sum(isinstance(fate, str) for fate in fates),
        duplicates=fates.count(None),
        refused=[
            RefusedCall(index=index, code=fate.code, message=fate.message)
            for index, fate in enumerate(fates)
            if isinstance(fate, SluiceError)
        ],
    )
