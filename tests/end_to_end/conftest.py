"""One running system for each module."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from tests.end_to_end.services import Services
from tests.end_to_end.system import System
from tests.receiver import Receiver


@pytest.fixture(scope="module")
def system() -> Iterator[System]:
    system = System()
    try:
        system.start("--restart")
        yield system
    finally:
        system.remove()


@pytest_asyncio.fixture
async def services(system: System) -> AsyncIterator[Services]:
    async with Services(system.api_url, system.admin_key) as services:
        yield services


@pytest_asyncio.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with Receiver() as receiver:
        yield receiver
