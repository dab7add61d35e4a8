"""How many events a second are delivered and recorded, against the pump without Temporal, plain posts, and hello-world workflows."""

from __future__ import annotations

import asyncio
import os
import statistics
import sys
import time
from collections import defaultdict

import psutil

from benchmarks.event_bench import EventBench
from benchmarks.hello_world import hello_rate
from benchmarks.rows import Row, listed

__all__ = ["throughput"]

DIRECT_GOAL, PLAIN_GOAL, HELLO_GOAL = 0.8, 4.0, 50.0
PLAIN_POSTS, HELLOS = 2_000, 200
WARM_UP = 2_000
EVENT = "Throughput Measured"


async def throughput(bench: EventBench, *, events: int, rounds: int) -> list[Row]:
    url = f"{bench.receiver.url}/"
    for pipeline in (bench.product, bench.direct):
        await pipeline.api.publish("throughput", url, event=EVENT)
        await pipeline.rate(EVENT, ["throughput"], events=WARM_UP)
    await hello_rate(bench.client, 50, "warm-up")
    rates: defaultdict[str, list[float]] = defaultdict(list)
    cpu: defaultdict[str, list[float]] = defaultdict(list)
    for number in range(rounds):
        before = _cpu_seconds(bench)
        rates["product"].append(await bench.product.rate(EVENT, ["throughput"], events=events))
        for name, seconds in _cpu_seconds(bench).items():
            cpu[name].append((seconds - before[name]) / events * 1e6)
        rates["direct"].append(await bench.direct.rate(EVENT, ["throughput"], events=events))
        rates["plain"].append(await _plain_posts(url))
        rates["hello"].append(await hello_rate(bench.client, HELLOS, str(number)))
    for pipeline in (bench.product, bench.direct):
        await pipeline.api.remove("throughput")
    return [*_rate_rows(rates), *_ratio_rows(rates), *_cpu_rows(cpu)]


async def _plain_posts(url: str) -> float:
    argv = (sys.executable, "-m", "benchmarks.plain_posts", url, str(PLAIN_POSTS))
    process = await asyncio.create_subprocess_exec(*argv, stdout=asyncio.subprocess.PIPE)
    said, _ = await asyncio.wait_for(process.communicate(), 120)
    return float(said)


def _cpu_seconds(bench: EventBench) -> dict[str, float]:
    """Of all that takes part, the receiver and this process included."""
    receiver = psutil.Process(bench.receiver.pid).cpu_times()
    ours = {"receiver": receiver.user + receiver.system, "the benchmark": time.process_time()}
    return {**bench.system.cpu_seconds(), **ours}


def _rate_rows(rates: dict[str, list[float]]) -> list[Row]:
    names = {
        "product": "events delivered a second, from the first post to the last row",
        "direct": "the same without Temporal",
        "plain": "plain httpx posts a second, one after the other",
        "hello": "hello-world workflows a second",
    }
    return [Row(what, f"{statistics.median(rates[name]):,.0f}", listed(rates[name])) for name, what in names.items()]


def _ratio_rows(rates: dict[str, list[float]]) -> list[Row]:
    rows = []
    for other, what, goal in (
        ("direct", "against the same without Temporal", DIRECT_GOAL),
        ("plain", "against plain posts", PLAIN_GOAL),
        ("hello", "against hello-world workflows", HELLO_GOAL),
    ):
        ratios = [ours / theirs for ours, theirs in zip(rates["product"], rates[other], strict=True)]
        ratio = statistics.median(ratios)
        rows.append(Row(what, f"{ratio:.2f}", listed(ratios), f"≥ {goal:g}", ratio >= goal))
    return rows


def _cpu_rows(cpu: dict[str, list[float]]) -> list[Row]:
    parts = {name: statistics.median(each) for name, each in cpu.items()}
    shares = ", ".join(f"{name} {each:.0f}" for name, each in sorted(parts.items(), key=lambda pair: -pair[1]))
    cores = os.cpu_count()
    return [Row(f"CPU, µs an event, of {cores} cores", f"{sum(parts.values()):.0f}", shares)]
