"""For load balancers and orchestrators. No key needed, nothing told that helps an intruder."""

from __future__ import annotations

from typing import Any, Literal

from fastapi import Response
from pydantic import BaseModel

from api.problem_docs import problems
from api.problems import problem
from api.routing import open_router
from api.services import ServicesDep
from domain.errors import ErrorDetail

routes = open_router(tag="health")


class Alive(BaseModel):
    status: Literal["alive"] = "alive"


class Ready(BaseModel):
    """`checks` names every part."""

    status: Literal["ready"] = "ready"
    checks: dict[str, Literal["ready"]]


@routes.get("/healthz")
async def healthz() -> Alive:
    """The process answers. Nothing else is asked, so that a lost database does not get it restarted."""
    return Alive()


@routes.get("/readyz", response_model=Ready, responses=problems(503))
async def readyz(services: ServicesDep) -> Any:
    """Database, Temporal, a worker that polls and the dispatcher."""
    complaints = await services.readiness.complaints()
    wrong = [ErrorDetail(part, complaint) for part, complaint in complaints.items() if complaint is not None]
    if not wrong:
        return Ready(checks=dict.fromkeys(complaints, "ready"))
    return _not_ready(complaints, wrong)


def _not_ready(complaints: dict[str, str | None], wrong: list[ErrorDetail]) -> Response:
    parts = ", ".join(detail.path for detail in wrong)
    checks = {part: "ready" if complaint is None else "failing" for part, complaint in complaints.items()}
    return problem(503, "not_ready", f"not ready: {parts}", wrong, checks=checks)
