"""What the routes work with. Built once in app.py; routes receive it as a FastAPI dependency."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, Request

from api.admission import Admission
from api.auth import Authenticator
from api.links import WorkflowLinks
from api.readiness import Readiness
from connectors.catalog import Catalog
from storage.credentials import Credentials
from storage.deliveries import Deliveries
from storage.destinations import Destinations
from storage.drafts import Drafts
from storage.keys import Keys
from storage.profiles import Profiles
from storage.publications import Publications
from storage.reconciliation import Reconciliation
from storage.sync_views import SyncViews
from storage.syncs import Syncs


@dataclass(frozen=True, slots=True)
class PayloadCodec:
    """Encrypts and decrypts `{"payloads": […]}` for Temporal's tools; `trusted_origins` may do so without a key."""

    encode: Callable[[Any], dict[str, Any]]
    decode: Callable[[Any], dict[str, Any]]
    trusted_origins: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Services:
    admission: Admission
    authenticator: Authenticator
    catalog: Catalog
    credentials: Credentials
    deliveries: Deliveries
    destinations: Destinations
    drafts: Drafts
    keys: Keys
    links: WorkflowLinks
    profiles: Profiles
    publications: Publications
    readiness: Readiness
    reconciliation: Reconciliation
    sync_views: SyncViews
    syncs: Syncs
    codec: PayloadCodec | None = None


async def _services(request: Request) -> Services:  # async: FastAPI runs plain functions in threads
    services: Services = request.app.state.services
    return services


ServicesDep = Annotated[Services, Depends(_services)]
