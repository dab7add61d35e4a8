"""The catalogue of connectors."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Query
from pydantic import BaseModel

from api.auth import requires
from api.parameters import ConnectorSlug, Listed, NoQuery
from api.problem_docs import problems
from api.routing import router
from api.services import ServicesDep
from connectors.description import describe

routes = router(tag="connectors")


class ActionAnswer(BaseModel):
    slug: str
    name: str
    description: str
    inputs: dict[str, Any] | None
    default_mapping: dict[str, Any] | None


class BatchAnswer(BaseModel):
    items: int
    content_bytes: int | None


class ConnectorAnswer(BaseModel):
    """`settings`, `credentials` and the actions' `inputs` are JSON Schemas; `origin` is `built-in` or a package."""

    slug: str
    name: str
    icon: str
    category: str
    documentation_url: str
    origin: str
    modes: list[str]
    settings: dict[str, Any]
    credentials: dict[str, Any]
    actions: list[ActionAnswer]
    batch: BatchAnswer
    checkable: bool


@routes.get("/v1/connectors", dependencies=[requires("operate")])
async def list_connectors(_: Annotated[NoQuery, Query()], services: ServicesDep) -> Listed[ConnectorAnswer]:
    """All of them, by name."""
    described = [ConnectorAnswer.model_validate(describe(entry)) for entry in services.catalog.all()]
    return Listed(data=described, next_cursor=None)


@routes.get("/v1/connectors/{slug}", dependencies=[requires("operate")], responses=problems(404))
async def get_connector(slug: ConnectorSlug, services: ServicesDep) -> ConnectorAnswer:
    return ConnectorAnswer.model_validate(describe(services.catalog.entry(slug)))
