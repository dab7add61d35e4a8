"""The pump with Temporal taken out: `python -m benchmarks.direct` sends what is queued in its database until it is terminated.

The same rows, leases and pump as in the product. A loop here does what the event dispatcher, the server and the worker do there.
"""

from __future__ import annotations

import asyncio
import os
import signal

import uvloop

from activities.event_pump import Pump
from activities.event_wakes import EventWakes
from activities.making import Making
from activities.messages import PumpRequest
from activities.metering import Metering
from activities.published import PublishedDestinations
from activities.secrets import SecretsOf
from activities.sending import Sending
from connectors.addresses import AddressPolicy
from connectors.catalog import load_catalog
from connectors.http import OutboundHttp
from runtime.settings import Settings, load_settings
from storage.credentials import Credentials
from storage.database import Database
from storage.event_lanes import EventLanes, WantedPump
from storage.event_leases import EventLeases
from storage.notifications import EVENTS, Notifications
from storage.rate_limits import RateLimits
from storage.revisions import Revisions
from storage.secrets import SecretBox

SWEEP_SECONDS = 2.0  # as the dispatcher's
CLAIM_LIMIT = 200


class DirectPumps:
    def __init__(self, database: Database, settings: Settings, http: OutboundHttp) -> None:
        secrets = SecretsOf(Credentials(database, SecretBox(settings.encryption_key_ring)))
        self._making = Making(PublishedDestinations(Revisions(database), load_catalog()), secrets, Sending(http))
        self._lanes, self._leases = EventLanes(database), EventLeases(database)
        self._limits = RateLimits(database)
        self._notifications = Notifications(database, EVENTS)
        self._wakes = EventWakes(self._notifications)

    async def run(self) -> None:
        async with asyncio.TaskGroup() as tasks, self._notifications.listening() as wake:
            tasks.create_task(self._wakes.run())
            while True:
                queued = wake.take_lanes() or await self._lanes.asleep()
                wanted = await self._lanes.rouse(queued) if queued else []
                wanted += await self._lanes.claim(CLAIM_LIMIT)
                for each in wanted:
                    tasks.create_task(self._pump(each))
                if wanted:
                    await self._lanes.started(wanted)
                else:
                    await wake.wait(SWEEP_SECONDS)

    async def _pump(self, wanted: WantedPump) -> None:
        with self._wakes.registered(wanted.destination_id) as wake:
            while await self._pump_once(wanted, wake) == "more":
                pass

    async def _pump_once(self, wanted: WantedPump, wake: asyncio.Event) -> str:
        lease = await self._leases.acquire(wanted.destination_id, wanted.lane)
        if lease is None:
            return "idle"
        pump = Pump(
            lease,
            self._leases,
            self._limits,
            self._making,
            Metering(),
            request=PumpRequest(destination_id=wanted.destination_id, lane=wanted.lane),
            brief=False,
            wake=wake,
            stopping=lambda: False,
            workflow_id="direct",
            run_id="direct",
        )
        return (await pump.run()).state


async def main() -> None:
    settings = load_settings()
    database = Database(settings.database_url, pool_size=settings.database_pool_size)
    async with OutboundHttp(AddressPolicy.of((), [str(each) for each in settings.outbound_networks])) as http:
        running = asyncio.create_task(DirectPumps(database, settings, http).run())
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, lambda: os._exit(0))
        await running


if __name__ == "__main__":
    uvloop.run(main())
