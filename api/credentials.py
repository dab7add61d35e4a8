"""Credentials. Secrets go in and never come out."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import Query
from pydantic import BaseModel, ConfigDict, Field

from api.auth import requires
from api.parameters import CredentialsId, Listed, PageQuery, Text
from api.problem_docs import problems
from api.routing import router
from api.services import ServicesDep
from domain.destinations import Slug
from storage.credentials import GRACE_SECONDS, Credential

MAX_GRACE_SECONDS = 30 * 86_400  # a secret that is still good after a month was not rotated

routes = router(tag="credentials")


class CreateCredentials(BaseModel):
    model_config = ConfigDict(
        extra="forbid",
        hide_input_in_errors=True,
        json_schema_extra={
            "example": {
                "id": "crm-production",
                "name": "CRM, production",
                "connector": "webhook",
                "secrets": {"secret_headers": {"Authorization": "Bearer …"}},
                "environment": "production",
            }
        },
    )

    id: Slug | None = None
    name: Text = Field(min_length=1, max_length=200)
    connector: Slug
    secrets: dict[str, Any] = Field(repr=False, description="the connector's credential fields")
    environment: Literal["production", "test"] = "production"


class RotateCredentials(BaseModel):
    model_config = ConfigDict(
        extra="forbid",
        hide_input_in_errors=True,
        json_schema_extra={"example": {"secrets": {"secret_headers": {"Authorization": "Bearer …"}}}},
    )

    secrets: dict[str, Any] = Field(repr=False, description="all of the connector's credential fields anew")
    grace_seconds: float = Field(
        GRACE_SECONDS, strict=True, ge=0, le=MAX_GRACE_SECONDS, description="so long the old ones sign too"
    )


class CredentialsAnswer(BaseModel):
    id: str
    name: str
    connector: str
    environment: str
    version: int = Field(description="counts rotations")
    previous_until: datetime | None = Field(description="until then the secrets before the rotation are good too")
    created_at: datetime
    updated_at: datetime


@routes.post("/v1/credentials", status_code=201, dependencies=[requires("admin")], responses=problems(409))
async def create_credentials(body: CreateCredentials, services: ServicesDep) -> CredentialsAnswer:
    """Stored encrypted."""
    sealed = services.credentials.seal(
        credentials_id=body.id,
        name=body.name,
        connector=body.connector,
        secrets=services.admission.secrets(body.connector, body.secrets),
        environment=body.environment,
    )
    return _answer(await services.credentials.create(sealed))


@routes.get("/v1/credentials", dependencies=[requires("operate")])
async def list_credentials(query: Annotated[PageQuery, Query()], services: ServicesDep) -> Listed[CredentialsAnswer]:
    """By id."""
    page = await services.credentials.page(cursor=query.cursor, limit=query.limit)
    return Listed(data=[_answer(each) for each in page.data], next_cursor=page.next_cursor)


@routes.get("/v1/credentials/{id}", dependencies=[requires("operate")], responses=problems(404))
async def get_credentials(id: CredentialsId, services: ServicesDep) -> CredentialsAnswer:  # noqa: A002
    return _answer(await services.credentials.get(id))


@routes.post("/v1/credentials/{id}/rotate", dependencies=[requires("admin")], responses=problems(404))
async def rotate_credentials(
    id: CredentialsId,  # noqa: A002
    body: RotateCredentials,
    services: ServicesDep,
) -> CredentialsAnswer:
    """The new secrets are used from the next attempt on; signatures are made with old and new while the grace lasts."""
    connector = (await services.credentials.get(id)).connector
    secrets = services.admission.secrets(connector, body.secrets)
    return _answer(await services.credentials.rotate(id, secrets, grace_seconds=body.grace_seconds))


@routes.delete("/v1/credentials/{id}", status_code=204, dependencies=[requires("admin")], responses=problems(404, 409))
async def delete_credentials(id: CredentialsId, services: ServicesDep) -> None:  # noqa: A002
    """Refused while a draft or a published destination uses them."""
    await services.credentials.delete(id)


def _answer(credential: Credential) -> CredentialsAnswer:
    return CredentialsAnswer(**asdict(credential))
