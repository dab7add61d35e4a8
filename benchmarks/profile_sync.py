"""Profile syncs a second against hello-world workflows a second, on one Temporal server, interleaved in one run.

    python -m benchmarks.profile_sync [--syncs 300] [--rounds 5]

The whole product takes part: rows in PostgreSQL, the dispatcher, a worker process, an HTTP receiver that answers 200. Hello-world is a
workflow with one activity that returns a string, on a worker process with the same options. Both are started from this process.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from temporalio.client import Client

from api.dispatcher import Dispatcher
from benchmarks.hello_world import HELLO_QUEUE, HelloWorld
from benchmarks.sink import Sink
from runtime.laptop.postgres import LaptopPostgres
from runtime.laptop.temporal_server import LaptopTemporal
from runtime.temporal import data_converter, register_search_attributes
from storage.database import Database
from storage.gauges import Gauges
from storage.migrations.upgrade import upgrade
from storage.notifications import Notifications
from storage.outbox import Outbox
from storage.profiles import Profiles
from tests.builders import a_spec, publish
from workflows import names

GOAL = 0.95
QUIET_SECONDS = 1.0
CONCURRENCY = 32
BURST = 100
ROOT = Path(__file__).parents[1]


@dataclass
class Bench:
    client: Client
    database: Database
    profiles: Profiles
    sink: Sink
    processes: list[psutil.Process]
    syncs: list[float] = field(default_factory=list)
    hellos: list[float] = field(default_factory=list)
    sync_cpu: list[float] = field(default_factory=list)
    hello_cpu: list[float] = field(default_factory=list)

    def cpu_seconds(self) -> float:
        """CPU time so far of everything that takes part: servers, workers and this process."""
        everyone = [process for root in self.processes for process in (root, *root.children(recursive=True))]
        return sum(sum(process.cpu_times()[:2]) for process in everyone) + time.process_time()

    async def hello_rate(self, count: int, label: str) -> float:
        """Workflows a second, from the first start to the last result."""
        places = asyncio.Semaphore(CONCURRENCY)

        async def one(number: int) -> None:
            async with places:
                handle = await self.client.start_workflow(
                    HelloWorld.run, "world", id=f"hello-{label}-{number}", task_queue=HELLO_QUEUE
                )
            await handle.result()

        started = time.perf_counter()
        await asyncio.gather(*(one(number) for number in range(count)))
        return count / (time.perf_counter() - started)

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
        handle = self.client.get_workflow_handle(names.profile_sync_id("bench", profile_id))
        await handle.result()
        return len([event async for event in handle.fetch_history_events()])

    async def burst_events(self) -> int:
        self.sink.expect(1)
        for number in range(BURST):
            await self.profiles.patch("burst", {"properties": {"n": number}})
        await self.sink.done()
        return await self.events("burst")


def _process(*argv: str, environment: dict[str, str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, *argv], cwd=ROOT, env={**os.environ, **environment}, stdout=subprocess.DEVNULL
    )


@asynccontextmanager
async def bench() -> AsyncIterator[Bench]:
    with tempfile.TemporaryDirectory(prefix="sluice-bench-", ignore_cleanup_errors=True) as folder:
        home = Path(folder)
        home.chmod(0o755)
        postgres, temporal = LaptopPostgres(home), LaptopTemporal(home)
        postgres.start()
        temporal.start()
        url = postgres.create_database("bench")
        database = Database(url, pool_size=20)
        await upgrade(database)
        client = await Client.connect(temporal.address, data_converter=data_converter({}))
        await register_search_attributes(client, [key.name for key in names.SEARCH_ATTRIBUTES])
        environment = {
            "DATABASE_URL": url,
            "SLUICE_TEMPORAL_ADDRESS": temporal.address,
            "SLUICE_ENCRYPTION_KEYS": "bench:" + "A" * 43 + "=",
            "SLUICE_OUTBOUND_ALLOW": "127.0.0.0/8",
            "SLUICE_WORKER_METRICS_PORT": "0",
            "SLUICE_LOG_LEVEL": "warning",
        }
        workers = [
            _process("worker.py", environment=environment),
            _process("-m", "benchmarks.hello_world", temporal.address, environment=environment),
        ]
        dispatching = asyncio.create_task(Dispatcher(Outbox(database), Notifications(database), client).run())
        try:
            async with Sink() as sink:
                debounce = {"quiet_seconds": QUIET_SECONDS, "max_wait_seconds": 60}
                await publish(database, "bench", a_spec(sink.url, debounce=debounce))
                servers = [psutil.Process(child.child.pid) for child in (postgres, temporal)]
                running = [*servers, *(psutil.Process(worker.pid) for worker in workers)]
                yield Bench(client, database, Profiles(database), sink, running)
        finally:
            dispatching.cancel()
            for worker in workers:
                worker.terminate()
            for worker in workers:
                worker.wait(60)
            await database.close()
            temporal.stop()
            postgres.stop()


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
        await run.hello_rate(50, "warm-up")
        await run.sync_rate(50, "warm-up")
        for number in range(options.rounds):
            before = run.cpu_seconds()
            run.hellos.append(await run.hello_rate(options.syncs, str(number)))
            between = run.cpu_seconds()
            run.syncs.append(await run.sync_rate(options.syncs, str(number)))
            run.hello_cpu.append((between - before) / options.syncs * 1000)
            run.sync_cpu.append((run.cpu_seconds() - between) / options.syncs * 1000)
        print(_table(run, await run.events("0-0"), await run.burst_events()))
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
