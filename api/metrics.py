"""What Prometheus scrapes. A registry of its own per application, so that two in one process do not add up."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

import structlog
from fastapi import Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from api.routing import open_router
from api.supervision import Supervised
from domain.errors import Unavailable
from storage.gauges import Gauges
from storage.outbox import Outbox

CACHE_SECONDS = 5.0  # anybody may scrape, and the gauges cost the database a few milliseconds
# From a profile PATCH (a few ms) to the body timeout.
BUCKETS = (0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)

routes = open_router(tag="health")

_log = structlog.get_logger("api.metrics")


class Metrics:
    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "sluice_http_requests", "Requests answered", ["method", "route", "status"], registry=self.registry
        )
        self._seconds = Histogram(
            "sluice_http_request_seconds", "Latency", ["method", "route"], buckets=BUCKETS, registry=self.registry
        )
        self._signals = Counter("sluice_signals_sent", "Signals sent to Temporal", registry=self.registry)
        self._gauges: DatabaseGauges | None = None

    def observe(self, method: str, route: str, status: int, seconds: float) -> None:
        # A method of the caller's invention must not make a new series.
        method = method if method in ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD") else "other"
        self._requests.labels(method, route, str(status)).inc()
        self._seconds.labels(method, route).observe(seconds)

    def signals_sent(self, count: int) -> None:
        self._signals.inc(count)

    def watch(self, gauges: Gauges, outbox: Outbox, dispatchers: Sequence[Supervised]) -> None:
        """Read these too at every scrape."""
        self._gauges = DatabaseGauges(self.registry, gauges, outbox)
        if dispatchers:
            up = Gauge("sluice_dispatcher_up", "Whether the dispatchers run here", registry=self.registry)
            up.set_function(lambda: float(all(each.alive for each in dispatchers)))
            crashes = Gauge("sluice_dispatcher_crashes", "Since the process began", registry=self.registry)
            crashes.set_function(lambda: float(sum(each.crashes for each in dispatchers)))

    async def exposition(self) -> bytes:
        if self._gauges is not None:
            await self._gauges.refresh()
        return generate_latest(self.registry)


class DatabaseGauges:
    """What is open, as the rows say. While the database is away the last values stay and `sluice_database_up` is 0."""

    def __init__(self, registry: CollectorRegistry, gauges: Gauges, outbox: Outbox) -> None:
        labels = ["destination", "state"]
        self._source = gauges
        self._outbox = outbox
        self._up = Gauge("sluice_database_up", "Whether the database answered this scrape", registry=registry)
        self._open = Gauge("sluice_open_syncs", "Profile syncs not finished", labels, registry=registry)
        self._oldest = Gauge("sluice_oldest_open_sync_seconds", "Since its last change", labels, registry=registry)
        self._failed = Gauge("sluice_failed_deliveries", "Dead letters", ["destination"], registry=registry)
        self._waiting = Gauge("sluice_signals_waiting", "Signals Temporal has not been sent", registry=registry)
        self._queue = Gauge("sluice_event_queue", "Event deliveries not finished", labels, registry=registry)
        self._lag = Gauge(
            "sluice_oldest_queued_event_seconds", "Age of what is first in line", ["destination"], registry=registry
        )
        self._outages = Gauge(
            "sluice_event_outages", "Whether events find no answer", ["destination"], registry=registry
        )
        self._lock = asyncio.Lock()
        self._until = 0.0

    async def refresh(self) -> None:
        async with self._lock:
            if time.monotonic() < self._until:
                return
            try:
                await self._read()
                self._up.set(1)
            except Unavailable as error:
                _log.warning("gauges_not_read", reason=error.message)
                self._up.set(0)
            self._until = time.monotonic() + CACHE_SECONDS

    async def _read(self) -> None:
        syncs = await self._source.open_syncs()
        failed = await self._source.failed_deliveries()
        self._waiting.set(await self._outbox.waiting())
        for gauge in (self._open, self._oldest, self._failed):
            gauge.clear()
        for each in syncs:
            self._open.labels(each.destination_id, each.state).set(each.syncs)
            self._oldest.labels(each.destination_id, each.state).set(each.oldest_seconds)
        for destination_id, count in failed.items():
            self._failed.labels(destination_id).set(count)
        await self._read_events()

    async def _read_events(self) -> None:
        queue, lags = await self._source.open_events(), await self._source.event_lags()
        outages = await self._source.event_outages()
        for gauge in (self._queue, self._lag, self._outages):
            gauge.clear()
        for each in queue:
            self._queue.labels(each.destination_id, each.state).set(each.deliveries)
        for destination_id, seconds in lags.items():
            self._lag.labels(destination_id).set(seconds)
        for destination_id, outage in outages.items():
            self._outages.labels(destination_id).set(float(outage))


@routes.get("/metrics", response_class=Response)
async def metrics(request: Request) -> Response:
    """Prometheus text. The worker has its own port."""
    found: Metrics = request.app.state.metrics
    return Response(await found.exposition(), media_type=CONTENT_TYPE_LATEST)
