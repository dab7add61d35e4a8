"""API keys. A key is shown once, when it is made."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Annotated

from fastapi import Query
from pydantic import BaseModel, ConfigDict, Field

from api.auth import Scope, requires
from api.parameters import KeyId, Listed, PageQuery, Text
from api.problem_docs import problems
from api.routing import router
from api.services import ServicesDep

routes = router(tag="keys")


class CreateKey(BaseModel):
    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"example": {"name": "billing service", "scopes": ["ingest"]}}
    )

    name: Text = Field(min_length=1, max_length=200)
    scopes: list[Scope] = Field(
        min_length=1,
        max_length=3,
        description="ingest: send profiles and events; operate: read, pause, resume, retry; admin: everything",
    )


class KeyAnswer(BaseModel):
    id: str
    name: str
    prefix: str = Field(description="how the key begins, to tell it from others")
    scopes: list[Scope]
    created_at: datetime
    revoked_at: datetime | None


class NewKeyAnswer(KeyAnswer):
    key: str = Field(description="shown now and never again")


@routes.post("/v1/keys", status_code=201, dependencies=[requires("admin")])
async def create_key(body: CreateKey, services: ServicesDep) -> NewKeyAnswer:
    made = await services.keys.create(body.name, body.scopes)
    return NewKeyAnswer(**asdict(made.key), key=made.secret)


@routes.get("/v1/keys", dependencies=[requires("admin")])
async def list_keys(query: Annotated[PageQuery, Query()], services: ServicesDep) -> Listed[KeyAnswer]:
    """Newest first, revoked ones included."""
    page = await services.keys.page(cursor=query.cursor, limit=query.limit)
    return Listed(data=[KeyAnswer(**asdict(each)) for each in page.data], next_cursor=page.next_cursor)


@routes.delete("/v1/keys/{id}", status_code=204, dependencies=[requires("admin")], responses=problems(404, 409))
async def revoke_key(id: KeyId, services: ServicesDep) -> None:  # noqa: A002
    """For good. Other replicas may take it for a few seconds more. The configured admin key is changed there (409)."""
    await services.keys.revoke(str(id))
    services.authenticator.forget(str(id))
