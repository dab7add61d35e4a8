"""What the routes work with. Built once in app.py; routes receive it as a FastAPI dependency."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, Request

from activities.testing import Testing
from api.admission import Admission
from api.aside import Aside
from api.auth import Authenticator
from api.intake import Intake
from api.links import WorkflowLinks
from api.places import Places
from api.readiness import Readiness
from api.rehearsals import Rehearsals
from api.subjects import Subjects
from connectors.catalog import Catalog
from storage.credentials import Credentials
from storage.deliveries import Deliveries
from storage.destinations import Destinations
from storage.drafts import Drafts
from storage.event_actions import EventActions
from storage.event_views import EventViews
from storage.keys import Keys
from storage.profile_samples import ProfileSamples
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
    aside: Aside
    authenticator: Authenticator
    catalog: Catalog
    credentials: Credentials
    deliveries: Deliveries
    destinations: Destinations
    drafts: Drafts
    event_actions: EventActions
    event_views: EventViews
    intake: Intake
    keys: Keys
    links: WorkflowLinks
    profiles: Profiles
    profile_samples: ProfileSamples
    publications: Publications
    readiness: Readiness
    reconciliation: Reconciliation
    rehearsals: Rehearsals
    subjects: Subjects
    sync_views: SyncViews
    syncs: Syncs
    test_places: Places
    testing: Testing
    codec: PayloadCodec | None = None


async def _services(request: Request) -> Services:  # async: FastAPI runs plain functions in threads
    services: Services = request.app.state.services
    return services


ServicesDep = Annotated[Services, Depends(_services)]
