"""Events through the whole product, on one machine: throughput, latency, linear cost, memory, isolation.

    python -m benchmarks.events [--only throughput,warm] [--events 20000] [--rounds 3]

The API and a worker as processes, PostgreSQL, Temporal's dev server as `make up` starts it, and a receiver as a process of its own.
What is compared is measured in turns, in one run. Loopback only; everything that it starts it stops.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Awaitable, Callable

from benchmarks.event_bench import EventBench, running_event_bench
from benchmarks.event_isolation import isolation
from benchmarks.event_latency import cold_latency, warm_latency
from benchmarks.event_linear import linear_cost, old_rows
from benchmarks.event_memory import memory
from benchmarks.event_throughput import throughput
from benchmarks.rows import Row, table

PART_SECONDS = 900  # a part that hangs ends the run

Part = Callable[[EventBench, argparse.Namespace], Awaitable[list[Row]]]
PARTS: dict[str, Part] = {
    "throughput": lambda bench, options: throughput(bench, events=options.events, rounds=options.rounds),
    "warm": lambda bench, options: warm_latency(bench, count=options.calls),
    "cold": lambda bench, options: cold_latency(bench, rounds=options.cold_rounds),
    "isolation": lambda bench, options: isolation(bench, queued=2_000, count=options.calls, rounds=options.rounds),
    "linear": lambda bench, options: linear_cost(bench, deliveries=options.events, rounds=options.rounds),
    "memory": lambda bench, options: memory(bench, events=options.flood, held=options.held),
    "old": lambda bench, options: old_rows(
        bench, deliveries=options.events // 2, rows=options.old_rows, rounds=options.rounds
    ),
}


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default=",".join(PARTS), help=f"of {', '.join(PARTS)}")
    parser.add_argument("--events", type=int, default=20_000, help="of each round of throughput and linear cost")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--calls", type=int, default=300, help="single calls of each round that measures latency")
    parser.add_argument("--cold-rounds", type=int, default=4, help="of six samples each")
    parser.add_argument("--flood", type=int, default=200_000, help="events while memory is watched")
    parser.add_argument("--held", type=int, default=100_000, help="events while a pause holds them")
    parser.add_argument("--old-rows", type=int, default=1_000_000, help="of each table; they are planted last")
    return parser.parse_args()


async def main() -> int:
    options = _options()
    async with running_event_bench() as bench:
        for name in options.only.split(","):
            rows = await asyncio.wait_for(PARTS[name](bench, options), PART_SECONDS)
            print(f"\n### {name}\n\n{table(rows)}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
