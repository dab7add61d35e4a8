"""Whether memory stays flat under a long flood, and under a hundred thousand events that a pause holds; and how fast they drain."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from benchmarks.calls import batches
from benchmarks.event_bench import EventBench
from benchmarks.pipeline import PATIENCE_SECONDS, POSTERS
from benchmarks.rows import Row

__all__ = ["memory"]

FLAT_GOAL = 1.2
WARM_UP = 5_000
PROCESSES = ("API", "worker")
_SAMPLE_SECONDS = 0.25


class Samples:
    """Resident memory in bytes, by process, a few times a second."""

    def __init__(self) -> None:
        self.of: dict[str, list[int]] = {name: [] for name in PROCESSES}

    def growth(self, name: str) -> float:
        """The largest of the last quarter in those of the first."""
        samples = self.of[name]
        quarter = max(1, len(samples) // 4)
        return max(samples[-quarter:]) / max(samples[:quarter])

    def row(self, name: str, when: str) -> Row:
        samples, growth = self.of[name], self.growth(name)
        value = f"{max(samples) / 2**20:.0f} MiB"
        detail = (
            f"from {samples[0] / 2**20:.0f} to {samples[-1] / 2**20:.0f} MiB, last quarter {growth:.2f} of the first"
        )
        return Row(f"{name} at most, {when}", value, detail, f"≤ {FLAT_GOAL:g}", growth <= FLAT_GOAL)


async def memory(bench: EventBench, *, events: int, held: int) -> list[Row]:
    event, api = "Memory Measured", bench.product.api
    await api.publish("memory", f"{bench.receiver.url}/checked", event=event)
    await bench.product.rate(event, ["memory"], events=WARM_UP)
    async with _sampled(bench) as flood:
        rate = await bench.product.rate(event, ["memory"], events=events)
    await api.pause("memory")
    counted = await bench.receiver.count()
    async with _sampled(bench) as holding:
        await api.post_batches(batches(event, held, posters=POSTERS))
    sent_while_paused = await bench.receiver.count() - counted
    async with _sampled(bench) as draining:
        started = time.perf_counter()
        await api.resume("memory")
        await bench.receiver.has_counted(counted + held, PATIENCE_SECONDS)
        await bench.product.settled(["memory"])
        drained = held / (time.perf_counter() - started)
    out_of_order = await bench.receiver.out_of_order()
    await api.remove("memory")
    stages = ((flood, f"{events:,} events"), (holding, f"{held:,} held"), (draining, "draining them"))
    return [
        *(samples.row(name, when) for samples, when in stages for name in PROCESSES),
        Row("events/s of the flood, taken in and delivered", f"{rate:,.0f}"),
        Row("events/s when the held ones drain", f"{drained:,.0f}"),
        Row("sent while paused", str(sent_while_paused), "", "0", sent_while_paused == 0),
        Row(
            "out of their profile's order", str(out_of_order), f"of {WARM_UP + events + held:,}", "0", out_of_order == 0
        ),
    ]


@asynccontextmanager
async def _sampled(bench: EventBench) -> AsyncIterator[Samples]:
    samples = Samples()

    async def sample() -> None:
        while True:
            for name in PROCESSES:
                samples.of[name].append(bench.system.rss_bytes(name))
            await asyncio.sleep(_SAMPLE_SECONDS)

    sampling = asyncio.create_task(sample())
    try:
        yield samples
    finally:
        sampling.cancel()
