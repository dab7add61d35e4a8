"""pump_events: one run of a destination's pump, under a lease of its lanes; the first, brief one within the workflow task itself."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import structlog
from temporalio import activity

from activities.errors import as_application_errors
from activities.event_pump import BRIEF_SECONDS, Pump
from activities.event_wakes import EventWakes
from activities.making import Making
from activities.messages import PumpRequest, PumpResult
from activities.metering import Metering
from activities.slow_destinations import SLOW_SECONDS, SlowDestinations
from storage.event_leases import EventLeases
from storage.rate_limits import RateLimits

HEARTBEAT_SECONDS = 2.0  # a pump that died is noticed after five of them

_log = structlog.get_logger("activities.pump_events")


class PumpEvents:
    def __init__(
        self,
        leases: EventLeases,
        limits: RateLimits,
        making: Making,
        wakes: EventWakes,
        metering: Metering | None = None,
    ) -> None:
        self._leases = leases
        self._limits = limits
        self._making = making
        self._wakes = wakes
        self._metering = metering or Metering()
        self._slow = SlowDestinations()

    @activity.defn(name="pump_first")
    @as_application_errors
    async def pump_first(self, request: PumpRequest) -> PumpResult:
        """A local activity: what is queued now leaves without a task of its own. Then, or at once if that is slow, `more`."""
        if request.destination_id in self._slow:
            return PumpResult(state="more")
        started = time.monotonic()
        result = await self._run(request, brief=True)
        if time.monotonic() - started > SLOW_SECONDS + BRIEF_SECONDS or result.state == "outage":
            self._slow.add(request.destination_id)
        return result

    @activity.defn(name="pump_events")
    @as_application_errors
    async def pump_events(self, request: PumpRequest) -> PumpResult:
        """Until nothing has come for some seconds, or for a minute."""
        return await self._run(request, brief=False)

    async def _run(self, request: PumpRequest, *, brief: bool) -> PumpResult:
        info = activity.info()
        context = {"destination_id": request.destination_id, "workflow_id": info.workflow_id}
        with structlog.contextvars.bound_contextvars(**context):
            async with _heartbeats(wanted=not info.is_local):
                result = await self._pump(request, info.workflow_id or "", info.workflow_run_id or "", brief=brief)
            _log.info("pump_stopped", lane=request.lane, **result.model_dump(exclude={"probe_after"}))
            return result

    async def _pump(self, request: PumpRequest, workflow_id: str, run_id: str, *, brief: bool) -> PumpResult:
        with self._wakes.registered(request.destination_id) as wake:
            lease = await self._leases.acquire(request.destination_id, request.lane)
            if lease is None:
                return PumpResult(state="idle")
            if lease.lost:
                _log.warning("deliveries_found_in_hand_of_a_lost_pump", count=lease.lost)
            pump = Pump(
                lease,
                self._leases,
                self._limits,
                self._making,
                self._metering,
                request=request,
                brief=brief,
                wake=wake,
                stopping=activity.is_worker_shutdown,
                workflow_id=workflow_id,
                run_id=run_id,
            )
            return await pump.run()


@asynccontextmanager
async def _heartbeats(*, wanted: bool) -> AsyncIterator[None]:
    beating = asyncio.create_task(_beat()) if wanted else None
    try:
        yield
    finally:
        if beating is not None:
            beating.cancel()
            with suppress(asyncio.CancelledError):
                await beating


async def _beat() -> None:
    while True:
        activity.heartbeat()
        await asyncio.sleep(HEARTBEAT_SECONDS)
