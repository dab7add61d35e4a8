"""The yardstick: a workflow with one activity. `python -m benchmarks.hello_world ADDRESS` runs its worker until it is terminated."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from datetime import timedelta

import aiohttp
from temporalio import activity, workflow
from temporalio.client import Client
from temporalio.worker import PollerBehaviorAutoscaling, UnsandboxedWorkflowRunner, Worker

__all__ = ["HELLO_QUEUE", "HelloWorld", "PostOnce", "hello_rate"]

HELLO_QUEUE = "hello"
_CONCURRENCY = 32


@activity.defn
async def say_hello(name: str) -> str:
    return f"Hello, {name}!"


@workflow.defn
class HelloWorld:
    @workflow.run
    async def run(self, name: str) -> str:
        return await workflow.execute_activity(say_hello, name, start_to_close_timeout=timedelta(seconds=5))


class Poster:
    def __init__(self, http: aiohttp.ClientSession) -> None:
        self._http = http

    @activity.defn
    async def post(self, url: str, body: str) -> int:
        async with self._http.post(url, data=body.encode()) as answer:
            return answer.status


@workflow.defn
class PostOnce:
    """The same with an activity that posts `body` to `url`."""

    @workflow.run
    async def run(self, url: str, body: str) -> int:
        timeout = timedelta(seconds=5)
        return await workflow.execute_activity_method(Poster.post, args=[url, body], start_to_close_timeout=timeout)


async def hello_rate(client: Client, count: int, label: str) -> float:
    """Workflows a second, from the first start to the last result."""
    places = asyncio.Semaphore(_CONCURRENCY)

    async def one(number: int) -> None:
        async with places:
            handle = await client.start_workflow(
                HelloWorld.run, "world", id=f"hello-{label}-{number}", task_queue=HELLO_QUEUE
            )
        await handle.result()

    started = time.perf_counter()
    await asyncio.gather(*(one(number) for number in range(count)))
    return count / (time.perf_counter() - started)


async def main(address: str) -> None:
    stopping = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
    async with aiohttp.ClientSession() as http:
        worker = Worker(
            await Client.connect(address),
            task_queue=HELLO_QUEUE,
            workflows=[HelloWorld, PostOnce],
            activities=[say_hello, Poster(http).post],
            workflow_runner=UnsandboxedWorkflowRunner(),
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
