"""From a call to the receiver: while a pump runs, against the acknowledgement; and while none does, against a bare workflow."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Sequence

from benchmarks.calls import PROFILES, body, call
from benchmarks.event_bench import EventBench
from benchmarks.hello_world import HELLO_QUEUE, PostOnce
from benchmarks.rows import Row, percentiles

__all__ = ["Latencies", "cold_latency", "track_steadily", "warm_latency"]

WARM_GOAL, COLD_GOAL = 3.0, 1.5
A_SECOND = 20
COLD_DESTINATIONS = 6  # all of them fall asleep in the time that one needs
_ARRIVED_SECONDS = 30


class Latencies:
    """Seconds from sending each call until it was acknowledged, and until the receiver had it."""

    def __init__(self, acknowledged: Sequence[float], arrived: Sequence[float]) -> None:
        self.acknowledged, self.arrived = acknowledged, arrived


async def track_steadily(bench: EventBench, event: str, *, count: int, a_second: float) -> Latencies:
    """`count` single calls, sent on time whether or not those before them were answered."""
    started = time.monotonic()
    calls = [call(event, user=number % PROFILES) for number in range(count)]
    wanted = await bench.receiver.count() + count
    sendings = []
    for number, each in enumerate(calls):
        await asyncio.sleep(started + number / a_second - time.monotonic())
        sendings.append(asyncio.create_task(bench.product.api.track(each)))
    sent = await asyncio.gather(*sendings)
    await bench.receiver.has_counted(wanted, _ARRIVED_SECONDS)
    arrivals = await bench.receiver.arrivals()
    arrived = [arrivals[each["properties"]["n"]] - at for each, (at, _) in zip(calls, sent, strict=True)]
    return Latencies([known - at for at, known in sent], arrived)


async def warm_latency(bench: EventBench, *, count: int) -> list[Row]:
    event = "Warm Measured"
    await bench.product.api.publish("warm", f"{bench.receiver.url}/checked", event=event)
    await track_steadily(bench, event, count=40, a_second=A_SECOND)
    found = await track_steadily(bench, event, count=count, a_second=A_SECOND)
    await bench.product.api.remove("warm")
    ratio = statistics.median(found.arrived) / statistics.median(found.acknowledged)
    return [
        Row("acknowledged, ms: p50 / p99", percentiles(found.acknowledged), f"{count} calls, {A_SECOND} a second"),
        Row("at the receiver, ms: p50 / p99", percentiles(found.arrived)),
        Row(
            "p50 at the receiver in p50s of the acknowledgement",
            f"{ratio:.2f}",
            "",
            f"≤ {WARM_GOAL:g}",
            ratio <= WARM_GOAL,
        ),
    ]


async def cold_latency(bench: EventBench, *, rounds: int) -> list[Row]:
    """In every round one sample of each destination, its pump asleep, and as many bare workflows between them."""
    names = [f"cold-{number}" for number in range(COLD_DESTINATIONS)]
    for name in names:
        await bench.product.api.publish(name, f"{bench.receiver.url}/checked", event=name)
    pumped, bare = [], []
    for number in range(rounds + 1):
        await bench.product.asleep(names)
        for name in names:
            found = await track_steadily(bench, name, count=1, a_second=1)
            posted = await _bare_workflow(bench, f"bare-{number}-{name}")
            if number:  # the first round compiles and connects
                pumped.append(found.arrived[0])
                bare.append(posted)
    await bench.product.api.remove(*names)
    ratio = statistics.median(pumped) / statistics.median(bare)
    return [
        Row("no pump yet: at the receiver, ms: p50 / p99", percentiles(pumped), f"{len(pumped)} calls"),
        Row("a bare workflow that posts, ms: p50 / p99", percentiles(bare), f"{len(bare)} workflows"),
        Row("p50 against the bare workflow", f"{ratio:.2f}", "", f"≤ {COLD_GOAL:g}", ratio <= COLD_GOAL),
    ]


async def _bare_workflow(bench: EventBench, workflow_id: str) -> float:
    """Seconds from starting a workflow with one activity, which posts, until the receiver had it."""
    made = call("bare")
    sent = time.monotonic()
    await bench.client.execute_workflow(
        PostOnce.run,
        args=[f"{bench.receiver.url}/checked", body(made).decode()],
        id=workflow_id,
        task_queue=HELLO_QUEUE,
    )
    return (await bench.receiver.arrivals())[made["properties"]["n"]] - sent
