"""Events through the whole product, on one machine: throughput, latency, linear cost, memory, isolation.

    python -m benchmarks.events [--only throughput,latency] [--events 20000] [--rounds 3]

The API and a worker as processes, PostgreSQL, Temporal's dev server as `make up` starts it, and a receiver as a process of its own.
What is compared is measured in turns, in one run. Loopback only; everything that it starts it stops.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Awaitable, Callable

from benchmarks.event_bench import EventBench, Row, running_event_bench
from benchmarks.event_throughput import throughput

PART_SECONDS = 900  # a part that hangs ends the run

Part = Callable[[EventBench, argparse.Namespace], Awaitable[list[Row]]]
PARTS: dict[str, Part] = {
    "throughput": lambda bench, options: throughput(bench, events=options.events, rounds=options.rounds),
}


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default=",".join(PARTS), help=f"of {', '.join(PARTS)}")
    parser.add_argument("--events", type=int, default=20_000, help="of each round of throughput and linear cost")
    parser.add_argument("--rounds", type=int, default=3)
    return parser.parse_args()


async def main() -> int:
    options = _options()
    async with running_event_bench() as bench:
        for name in options.only.split(","):
            rows = await asyncio.wait_for(PARTS[name](bench, options), PART_SECONDS)
            print(f"\n### {name}\n\n| what | median | goal | met | rounds |\n|---|---|---|---|---|", flush=True)
            print("\n".join(map(str, rows)), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
