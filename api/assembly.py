"""The application around its services: routes, errors, limits, document."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from functools import partial

from fastapi import FastAPI

from api import (
    codec,
    connectors,
    credentials,
    deliveries,
    destinations,
    editors,
    events,
    health,
    ingest,
    keys,
    metrics,
    previews,
    profiles,
    reconciliation,
)
from api.documentation import serve_documentation
from api.limits import LimitRequests, RequestLimits
from api.metrics import Metrics
from api.openapi import document
from api.paths import KeepInnerSlashes
from api.problems import answer_with_problems
from api.requests import AccompanyRequests
from api.services import Services

ROUTERS = (
    profiles.routes,
    ingest.routes,
    events.routes,
    destinations.routes,
    previews.routes,
    editors.routes,
    deliveries.routes,
    credentials.routes,
    connectors.routes,
    keys.routes,
    reconciliation.routes,
    health.routes,
    metrics.routes,
    codec.routes,
)

Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]


def assemble(
    *,
    metrics: Metrics,
    services: Services | None = None,
    lifespan: Lifespan | None = None,
    limits: RequestLimits | None = None,
) -> FastAPI:
    """Either with services, or with a lifespan that sets `app.state.services`."""
    app = FastAPI(title="Sluice", version="1", lifespan=lifespan, redirect_slashes=False, docs_url=None, redoc_url=None)
    app.state.metrics = metrics
    app.state.services = services
    for router in ROUTERS:
        app.include_router(router)
    serve_documentation(app)
    answer_with_problems(app)
    app.add_middleware(KeepInnerSlashes)
    app.add_middleware(LimitRequests, limits=limits or RequestLimits())
    app.add_middleware(AccompanyRequests, observe=metrics.observe)  # the last one added is the outermost
    app.openapi = partial(document, app)  # type: ignore[method-assign]  # the way FastAPI offers
    return app
