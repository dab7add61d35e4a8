"""Pause and resume, while the processes that carry them are killed: nothing is sent that should not be, nothing is lost.

Twenty syncs each time, half of them in a debounce and half in a back-off.
"""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime

import pytest
import pytest_asyncio

from tests.end_to_end.services import Services
from tests.end_to_end.system import System
from tests.end_to_end.temporal_tools import TemporalCli
from tests.receiver import Answer, Received, Receiver, eventually

pytestmark = [pytest.mark.crash, pytest.mark.slow]

DESTINATION = "crm"
PROFILES = 20
SECONDS = 6.0  # the quiet time and the back-off: long enough to be found in
PATIENCE_SECONDS = 55.0  # below what the rescue sweep takes: none of this may need it


class Scene:
    """A destination whose syncs wait: the first ten profiles in back-off, the others in their debounce."""

    def __init__(self, system: System, services: Services, receiver: Receiver, name: str) -> None:
        self.services = services
        self.receiver = receiver
        self.destination = f"crm-{name}"
        self.profiles = [f"{name}-{number}" for number in range(PROFILES)]
        self._failing, self._settling = self.profiles[: PROFILES // 2], self.profiles[PROFILES // 2 :]
        self._temporal = TemporalCli(system)

    async def begin(self) -> None:
        debounce = {"quiet_seconds": SECONDS, "max_wait_seconds": 60}
        retry = {"initial_seconds": SECONDS, "backoff": 1}
        self.receiver.script = lambda _: Answer(503)
        await self.services.publish(self.destination, self.receiver.url, debounce=debounce, retry=retry)
        await self.services.change_all(self._failing, n=1)
        await self._until(lambda: self._counts("retrying", len(self._failing)), "every back-off begun")
        self.receiver.script = lambda _: Answer()
        await self.services.change_all(self._settling, n=1)
        await self._until(self._all_debounce, "a workflow for every debounce")
        assert self.sent == len(self._failing)

    @property
    def sent(self) -> int:
        return len(self.receiver.requests)

    async def all_are_held(self) -> None:
        """Counted by the API, known to Temporal, and past the time at which they would have gone out."""
        await self._until(self._held_counted, "all of them counted as held")
        await self._until(self._held_in_temporal, "all of them held in Temporal")
        await self._until(self._overdue, "all of them past their time")

    async def all_are_delivered(self) -> None:
        await self._until(lambda: self._counts("delivered", PROFILES), "all of them delivered")
        account = await self.services.account(self.destination)
        assert (account["accepted"], account["unaccounted"]) == (PROFILES, 0)
        assert {request.json["id"] for request in self._successes()} == set(self.profiles)
        assert len({request.key for request in self.receiver.requests}) == PROFILES

    def _successes(self) -> list[Received]:
        return self.receiver.requests[len(self._failing) :]

    async def _counts(self, state: str, number: int) -> bool:
        return (await self.services.account(self.destination)).get(state) == number

    async def _all_debounce(self) -> bool:
        # What a pause finds not yet dispatched is held in its row, without a workflow that could show it.
        syncs = await self.services.syncs(self._settling, self.destination)
        return all(sync["workflow"]["run_id"] for sync in syncs)

    async def _held_counted(self) -> bool:
        shown = await self.services.destination(self.destination)
        return await self._counts("held", PROFILES) and (shown["status"], shown["held"]) == ("paused", PROFILES)

    async def _held_in_temporal(self) -> bool:
        query = f'DestinationId="{self.destination}" AND SyncState="held" AND ExecutionStatus="Running"'
        return len(await self._temporal.find(query)) == PROFILES

    async def _overdue(self) -> bool:
        syncs = await self.services.syncs(self.profiles, self.destination)
        due = [sync["due_at"] or sync["next_attempt_at"] for sync in syncs]
        return all(moment is None or datetime.fromisoformat(moment) < datetime.now(UTC) for moment in due)

    async def _until(self, condition: Callable[[], Awaitable[bool]], what: str) -> None:
        await eventually(condition, timeout=PATIENCE_SECONDS, what=what)


@pytest_asyncio.fixture
async def scene(
    request: pytest.FixtureRequest, system: System, services: Services, receiver: Receiver
) -> AsyncIterator[Scene]:
    name = str(abs(hash(request.node.name)))
    scene = Scene(system, services, receiver, name)
    await scene.begin()
    yield scene
    await services.delete(scene.destination)


async def test_a_pause_while_temporal_is_down_holds_everything(system: System, scene: Scene) -> None:
    killed = system.kill("Temporal")
    await scene.services.pause(scene.destination)
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", system.temporal_port)), "Temporal was back before the pause was answered"
    await eventually(lambda: system.is_back(killed), timeout=PATIENCE_SECONDS, what="Temporal back")
    await scene.all_are_held()
    assert scene.sent == PROFILES // 2
    await scene.services.resume(scene.destination)
    await scene.all_are_delivered()


async def test_a_pause_outlives_the_api_that_answered_it(system: System, scene: Scene) -> None:
    await scene.services.pause(scene.destination)
    killed = system.kill("API")
    await eventually(lambda: system.is_back(killed), timeout=PATIENCE_SECONDS, what="the API back")
    await scene.all_are_held()
    assert scene.sent == PROFILES // 2
    await scene.services.resume(scene.destination)
    await scene.all_are_delivered()


async def test_what_is_held_outlives_the_worker_and_goes_out_once_there_is_one(system: System, scene: Scene) -> None:
    await scene.services.pause(scene.destination)
    await scene.all_are_held()
    system.kill("worker")
    assert scene.sent == PROFILES // 2
    await scene.services.resume(scene.destination)
    await scene.all_are_delivered()


async def test_a_resume_outlives_temporal(system: System, scene: Scene) -> None:
    await scene.services.pause(scene.destination)
    await scene.all_are_held()
    assert scene.sent == PROFILES // 2
    await scene.services.resume(scene.destination)
    system.kill("Temporal")
    await scene.all_are_delivered()


async def test_changes_made_while_paused_are_delivered_in_their_latest_state(system: System, scene: Scene) -> None:
    await scene.services.pause(scene.destination)
    killed = system.kill("API", "worker", "Temporal", "PostgreSQL")
    await scene.services.change_all(scene.profiles, n=2)
    await eventually(lambda: system.is_back(killed), timeout=PATIENCE_SECONDS, what="the system back")
    assert scene.sent == PROFILES // 2
    await scene.services.resume(scene.destination)
    await scene.all_are_delivered()
    assert {request.json["version"] for request in scene.receiver.requests[PROFILES // 2 :]} == {2}
