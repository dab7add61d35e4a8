"""The yardstick: a workflow with one activity. `python -m benchmarks.hello_world ADDRESS` runs its worker until it is terminated."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from datetime import timedelta

from temporalio import activity, workflow
from temporalio.client import Client
from temporalio.worker import PollerBehaviorAutoscaling, Worker

HELLO_QUEUE = "hello"


@activity.defn
async def say_hello(name: str) -> str:
    return f"Hello, {name}!"


@workflow.defn
class HelloWorld:
    @workflow.run
    async def run(self, name: str) -> str:
        return await workflow.execute_activity(say_hello, name, start_to_close_timeout=timedelta(seconds=5))


async def main(address: str) -> None:
    stopping = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
    worker = Worker(
        await Client.connect(address),
        task_queue=HELLO_QUEUE,
        workflows=[HelloWorld],
        activities=[say_hello],
        max_concurrent_workflow_tasks=200,
        max_cached_workflows=5_000,
        workflow_task_poller_behavior=PollerBehaviorAutoscaling(),
        activity_task_poller_behavior=PollerBehaviorAutoscaling(),
    )
    async with worker:
        await stopping.wait()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
    os._exit(0)
