"""One crash under load: thirty profiles in each of three stages, something is killed, and what the receiver then saw.

    debouncing   the quiet time runs; nothing was sent yet
    delivering   the receiver has every request and answers none before the kill
    retrying     every first attempt was answered 503; the next is seconds away

The services go on through it all: every other profile changes once more after the kill, as soon as its change is accepted.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.end_to_end.services import Services
from tests.end_to_end.system import System
from tests.receiver import Answer, Received, Receiver, eventually

PROFILES = 30
STAGES = ("debouncing", "delivering", "retrying")
BEFORE, DURING, AFTER = 1, 2, 3  # the versions: all is well, all three stages under way, something was killed
QUIET_SECONDS = 5.0
BACK_OFF_SECONDS = 10.0
PATIENCE_SECONDS = 60.0  # below what the rescue sweep takes: what these crashes cost must not need it

Kill = Callable[[], Mapping[str, int]]


@dataclass
class Stage:
    """What became of one stage. `requests` in order of arrival; `account` as the reconciliation counts it in the end."""

    name: str
    latest: dict[str, int]
    requests: list[Received] = field(default_factory=list)
    accepted: list[Received] = field(default_factory=list)
    account: dict[str, int] = field(default_factory=dict)
    seconds: float | None = None

    def versions(self) -> dict[str, list[int]]:
        """Profile → versions in the order they came in."""
        seen = defaultdict(list)
        for request in self.requests:
            seen[request.json["id"]].append(request.json["version"])
        return dict(seen)

    @property
    def duplicates(self) -> list[Received]:
        """Deliveries that the receiver had already said yes to, going by their key."""
        seen, again = set(), []
        for request in self.accepted:
            if request.key in seen:
                again.append(request)
            seen.add(request.key)
        return again

    @property
    def is_delivered(self) -> bool:
        return self.latest.items() <= {request.json["id"]: request.json["version"] for request in self.accepted}.items()


class Crash:
    """`run` once; then `stages` holds the evidence."""

    def __init__(self, system: System, name: str) -> None:
        self.name = name
        self.profiles = [f"{name}-{number}" for number in range(PROFILES)]
        latest = {profile: (DURING, AFTER)[number % 2] for number, profile in enumerate(self.profiles)}
        self.stages = {stage: Stage(stage, latest) for stage in STAGES}
        self.back_after_seconds: float | None = None
        self._system = system
        self._killed = asyncio.Event()

    async def run(self, kill: Kill, restart: Callable[[], None] = lambda: None) -> None:
        async with Receiver() as receiver, Services(self._system.api_url, self._system.admin_key) as services:
            receiver.script = self._answer
            await self._set_up(services, receiver.url)
            loop = asyncio.get_running_loop()
            killed, at = kill(), loop.time()
            self._killed.set()
            await asyncio.to_thread(restart)  # the receiver goes on meanwhile
            back = asyncio.create_task(self._until_back(killed, at))
            await services.change_all(self.profiles[1::2], n=AFTER)
            await asyncio.gather(back, *(self._until_delivered(stage, at) for stage in self.stages.values()))
            await self._collect(services)

    async def _set_up(self, services: Services, url: str) -> None:
        """Leave with all three stages under way, which is asserted."""
        await services.publish(self._id("delivering"), f"{url}/delivering")
        retry = {"initial_seconds": BACK_OFF_SECONDS, "backoff": 1}
        await services.publish(self._id("retrying"), f"{url}/retrying", retry=retry)
        await services.change_all(self.profiles, n=BEFORE)
        await eventually(lambda: self._counted(services, "delivering", "delivered"), what="a first delivery of each")
        await eventually(lambda: self._counted(services, "retrying", "retrying"), what="a back-off of each")
        debounce = {"quiet_seconds": QUIET_SECONDS, "max_wait_seconds": 60}
        await services.publish(self._id("debouncing"), f"{url}/debouncing", debounce=debounce)
        await services.change_all(self.profiles, n=DURING)
        await eventually(lambda: self._all_debounce(services), what="a workflow for every debounce")
        await eventually(self._all_on_the_wire, what="a request of every profile")
        assert {name: len(stage.requests) for name, stage in self.stages.items()} == {
            "debouncing": 0,
            "delivering": 2 * PROFILES,
            "retrying": PROFILES,
        }

    def _answer(self, request: Received) -> Answer:
        stage = self.stages[request.path.strip("/")]
        first = request.json["id"] not in stage.versions()
        stage.requests.append(request)
        if first and stage.name == "retrying":
            return Answer(503, body="come back later")
        stage.accepted.append(request)
        return Answer(wait_for=None if first or stage.name != "delivering" else self._killed)

    async def _counted(self, services: Services, stage: str, state: str) -> bool:
        return (await services.account(self._id(stage))).get(state) == PROFILES

    async def _all_debounce(self, services: Services) -> bool:
        syncs = await services.syncs(self.profiles, self._id("debouncing"))
        return len([sync for sync in syncs if sync["state"] == "waiting" and sync["workflow"]["run_id"]]) == PROFILES

    async def _all_on_the_wire(self) -> bool:
        return len(self.stages["delivering"].requests) == 2 * PROFILES

    async def _until_back(self, killed: Mapping[str, int], at: float) -> None:
        await eventually(lambda: self._system.is_back(killed), timeout=PATIENCE_SECONDS, what="the system back")
        self.back_after_seconds = asyncio.get_running_loop().time() - at

    async def _until_delivered(self, stage: Stage, at: float) -> None:
        """Without complaint: the tests read from the evidence what is missing."""
        deadline = at + PATIENCE_SECONDS
        while not stage.is_delivered and asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(0.1)
        if stage.is_delivered:
            stage.seconds = asyncio.get_running_loop().time() - at

    async def _collect(self, services: Services) -> None:
        for stage in self.stages.values():
            await self._until_quiet(services, stage)
            await services.delete(self._id(stage.name))

    async def _until_quiet(self, services: Services, stage: Stage) -> None:
        deadline = asyncio.get_running_loop().time() + PATIENCE_SECONDS
        while asyncio.get_running_loop().time() < deadline:
            stage.account = await services.account(self._id(stage.name))
            if not _open(stage.account):
                return
            await asyncio.sleep(0.2)

    def _id(self, stage: str) -> str:
        return f"{self.name}-{stage}"


def _open(account: dict[str, Any]) -> int:
    return int(account["waiting"] + account["retrying"] + account["held"])
