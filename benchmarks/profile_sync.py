"""Profile syncs a second against hello-world workflows a second, on one Temporal server, interleaved in one run.

    python -m benchmarks.profile_sync [--syncs 300] [--rounds 5]

The whole product takes part: rows in PostgreSQL, the dispatcher, a worker process, an HTTP receiver that answers 200. Hello-world is a
workflow with one activity that returns a string, on a worker process with the same options. Both are started from this process.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from api.dispatcher import Dispatcher
from benchmarks.hello_world import hello_rate
from benchmarks.sink import Sink
from benchmarks.system import System, running_system
from storage.database import Database
from storage.gauges import Gauges
from storage.notifications import Notifications
from storage.outbox import Outbox
from storage.profiles import Profiles
from tests.builders import a_spec, publish
from workflows import names

GOAL = 0.95
QUIET_SECONDS = 1.0
CONCURRENCY = 32
BURST = 100


@dataclass
class Bench:
    system: System
    database: Database
    profiles: Profiles
    sink: Sink
    syncs: list[float] = field(default_factory=list)
    hellos: list[float] = field(default_factory=list)
    sync_cpu: list[float] = field(default_factory=list)
    hello_cpu: list[float] = field(default_factory=list)

    def cpu_seconds(self) -> float:
        """CPU time so far of everything that takes part: servers, workers and this process."""
        return sum(self.system.cpu_seconds().values()) + time.process_time()

    async def sync_rate(self, count: int, label: str) -> float:
        """Syncs a second, from the first change to the last row settled, less the quiet time that all of them wait."""
        places = asyncio.Semaphore(CONCURRENCY)

        async def one(number: int) -> None:
            async with places:
                await self.profiles.patch(
                    f"{label}-{number}", {"email": f"{number}@example.com", "properties": {"n": 1}}
                )

        self.sink.expect(count)
        started = time.perf_counter()
        await asyncio.gather(*(one(number) for number in range(count)))
        await self.sink.done()
        await self._settled()
        return count / (time.perf_counter() - started - QUIET_SECONDS)

    async def _settled(self) -> None:
        """The last answers are in; their rows follow within milliseconds."""
        while await Gauges(self.database).open_syncs():
            await asyncio.sleep(0.01)

    async def events(self, profile_id: str) -> int:
        handle = self.system.client.get_workflow_handle(names.profile_sync_id("bench", profile_id))
        await handle.result()
        return len([event async for event in handle.fetch_history_events()])

    async def burst_events(self) -> int:
        self.sink.expect(1)
        for number in range(BURST):
            await self.profiles.patch("burst", {"properties": {"n": number}})
        await self.sink.done()
        return await self.events("burst")


@asynccontextmanager
async def bench() -> AsyncIterator[Bench]:
    async with running_system() as system, Sink() as sink:
        url = await system.create_database("bench")
        database = Database(url, pool_size=20)
        system.run_worker(url)
        system.run("hello-world", "-m", "benchmarks.hello_world", system.temporal.address, url=url)
        dispatcher = Dispatcher(Outbox(database), Notifications(database), system.client)
        dispatching = asyncio.create_task(dispatcher.run())
        try:
            debounce = {"quiet_seconds": QUIET_SECONDS, "max_wait_seconds": 60}
            await publish(database, "bench", a_spec(sink.url, debounce=debounce))
            yield Bench(system, database, Profiles(database), sink)
        finally:
            dispatching.cancel()
            await database.close()


def _table(run: Bench, single: int, burst: int) -> str:
    ratios = [sync / hello for sync, hello in zip(run.syncs, run.hellos, strict=True)]
    rows = [
        "| | median | rounds |",
        "|---|---|---|",
        f"| profile syncs/s | {statistics.median(run.syncs):.0f} | {_listed(run.syncs)} |",
        f"| hello-world workflows/s | {statistics.median(run.hellos):.0f} | {_listed(run.hellos)} |",
        f"| ratio (goal ≥ {GOAL}) | {statistics.median(ratios):.2f} | {', '.join(f'{ratio:.2f}' for ratio in ratios)} |",
        f"| CPU of everything, ms a sync | {statistics.median(run.sync_cpu):.0f} | {_listed(run.sync_cpu)} |",
        f"| CPU of everything, ms a hello-world | {statistics.median(run.hello_cpu):.0f} | {_listed(run.hello_cpu)} |",
        f"| history events of one sync | {single} | |",
        f"| history events of a burst of {BURST} updates | {burst} | {burst / BURST:.2f} an update |",
    ]
    return "\n".join(rows)


def _listed(rates: list[float]) -> str:
    return ", ".join(f"{rate:.0f}" for rate in rates)


async def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--syncs", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    async with bench() as run:
        await hello_rate(run.system.client, 50, "warm-up")
        await run.sync_rate(50, "warm-up")
        for number in range(options.rounds):
            before = run.cpu_seconds()
            run.hellos.append(await hello_rate(run.system.client, options.syncs, str(number)))
            between = run.cpu_seconds()
            run.syncs.append(await run.sync_rate(options.syncs, str(number)))
            run.hello_cpu.append((between - before) / options.syncs * 1000)
            run.sync_cpu.append((run.cpu_seconds() - between) / options.syncs * 1000)
        print(_table(run, await run.events("0-0"), await run.burst_events()))
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
