"""Composition root 2: settings → objects → the HTTP application. `uvicorn api.app:create_app --factory`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress

import structlog
from fastapi import FastAPI
from temporalio.client import Client

from activities.secrets import SecretsOf
from activities.sending import Sending
from activities.testing import Testing
from api.admission import Admission
from api.aside import Aside
from api.assembly import assemble
from api.auth import Authenticator
from api.dispatcher import Dispatcher
from api.event_dispatcher import EventDispatcher
from api.intake import Intake
from api.limits import RequestLimits
from api.links import WorkflowLinks
from api.metrics import Metrics
from api.places import Places
from api.readiness import Check, Readiness, temporal_answers, worker_polls
from api.rehearsals import Rehearsals
from api.services import PayloadCodec, Services
from api.subjects import Subjects
from api.supervision import Supervised
from connectors.addresses import AddressPolicy
from connectors.catalog import Catalog, load_catalog
from connectors.http import OutboundHttp
from runtime.codec import AesGcmCodec, decode_json, encode_json
from runtime.logging import configure_logging
from runtime.settings import Settings, load_settings
from runtime.temporal import connect
from storage.credentials import Credentials
from storage.database import Database
from storage.declarations import Declarations
from storage.deliveries import Deliveries
from storage.destinations import Destinations
from storage.drafts import Drafts
from storage.event_actions import EventActions
from storage.event_lanes import EventLanes
from storage.event_retries import EventRetries
from storage.event_views import EventViews
from storage.events import Events
from storage.gauges import Gauges
from storage.keys import Keys
from storage.notifications import WORK, Notifications
from storage.outbox import Outbox
from storage.profile_samples import ProfileSamples
from storage.profiles import Profiles
from storage.publications import Publications
from storage.reconciliation import Reconciliation
from storage.secrets import SecretBox
from storage.sync_views import SyncViews
from storage.syncs import Syncs
from storage.trials import Trials
from workflows.names import TASK_QUEUE

__all__ = ["build_services", "create_app"]

CONCURRENT_TESTS = 16  # per process; each may hold eight connections for a minute
TEST_RETRY_SECONDS = 5.0  # most destinations answer well within

_log = structlog.get_logger("api.app")


def create_app(settings: Settings | None = None) -> FastAPI:
    """The application as uvicorn runs it. Raises SettingsError."""
    settings = settings or load_settings()
    configure_logging(level=settings.log_level, format=settings.log_format, secrets=settings.secret_values)
    metrics = Metrics()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with _running(settings, metrics) as services:
            app.state.services = services
            yield

    limits = RequestLimits(body_bytes=settings.request_body_limit_bytes)
    return assemble(metrics=metrics, lifespan=lifespan, limits=limits)


def build_services(
    database: Database,
    *,
    key_ring: dict[str, bytes],
    catalog: Catalog,
    links: WorkflowLinks,
    checks: dict[str, Check],
    http: OutboundHttp,
    codec: PayloadCodec | None = None,
) -> Services:
    """Everything the routes work with, over one database. `http` is what tests send through."""
    keys = Keys(database)
    credentials = Credentials(database, SecretBox(key_ring))
    profiles, sync_views, aside = Profiles(database), SyncViews(database), Aside()
    event_views = EventViews(database)
    subjects = Subjects(profiles, sync_views, event_views)
    return Services(
        admission=Admission(catalog, credentials),
        aside=aside,
        authenticator=Authenticator(keys),
        catalog=catalog,
        codec=codec,
        credentials=credentials,
        deliveries=Deliveries(database),
        destinations=Destinations(database),
        drafts=Drafts(database),
        event_actions=EventActions(database),
        event_views=event_views,
        intake=Intake(Events(database)),
        keys=keys,
        links=links,
        profiles=profiles,
        profile_samples=ProfileSamples(database),
        publications=Publications(database),
        readiness=Readiness({"database": Gauges(database).reachable, **checks}),
        reconciliation=Reconciliation(database),
        rehearsals=Rehearsals(Declarations(database), catalog, subjects, SecretsOf(credentials), aside),
        subjects=subjects,
        sync_views=sync_views,
        syncs=Syncs(database),
        test_places=Places(
            CONCURRENT_TESTS, full="too many tests are being sent", retry_after_seconds=TEST_RETRY_SECONDS
        ),
        testing=Testing(Trials(database), Sending(http)),
    )


@asynccontextmanager
async def _running(settings: Settings, metrics: Metrics) -> AsyncIterator[Services]:
    database = Database(settings.database_url, pool_size=settings.database_pool_size)
    policy = AddressPolicy.of(settings.outbound_hosts, [str(network) for network in settings.outbound_networks])
    http = OutboundHttp(policy)
    try:
        # Lazily: profiles are accepted while Temporal is away, and wait in their rows.
        client = await connect(settings, lazy=True)
        outbox = Outbox(database)
        dispatcher = Supervised(
            "dispatcher", Dispatcher(outbox, Notifications(database, WORK), client, on_sent=metrics.signals_sent).run
        )
        events = Supervised("event_dispatcher", _event_dispatcher(database, client, metrics).run)
        metrics.watch(Gauges(database), outbox, (dispatcher, events))
        services = _services(settings, database, client, (dispatcher, events), http)
        await services.keys.bootstrap(settings.admin_key.get_secret_value() if settings.admin_key else None)
        await _reseal(services.credentials)
        async with _in_background(dispatcher), _in_background(events):
            yield services
    finally:
        await http.aclose()
        await database.close()


def _event_dispatcher(database: Database, client: Client, metrics: Metrics) -> EventDispatcher:
    return EventDispatcher(
        EventLanes(database), EventRetries(database), Notifications(database), client, on_sent=metrics.signals_sent
    )


async def _reseal(credentials: Credentials) -> None:
    resealed = await credentials.reseal()
    if resealed.done:
        _log.info("credentials_encrypted_with_new_key", ids=resealed.done)
    if resealed.unreadable:
        _log.error("credentials_unreadable", ids=resealed.unreadable, reason="their encryption key is not configured")


def _services(
    settings: Settings,
    database: Database,
    client: Client,
    dispatchers: Sequence[Supervised],
    http: OutboundHttp,
) -> Services:
    catalog = load_catalog()
    for complaint in catalog.problems:
        _log.warning("connector_not_usable", problem=complaint)
    return build_services(
        database,
        key_ring=settings.encryption_key_ring,
        catalog=catalog,
        links=WorkflowLinks(settings.temporal_ui_url, client.namespace),
        checks={
            "temporal": temporal_answers(client),
            "worker": worker_polls(client, TASK_QUEUE),
            **{dispatcher.name: dispatcher.check for dispatcher in dispatchers},
        },
        http=http,
        codec=_codec(settings),
    )


def _codec(settings: Settings) -> PayloadCodec | None:
    if not settings.payload_key_ring:
        return None
    codec = AesGcmCodec(settings.payload_key_ring)
    return PayloadCodec(
        encode=lambda body: encode_json(codec, body),
        decode=lambda body: decode_json(codec, body),
        trusted_origins=frozenset(settings.codec_trusted_origins),
    )


@asynccontextmanager
async def _in_background(supervised: Supervised) -> AsyncIterator[None]:
    task = asyncio.create_task(supervised.run(), name=supervised.name)
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
