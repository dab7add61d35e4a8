"""Stopping with Ctrl-C and starting again, with work under way."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from tests.end_to_end.services import Services
from tests.end_to_end.system import System
from tests.receiver import Receiver, eventually

pytestmark = pytest.mark.slow


@pytest.fixture
def fresh() -> Iterator[System]:
    system = System()
    try:
        yield system
    finally:
        system.remove()


async def test_what_was_accepted_before_ctrl_c_is_delivered_by_the_next_start(
    fresh: System, receiver: Receiver
) -> None:
    fresh.start()
    key = fresh.admin_key
    async with Services(fresh.api_url, key) as services:
        await services.publish("crm", receiver.url)
        await services.change("ada", n=1)
        await receiver.received(1)
        debounce = {"quiet_seconds": 3, "max_wait_seconds": 3}
        await services.publish("slow-crm", f"{receiver.url}/slow", debounce=debounce)
        await services.change("grace", n=1)
    assert await asyncio.to_thread(fresh.interrupt) == 0
    assert fresh.processes() == []

    fresh.environment["SLUICE_READY_SECONDS"] = "30"  # it gives up, and fails, when it is not ready by then
    await asyncio.to_thread(fresh.start)
    assert fresh.admin_key == key
    async with Services(fresh.api_url, key) as services:
        await eventually(lambda: _delivered(services, "slow-crm", "grace"), what="the change made before Ctrl-C")
        assert await _delivered(services, "crm", "ada")
        await services.change("ada", n=2)
        await eventually(lambda: _reached(receiver, "/slow", "ada", 2), what="a change made after the second start")
    assert await asyncio.to_thread(fresh.interrupt) == 0
    assert fresh.processes() == []


async def _delivered(services: Services, destination_id: str, profile_id: str) -> list[dict[str, Any]]:
    return await services.deliveries(destination=destination_id, profile=profile_id, status="delivered")


async def _reached(receiver: Receiver, path: str, profile_id: str, version: int) -> bool:
    return any((it.path, it.json["id"], it.json["version"]) == (path, profile_id, version) for it in receiver.requests)
