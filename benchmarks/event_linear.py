"""Whether a delivery costs the same however many destinations share them, and however many rows are old."""

from __future__ import annotations

import statistics

from benchmarks.event_bench import EventBench
from benchmarks.old_rows import plant_old_rows
from benchmarks.rows import Row, listed

__all__ = ["linear_cost", "old_rows"]

FAN_OUTS = (1, 10, 100)
SPREAD_GOAL, OLD_GOAL = 0.30, 0.15
OLD_DESTINATIONS = 10
BESIDE = "Beside Old Ones"


async def linear_cost(bench: EventBench, *, deliveries: int, rounds: int) -> list[Row]:
    """As many deliveries in each case: all events to one destination, a tenth of them to ten, …"""
    destinations = {count: [f"fan-{count}-{number}" for number in range(count)] for count in FAN_OUTS}
    for count, names in destinations.items():
        await _publish(bench, names, f"Fan-out {count}")
        await bench.product.rate(f"Fan-out {count}", names, events=deliveries // count // 10)
    rates: dict[int, list[float]] = {count: [] for count in FAN_OUTS}
    for _ in range(rounds):
        for count, names in destinations.items():
            rates[count].append(await bench.product.rate(f"Fan-out {count}", names, events=deliveries // count))
    for names in destinations.values():
        await bench.product.api.remove(*names)
    medians = [statistics.median(each) for each in rates.values()]
    spread = 1 - min(medians) / max(medians)
    goal = f"≤ {SPREAD_GOAL:.0%}"
    return [
        *(_rate_row(f"deliveries/s, {deliveries // count:,} events × {count}", rates[count]) for count in FAN_OUTS),
        Row("the slowest below the fastest", f"{spread:.0%}", "", goal, spread <= SPREAD_GOAL),
    ]


async def old_rows(bench: EventBench, *, deliveries: int, rows: int, rounds: int) -> list[Row]:
    """What is old stays, so before and after cannot take turns: each is measured against the direct loop, whose tables stay fresh."""
    names = [f"old-{number}" for number in range(OLD_DESTINATIONS)]
    await _publish(bench, names[1:], "Old")
    for pipeline in (bench.product, bench.direct):
        await pipeline.api.publish(names[0], f"{bench.receiver.url}/", event=BESIDE)
        await pipeline.rate(BESIDE, names[:1], events=deliveries // 10)
    fresh = [await _both(bench, names[0], deliveries) for _ in range(rounds)]
    await plant_old_rows(bench.product.sql, rows, destination_ids=names)
    old = [await _both(bench, names[0], deliveries) for _ in range(rounds)]
    await bench.product.api.remove(*names)
    await bench.direct.api.remove(names[0])
    ratios = [[ours / control for ours, control in pairs] for pairs in (fresh, old)]
    lost = 1 - statistics.median(ratios[1]) / statistics.median(ratios[0])
    return [
        _rate_row("deliveries/s before", [ours for ours, _ in fresh]),
        _rate_row("the direct loop beside it", [control for _, control in fresh]),
        _rate_row(f"deliveries/s with {rows:,} old events, deliveries and attempts", [ours for ours, _ in old]),
        _rate_row("the direct loop beside it, its tables fresh", [control for _, control in old]),
        Row("lost by them, in relation to the direct loop", f"{lost:.0%}", "", f"≤ {OLD_GOAL:.0%}", lost <= OLD_GOAL),
    ]


async def _both(bench: EventBench, name: str, deliveries: int) -> tuple[float, float]:
    ours = await bench.product.rate(BESIDE, [name], events=deliveries)
    return ours, await bench.direct.rate(BESIDE, [name], events=deliveries)


async def _publish(bench: EventBench, names: list[str], event: str) -> None:
    for name in names:
        await bench.product.api.publish(name, f"{bench.receiver.url}/", event=event)


def _rate_row(what: str, rates: list[float]) -> Row:
    return Row(what, f"{statistics.median(rates):,.0f}", listed(rates))
