"""One crash while events flow: forty profiles with ten events each in each of three stages, something is killed, and what arrived.

ingesting    batches are on their way to the API, one after the other, before, during and after the kill
sending      the receiver holds as many requests as the pump makes at once and answers none before the kill; the rest is queued
retrying     of every fourth profile the first event was answered 503, so nine more wait behind a back-off of seconds
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from activities.event_pump import SENDERS
from tests.builders import an_event_mapping
from tests.end_to_end.event_evidence import Evidence, Numbered
from tests.end_to_end.event_sender import Sender
from tests.end_to_end.services import Services
from tests.end_to_end.system import System
from tests.receiver import Answer, Received, Receiver, eventually

PROFILES = 40
ROUNDS = 10
EVENTS = PROFILES * ROUNDS
STAGES = ("ingesting", "sending", "retrying")
ILL = PROFILES // 4  # few enough, among the others, that the destination does not count as one that is away
BACK_OFF_SECONDS = 10.0
PATIENCE_SECONDS = 75.0

Kill = Callable[[], Mapping[str, int]]


class Stage:
    """What became of one stage. `account` as the reconciliation counts it in the end; `seconds` from the kill until all had arrived."""

    def __init__(self, name: str, evidence: Evidence, sender: Sender) -> None:
        self.name = name
        self.evidence = evidence
        self.sender = sender
        self.account: dict[str, int] = {}
        self.stored_by_the_api: Mapping[str, int] = {}
        self.seconds: float | None = None


class EventCrash:
    """`run` once; then `stages` holds the evidence."""

    def __init__(self, system: System, name: str) -> None:
        self.name = name
        self.stages: dict[str, Stage] = {}
        self.back_after_seconds: float | None = None
        self._system = system
        self._killed = asyncio.Event()
        self._half = asyncio.Event()  # of the stage that ingests, when the kill may come

    async def run(self, kill: Kill, restart: Callable[[], None] = lambda: None) -> None:
        async with Receiver() as receiver, Services(self._system.api_url, self._system.admin_key) as services:
            receiver.script = lambda request: self._stage(request).evidence.answer(request)
            for name, decide in zip(STAGES, (self._accept, self._hold, self._refuse_first), strict=True):
                await self._publish(services, name, receiver.url)
                self.stages[name] = Stage(name, Evidence(decide), self._sender(services, name))
            ingesting = await self._bring_about()
            loop = asyncio.get_running_loop()
            killed, at = kill(), loop.time()
            self._killed.set()
            await asyncio.to_thread(restart)  # the receiver goes on meanwhile
            back = asyncio.create_task(self._until_back(killed, at))
            await asyncio.gather(back, ingesting)
            await asyncio.gather(*(self._until_delivered(stage, at) for stage in self.stages.values()))
            await self._collect(services)

    async def _publish(self, services: Services, stage: str, url: str) -> None:
        mapping = an_event_mapping(events={"mode": "only", "names": [self._id(stage)]})
        retry = {"initial_seconds": BACK_OFF_SECONDS, "backoff": 1}
        await services.publish(self._id(stage), f"{url}/{stage}", mappings=[mapping], retry=retry)

    def _sender(self, services: Services, stage: str) -> Sender:
        profiles = [f"{self._id(stage)}-{number:02}" for number in range(PROFILES)]
        return Sender(services, self._id(stage), profiles)

    async def _bring_about(self) -> asyncio.Task[None]:
        """Return with all three stages under way, which is asserted; the task is that of the batches."""
        await self._send_rounds("retrying")
        await eventually(self._well_are_through, what="a back-off of every fourth profile")
        await self._send_rounds("sending")
        await eventually(self._all_on_the_wire, what="as many requests as a pump makes at once")
        ingesting = asyncio.create_task(self._send_rounds("ingesting", half=self._half))
        await self._half.wait()
        assert len(self.stages["retrying"].evidence.accepted) == EVENTS - ILL * ROUNDS
        assert len(self.stages["sending"].evidence.seen) == SENDERS
        assert not ingesting.done()
        return ingesting

    async def _send_rounds(self, stage: str, *, half: asyncio.Event | None = None) -> None:
        for number in range(ROUNDS):
            if half and number == ROUNDS // 2:
                half.set()
            await self.stages[stage].sender.send_round()

    def _stage(self, request: Received) -> Stage:
        return self.stages[request.path.strip("/")]

    def _accept(self, _: Numbered, __: int) -> Answer:
        return Answer()

    def _hold(self, _: Numbered, __: int) -> Answer:
        return Answer(wait_for=None if self._killed.is_set() else self._killed)

    def _refuse_first(self, event: Numbered, times: int) -> Answer:
        profile, n = event
        return Answer(503 if n == 0 and times == 0 and int(profile[-2:]) % 4 == 0 else 200)

    async def _well_are_through(self) -> bool:
        seen = self.stages["retrying"].evidence.seen
        return len(seen) == EVENTS - ILL * (ROUNDS - 1)

    async def _all_on_the_wire(self) -> bool:
        return len(self.stages["sending"].evidence.seen) == SENDERS

    async def _until_back(self, killed: Mapping[str, int], at: float) -> None:
        await eventually(lambda: self._system.is_back(killed), timeout=PATIENCE_SECONDS, what="the system back")
        self.back_after_seconds = asyncio.get_running_loop().time() - at

    async def _until_delivered(self, stage: Stage, at: float) -> None:
        """Without complaint: the tests read from the evidence what is missing."""
        loop = asyncio.get_running_loop()
        while loop.time() < at + PATIENCE_SECONDS:
            if stage.evidence.has_all(stage.sender.stored):
                stage.seconds = loop.time() - at
                return
            await asyncio.sleep(0.1)

    async def _collect(self, services: Services) -> None:
        for stage in self.stages.values():
            stage.account = await settled(services, self._id(stage.name), seconds=30)
            stage.stored_by_the_api = await stage.sender.stored_by_the_api()
            await services.delete(self._id(stage.name))

    def _id(self, stage: str) -> str:
        return f"{self.name}-events-{stage}"


async def settled(services: Services, destination_id: str, *, seconds: float) -> dict[str, int]:
    """The destination's account once nothing is open, or as it is after `seconds`; without what is 0."""
    deadline = asyncio.get_running_loop().time() + seconds
    while True:
        account = await services.account(destination_id)
        counted = {name: number for name, number in account.items() if number and name != "destination_id"}
        is_open = any(name in counted for name in ("waiting", "retrying", "held"))
        if not is_open or asyncio.get_running_loop().time() > deadline:
            return counted
        await asyncio.sleep(0.2)
