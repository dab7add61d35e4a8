"""The hours of a back-off and of an outage, in milliseconds: workflows on the time-skipping server, with scripted activities."""

from __future__ import annotations

import asyncio
import sysconfig
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from temporalio import activity
from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest
from temporalio.client import WorkflowFailureError, WorkflowHandle
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker

from activities.errors import retry_later
from activities.messages import (
    AttemptResult,
    DeliveryOrder,
    EventRetryPlan,
    EventRetryRequest,
    PumpRequest,
    PumpResult,
    RetryPlan,
)
from domain.destinations import Retry
from worker import sandbox
from workflows import names
from workflows.event_delivery import EventDelivery
from workflows.event_retry import EventRetry
from workflows.messages import EventDeliveryInput, EventRetryInput

POLICY = Retry()
FOREVER = 100_000.0
Clock = Callable[[], Awaitable[datetime]]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def environment() -> AsyncIterator[WorkflowEnvironment]:
    program = str(Path(sysconfig.get_path("scripts")) / "temporal-test-server")
    async with await WorkflowEnvironment.start_time_skipping(
        test_server_existing_path=program, data_converter=pydantic_data_converter
    ) as environment:
        wanted = {key.name: IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD for key in names.SEARCH_ATTRIBUTES}
        await environment.client.operator_service.add_search_attributes(
            AddSearchAttributesRequest(namespace=environment.client.namespace, search_attributes=wanted)
        )
        yield environment


@dataclass
class Blocker:
    """A stand-in for the rows: the delivery that holds back its profile, with what each attempt at it comes to.

    `used` attempts have been made, the last of which asked for the next one in `wait` seconds.
    """

    clock: Clock
    attempt: Callable[[int], AttemptResult]
    used: int = 1
    wait: float = POLICY.initial_seconds
    paused: bool = False
    ended: bool = False
    asked: int = 0
    times: list[float] = field(default_factory=list)
    _due: float = 0.0

    async def start(self) -> None:
        """The failure that made the pump give the profile away is of now."""
        self.times = [await self._now()]
        self._due = self.times[0] + self.wait

    @activity.defn(name="next_event")
    async def next_event(self, _: EventRetryRequest) -> EventRetryPlan:
        self.asked += 1
        if self.ended:
            return EventRetryPlan()
        if self.paused:
            return EventRetryPlan(held=True)
        plan = RetryPlan.model_validate(POLICY.model_dump())
        order = DeliveryOrder(
            delivery_id="d1", destination_id="crm", mapping_id="events", attempts_used=self.used, retry=plan
        )
        return EventRetryPlan(order=order, wait_seconds=max(0.0, self._due - await self._now()))

    @activity.defn(name="retry_event")
    async def retry_event(self, _: DeliveryOrder) -> AttemptResult:
        self.times.append(await self._now())
        self.used += 1
        result = self.attempt(self.used)
        if result.status == "retry":
            self._due = self.times[-1] + (result.retry_in_seconds or 0.0)
            raise retry_later(result.message or "", result.code, result.retry_in_seconds or 0.0)
        self.ended = True
        return result

    @property
    def intervals(self) -> list[int]:
        return [round(later - earlier) for earlier, later in zip(self.times, self.times[1:], strict=False)]

    async def _now(self) -> float:
        return (await self.clock()).timestamp()


def failing(until: int, retry_after: float = 0.0) -> Callable[[int], AttemptResult]:
    """Attempts fail with 503 up to number `until`; the policy's last one fails for good."""

    def attempt(number: int) -> AttemptResult:
        if number > until:
            return AttemptResult(status="delivered", number=number)
        if number >= POLICY.attempts:
            return AttemptResult(status="failed", code="http_503", message="gave up after 15 attempts", number=number)
        delay = max(POLICY.delay_seconds(number), retry_after)
        return AttemptResult(status="retry", code="http_503", number=number, retry_in_seconds=delay)

    return attempt


@asynccontextmanager
async def retrying(
    environment: WorkflowEnvironment, blocker: Blocker, name: str
) -> AsyncIterator[WorkflowHandle[Any, Any]]:
    async with Worker(
        environment.client,
        task_queue=name,
        workflows=[EventRetry],
        activities=[blocker.next_event, blocker.retry_event],
        workflow_runner=sandbox(),
    ):
        await blocker.start()
        yield await environment.client.start_workflow(
            EventRetry.run,
            EventRetryInput(destination_id="crm", profile_id="u1"),
            id=f"{names.event_retry_id('crm', 'u1')}-{name}",
            task_queue=name,
        )


class TestEventRetry:
    async def test_it_makes_what_is_left_of_fifteen_attempts_over_three_hours_and_eight_minutes(
        self, environment: WorkflowEnvironment
    ) -> None:
        blocker = Blocker(environment.get_current_time, failing(99))
        async with retrying(environment, blocker, "schedule") as handle:
            with pytest.raises(WorkflowFailureError):
                await handle.result()
        assert blocker.intervals == [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 3600, 3600]
        assert sum(blocker.intervals) == 11_295

    async def test_a_delivery_that_gives_up_fails_its_run_with_a_readable_reason_that_alarms_nobody(
        self, environment: WorkflowEnvironment
    ) -> None:
        blocker = Blocker(environment.get_current_time, failing(99), used=14)
        async with retrying(environment, blocker, "gives-up") as handle:
            with pytest.raises(WorkflowFailureError) as failure:
                await handle.result()
        cause = failure.value.cause
        assert isinstance(cause, ApplicationError)
        assert (cause.message, cause.type) == ("gave up after 15 attempts", "http_503")
        assert cause.category == ApplicationErrorCategory.BENIGN

    async def test_attempts_made_before_count_whoever_made_them(self, environment: WorkflowEnvironment) -> None:
        blocker = Blocker(environment.get_current_time, failing(99), used=13, wait=3600)
        async with retrying(environment, blocker, "used") as handle:
            with pytest.raises(WorkflowFailureError):
                await handle.result()
        assert blocker.intervals == [3600, 3600]

    async def test_the_receivers_wait_counts_when_it_is_longer_than_the_policys(
        self, environment: WorkflowEnvironment
    ) -> None:
        blocker = Blocker(environment.get_current_time, failing(3, retry_after=777), wait=555)
        async with retrying(environment, blocker, "retry-after") as handle:
            assert (await handle.result()).ended == 1
        assert blocker.intervals == [555, 777, 777]

    @pytest.mark.parametrize("made", [0, 1], ids=["its-own-first-back-off", "a-later-one-of-temporals"])
    async def test_a_pause_ends_the_back_off_and_nothing_is_sent_until_the_resume(
        self, environment: WorkflowEnvironment, made: int
    ) -> None:
        blocker = Blocker(environment.get_current_time, failing(made + 1, retry_after=FOREVER))
        blocker.wait = 0.0 if made else FOREVER
        async with retrying(environment, blocker, f"pause-{made}") as handle:
            with environment.auto_time_skipping_disabled():
                await _until_tried(blocker, made)
                blocker.paused = True
                await handle.signal(EventRetry.pause)
                await _until(handle, EventRetry.status, "held")
                assert len(blocker.times) == 1 + made
                blocker.paused, blocker._due = False, 0.0
                await handle.signal(EventRetry.resume)
                assert (await handle.result()).ended == 1

    async def test_what_is_held_looks_again_by_itself_every_hour(self, environment: WorkflowEnvironment) -> None:
        blocker = Blocker(environment.get_current_time, failing(0), wait=0.0, paused=True)
        async with retrying(environment, blocker, "recheck") as handle:
            await _until(handle, EventRetry.status, "held")
            await environment.sleep(7000)
            blocker.paused = False
            await handle.result()
        assert blocker.intervals == [7200]

    @pytest.mark.parametrize("made", [0, 1], ids=["its-own-first-back-off", "a-later-one-of-temporals"])
    async def test_deliver_now_skips_what_is_left_of_the_back_off(
        self, environment: WorkflowEnvironment, made: int
    ) -> None:
        blocker = Blocker(environment.get_current_time, failing(made + 1, retry_after=FOREVER))
        blocker.wait = 0.0 if made else FOREVER
        async with retrying(environment, blocker, f"now-{made}") as handle:
            with environment.auto_time_skipping_disabled():
                await _until_tried(blocker, made)
                await handle.signal(EventRetry.deliver_now)
                assert (await handle.result()).ended == 1
        assert len(blocker.times) == 2 + made

    async def test_a_delivery_that_was_skipped_meanwhile_ends_the_run(self, environment: WorkflowEnvironment) -> None:
        blocker = Blocker(environment.get_current_time, failing(99), wait=50.0, ended=True)
        async with retrying(environment, blocker, "skipped") as handle:
            assert (await handle.result()).ended == 0
        assert len(blocker.times) == 1

    async def test_trouble_of_ours_is_waited_out_and_counts_for_nothing(self, environment: WorkflowEnvironment) -> None:
        troubles = 3

        def attempt(number: int) -> AttemptResult:
            nonlocal troubles
            if troubles:
                troubles -= 1
                raise ApplicationError("the database was lost for good", type="unavailable", non_retryable=True)
            return AttemptResult(status="delivered", number=number)

        blocker = Blocker(environment.get_current_time, attempt, wait=0.0)
        async with retrying(environment, blocker, "trouble") as handle:
            assert (await handle.result()).ended == 1
        assert blocker.intervals[1:] == [5, 5, 5]


@dataclass
class Queue:
    """What the pump's runs come to, one after the other; the last one again and again."""

    results: list[PumpResult]
    clock: Clock
    asked: list[PumpRequest] = field(default_factory=list)
    times: list[float] = field(default_factory=list)

    @activity.defn(name="pump_first")
    async def pump_first(self, _: PumpRequest) -> PumpResult:
        return PumpResult(state="more")

    @activity.defn(name="pump_events")
    async def pump_events(self, request: PumpRequest) -> PumpResult:
        self.asked.append(request)
        self.times.append((await self.clock()).timestamp())
        return self.results.pop(0) if len(self.results) > 1 else self.results[0]

    @property
    def intervals(self) -> list[int]:
        return [round(later - earlier) for earlier, later in zip(self.times, self.times[1:], strict=False)]


def an_outage(probes: int, wait_seconds: float, **changes: Any) -> PumpResult:
    return PumpResult(
        state="outage", wait_seconds=wait_seconds, probes=probes, message="503", **{"retried": 1, **changes}
    )


IDLE = PumpResult(state="idle")


@asynccontextmanager
async def pumping(environment: WorkflowEnvironment, queue: Queue, name: str) -> AsyncIterator[WorkflowHandle[Any, Any]]:
    activities = [queue.pump_first, queue.pump_events]
    async with Worker(
        environment.client,
        task_queue=name,
        workflows=[EventDelivery],
        activities=activities,
        workflow_runner=sandbox(),
    ):
        yield await environment.client.start_workflow(
            EventDelivery.run,
            EventDeliveryInput(destination_id="crm", lane=0),
            id=f"{names.event_delivery_id('crm', 0)}-{name}",
            task_queue=name,
        )


class TestEventDelivery:
    async def test_it_waits_out_an_outage_with_growing_waits(self, environment: WorkflowEnvironment) -> None:
        waits = [1, 2, 4, 8, 16, 32, 60, 60, 60]
        outage = [an_outage(number, wait) for number, wait in enumerate(waits, start=1)]
        queue = Queue([*outage, PumpResult(state="idle", delivered=7)], environment.get_current_time)
        async with pumping(environment, queue, "outage") as handle:
            result = await handle.result()
        assert queue.intervals == waits
        assert (result.state, result.delivered, result.retried) == ("idle", 7, len(waits))

    async def test_each_probe_goes_on_where_the_one_before_left_off(self, environment: WorkflowEnvironment) -> None:
        queue = Queue(
            [an_outage(1, 1, probe_after=128), an_outage(2, 2, probe_after=512), IDLE], environment.get_current_time
        )
        async with pumping(environment, queue, "probes") as handle:
            await handle.result()
        assert [(asked.probes, asked.probe_after) for asked in queue.asked] == [(0, 0), (1, 128), (2, 512)]

    async def test_a_receiver_that_names_a_time_is_left_alone_until_then(
        self, environment: WorkflowEnvironment
    ) -> None:
        queue = Queue([an_outage(1, 5400), IDLE], environment.get_current_time)
        async with pumping(environment, queue, "retry-after") as handle:
            await handle.result()
        assert queue.intervals == [5400]

    @pytest.mark.parametrize("signal", ["work", "deliver_now", "pause", "resume"])
    async def test_a_signal_ends_the_wait_at_once(self, environment: WorkflowEnvironment, signal: str) -> None:
        queue = Queue([an_outage(1, FOREVER), IDLE], environment.get_current_time)
        async with pumping(environment, queue, f"signal-{signal}") as handle:
            with environment.auto_time_skipping_disabled():
                await _until(handle, EventDelivery.status, "retrying")
                await handle.signal(signal)
                assert (await handle.result()).state == "idle"
        assert len(queue.asked) == 2

    async def test_what_is_paused_ends_the_run_as_held(self, environment: WorkflowEnvironment) -> None:
        queue = Queue([an_outage(1, 60), PumpResult(state="held", delivered=2, failed=1)], environment.get_current_time)
        async with pumping(environment, queue, "held") as handle:
            result = await handle.result()
        assert (result.state, result.delivered, result.failed) == ("held", 2, 1)

    async def test_a_busy_pump_goes_on_as_new_without_losing_count(self, environment: WorkflowEnvironment) -> None:
        more = [PumpResult(state="more", delivered=1)] * 1_000
        queue = Queue([*more, IDLE], environment.get_current_time)
        async with pumping(environment, queue, "busy") as handle:
            result = await handle.result()
            latest = await environment.client.get_workflow_handle(handle.id).describe()
        assert result.delivered == 1_000
        assert latest.run_id != handle.first_execution_run_id


async def _until(handle: WorkflowHandle[Any, Any], status: Any, state: str) -> None:
    while (await handle.query(status)).state != state:
        pass


async def _until_tried(blocker: Blocker, made: int) -> None:
    """As many attempts were made, and what follows has been asked for."""
    while len(blocker.times) < 1 + made or not blocker.asked:
        await asyncio.sleep(0.01)
