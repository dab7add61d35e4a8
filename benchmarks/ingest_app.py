"""The API without its dispatchers: it takes calls and queues events, and nobody starts workflows for them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from api.app import build_services
from api.assembly import assemble
from api.links import WorkflowLinks
from api.metrics import Metrics
from connectors.catalog import load_catalog
from connectors.http import OutboundHttp
from runtime.logging import configure_logging
from runtime.settings import load_settings
from storage.database import Database

__all__ = ["create_app"]


def create_app() -> FastAPI:
    settings = load_settings()
    configure_logging(level=settings.log_level, format=settings.log_format, secrets=settings.secret_values)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        database, http = Database(settings.database_url, pool_size=settings.database_pool_size), OutboundHttp()
        services = build_services(
            database,
            key_ring=settings.encryption_key_ring,
            catalog=load_catalog(),
            links=WorkflowLinks(settings.temporal_ui_url, "default"),
            checks={},
            http=http,
        )
        await services.keys.bootstrap(settings.admin_key.get_secret_value() if settings.admin_key else None)
        app.state.services = services
        try:
            yield
        finally:
            await http.aclose()
            await database.close()

    return assemble(metrics=Metrics(), lifespan=lifespan)
