"""What a healthy destination notices of one whose receiver takes requests and never answers."""

from __future__ import annotations

import asyncio
import statistics
from collections.abc import Sequence

from benchmarks.calls import batches
from benchmarks.event_bench import EventBench
from benchmarks.event_latency import track_steadily
from benchmarks.pipeline import POSTERS
from benchmarks.rows import Row, listed, percentile, percentiles

__all__ = ["isolation"]

GOAL = 2.0
A_SECOND = 50
TIMEOUT_SECONDS = 30
_SETTLE_SECONDS = 2.0  # until its senders all wait for an answer


async def isolation(bench: EventBench, *, queued: int, count: int, rounds: int) -> list[Row]:
    """`count` events to the healthy destination in each half round, alone and beside `queued` events to a silent one."""
    event, api = "Isolation Measured", bench.product.api
    await api.publish("healthy", f"{bench.receiver.url}/checked", event=event)
    await track_steadily(bench, event, count=100, a_second=A_SECOND)
    alone, beside = [], []
    for number in range(rounds):
        alone.append((await track_steadily(bench, event, count=count, a_second=A_SECOND)).arrived)
        silent = f"silent-{number}"
        await api.publish(silent, f"{bench.receiver.url}/silent", event=silent, timeout_seconds=TIMEOUT_SECONDS)
        await api.post_batches(batches(silent, queued, posters=POSTERS))
        await asyncio.sleep(_SETTLE_SECONDS)
        beside.append((await track_steadily(bench, event, count=count, a_second=A_SECOND)).arrived)
        await api.remove(silent)
        await bench.receiver.hang_up()
        await bench.product.asleep([silent])
    await api.remove("healthy")
    ratios = [percentile(late, 99) / percentile(early, 99) for early, late in zip(alone, beside, strict=True)]
    ratio = statistics.median(ratios)
    return [
        _row("alone, ms: p50 / p99", alone),
        _row(f"beside {queued:,} events for a silent one, ms: p50 / p99", beside),
        Row("p99 against p99 alone", f"{ratio:.2f}", listed(ratios), f"≤ {GOAL:g}", ratio <= GOAL),
    ]


def _row(what: str, rounds: Sequence[Sequence[float]]) -> Row:
    everything = [each for found in rounds for each in found]
    return Row(what, percentiles(everything), ", ".join(map(percentiles, rounds)))
