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
    """Not in turns: what is old stays."""
    names = [f"old-{number}" for number in range(OLD_DESTINATIONS)]
    await _publish(bench, names[:1], "Beside Old Ones")
    await _publish(bench, names[1:], "Old")
    await bench.product.rate("Beside Old Ones", names[:1], events=deliveries // 10)
    fresh = [await bench.product.rate("Beside Old Ones", names[:1], events=deliveries) for _ in range(rounds)]
    await plant_old_rows(bench.product.sql, rows, destination_ids=names)
    old = [await bench.product.rate("Beside Old Ones", names[:1], events=deliveries) for _ in range(rounds)]
    await bench.product.api.remove(*names)
    lost = 1 - statistics.median(old) / statistics.median(fresh)
    return [
        _rate_row("deliveries/s before", fresh),
        _rate_row(f"deliveries/s with {rows:,} old events, deliveries and attempts", old),
        Row("lost by them", f"{lost:.0%}", "", f"≤ {OLD_GOAL:.0%}", lost <= OLD_GOAL),
    ]


async def _publish(bench: EventBench, names: list[str], event: str) -> None:
    for name in names:
        await bench.product.api.publish(name, f"{bench.receiver.url}/", event=event)


def _rate_row(what: str, rates: list[float]) -> Row:
    return Row(what, f"{statistics.median(rates):,.0f}", listed(rates))
