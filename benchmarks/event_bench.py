"""What the measurements of events share: the product, the same without Temporal, the receiver, and the yardstick's worker."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from temporalio.client import Client

from benchmarks.pipeline import Pipeline, running_pipeline
from benchmarks.receiver import Receiver, running_receiver
from benchmarks.system import System, running_system

__all__ = ["EventBench", "running_event_bench"]


@dataclass(frozen=True, slots=True)
class EventBench:
    """`direct` has no Temporal: the same API, tables and pump, on a database of its own in the same server."""

    system: System
    product: Pipeline
    direct: Pipeline
    receiver: Receiver

    @property
    def client(self) -> Client:
        return self.system.client


@asynccontextmanager
async def running_event_bench() -> AsyncIterator[EventBench]:
    async with running_receiver() as receiver, running_system() as system:
        product_url, direct_url = await system.create_database("product"), await system.create_database("direct")
        system.run_worker(product_url)
        system.run("hello-world", "-m", "benchmarks.hello_world", system.temporal.address, url=product_url)
        system.run("direct pump", "-m", "benchmarks.direct", url=direct_url)
        product_api, direct_api = (
            system.run_api(product_url),
            system.run_api(direct_url, "benchmarks.ingest_app:create_app"),
        )
        async with (
            running_pipeline(product_api, product_url, receiver) as product,
            running_pipeline(direct_api, direct_url, receiver) as direct,
        ):
            yield EventBench(system, product, direct, receiver)
