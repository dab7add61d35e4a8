"""Ten thousand events through a system whose parts are killed at random, to a receiver that says no now and then."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from contextlib import suppress
from zlib import crc32

from tests.builders import an_event_mapping
from tests.end_to_end.event_crash import settled
from tests.end_to_end.event_evidence import Evidence, Numbered
from tests.end_to_end.event_sender import Sender
from tests.end_to_end.services import Services
from tests.end_to_end.system import CHILDREN, System
from tests.receiver import Answer, Receiver, eventually

EVENTS = 10_000
PROFILES = 200
SENDERS = 4  # each the only one to send of its fifty profiles
BATCH_SIZES = (20, 100)
KILLING_SECONDS = 120.0
KILL_EVERY_SECONDS = (2.0, 6.0)
REFUSED_PERCENT = 2
SETTLING_SECONDS = 180.0


class Load:
    """`run` once; then it holds the evidence. The same `seed` kills the same parts at the same intervals, and sends the same batches."""

    def __init__(self, system: System, *, seed: int) -> None:
        self.evidence = Evidence(_refuse_some)
        self.stored: Counter[str] = Counter()
        self.stored_by_the_api: Counter[str] = Counter()
        self.account: dict[str, int] = {}
        self.kills: list[tuple[float, str]] = []
        self.batches = self.batch_requests = 0
        self.settled_after_seconds = 0.0
        self._system = system
        self._random = random.Random(seed)
        self._seed = seed

    async def run(self) -> None:
        async with Receiver() as receiver, Services(self._system.api_url, self._system.admin_key) as services:
            receiver.script = self.evidence.answer
            await services.publish("load", receiver.url, mappings=[an_event_mapping()])
            senders = [
                Sender(services, "load", _profiles(number), seed=self._seed + number) for number in range(SENDERS)
            ]
            await asyncio.gather(
                self._kill_on(), *(self._send_on(sender, number) for number, sender in enumerate(senders))
            )
            ended_at = asyncio.get_running_loop().time()
            await eventually(lambda: self._system.is_back({}), timeout=60, what="the system back")
            self.account = await settled(services, "load", seconds=SETTLING_SECONDS)
            self.settled_after_seconds = asyncio.get_running_loop().time() - ended_at
            for sender in senders:
                self.stored += sender.stored
                self.stored_by_the_api += await sender.stored_by_the_api()
                self.batches += sender.batches
                self.batch_requests += sender.requests
            await services.delete("load")

    async def _send_on(self, sender: Sender, number: int) -> None:
        """Spread over the time of the kills; what an outage of ours delays is sent as fast as it is taken."""
        loop, count, sizes = asyncio.get_running_loop(), EVENTS // SENDERS, random.Random(self._seed - number)
        started = loop.time()
        while (sent := sender.stored.total()) < count:
            await asyncio.sleep(max(0.0, started + KILLING_SECONDS * sent / count - loop.time()))
            await sender.send(min(sizes.randint(*BATCH_SIZES), count - sent))

    async def _kill_on(self) -> None:
        loop = asyncio.get_running_loop()
        started = loop.time()
        while True:
            await asyncio.sleep(self._random.uniform(*KILL_EVERY_SECONDS))
            name = self._random.choice(CHILDREN)
            if loop.time() > started + KILLING_SECONDS:
                return
            with suppress(FileNotFoundError, ProcessLookupError):  # it has not come back from being killed before
                self._system.kill(name)
                self.kills.append((loop.time() - started, name))

    @property
    def figures(self) -> list[str]:
        """What is worth telling, in sentences."""
        killed = Counter(name for _, name in self.kills)
        return [
            f"Seed {self._seed}: {len(self.kills)} kills ({', '.join(f'{name} {killed[name]}' for name in CHILDREN)}).",
            f"{self.batches} batches in {self.batch_requests} requests; {self.stored.total()} events stored.",
            f"{len(self.evidence.seen)} requests, of which {self._refused} were refused with 503;"
            f" {self.evidence.duplicates} duplicates; settled after {self.settled_after_seconds:.0f} s.",
        ]

    @property
    def _refused(self) -> int:
        return sum(not each.accepted for each in self.evidence.seen)


def _profiles(sender: int) -> list[str]:
    size = PROFILES // SENDERS
    return [f"load-{number:03}" for number in range(sender * size, (sender + 1) * size)]


def _refuse_some(event: Numbered, times: int) -> Answer:
    """The same ones in every run, however their requests come in."""
    refused = crc32(f"{event}/{times}".encode()) % 100 < REFUSED_PERCENT
    return Answer(503, body="come back later") if refused else Answer()
