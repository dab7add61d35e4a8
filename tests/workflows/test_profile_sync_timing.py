"""The hours of a sync, in milliseconds: the workflow on the time-skipping server, told what to do by scripted activities."""

from __future__ import annotations

import asyncio
import sysconfig
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from temporalio import activity
from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest
from temporalio.client import WorkflowFailureError, WorkflowHandle
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker

from activities.errors import retry_later
from activities.messages import AttemptResult, DeliveryOrder, Plan, PrepareInput, RetryPlan, Settled
from domain.destinations import Retry
from worker import sandbox
from workflows import names, policies
from workflows.messages import ProfileSyncInput
from workflows.profile_sync import ProfileSync

DEFAULT = Retry()


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


def an_order(used: int = 0, mapping: str = "sync", retry: Retry = DEFAULT) -> DeliveryOrder:
    plan = RetryPlan.model_validate(retry.model_dump())
    return DeliveryOrder(
        delivery_id="d1", destination_id="crm", mapping_id=mapping, attempts_used=used, retry=plan, only=True
    )


@dataclass
class Script:
    """What `prepare` says, call by call (the last answer again and again), and what each attempt comes to."""

    plans: list[Plan | Callable[[PrepareInput], Plan]]
    attempt: Callable[[int], AttemptResult]
    clock: Callable[[], Any]
    asked: list[PrepareInput] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    in_activity: int = 0

    @activity.defn(name="prepare")
    async def prepare(self, request: PrepareInput) -> Plan:
        self.asked.append(request)
        plan = self.plans.pop(0) if len(self.plans) > 1 else self.plans[0]
        return plan if isinstance(plan, Plan) else plan(request)

    @activity.defn(name="deliver_first")
    async def deliver_first(self, _: DeliveryOrder) -> AttemptResult:
        return await self._attempt()

    @activity.defn(name="deliver")
    async def deliver(self, _: DeliveryOrder) -> AttemptResult:
        self.in_activity += 1
        result = await self._attempt()
        if result.status in ("retry", "busy"):
            raise retry_later(result.message or "", result.code, result.retry_in_seconds or 0)
        return result

    async def _attempt(self) -> AttemptResult:
        self.times.append((await self.clock()).timestamp())
        return self.attempt(len(self.times))

    @property
    def intervals(self) -> list[int]:
        return [round(later - earlier) for earlier, later in zip(self.times, self.times[1:], strict=False)]


def failing(until: int, retry: Retry = DEFAULT, retry_after: float = 0) -> Callable[[int], AttemptResult]:
    """Attempts fail with 503 up to number `until`; the policy's last one fails for good."""

    def attempt(number: int) -> AttemptResult:
        if number > until:
            return AttemptResult(status="delivered", number=number, settled=True)
        if number >= retry.attempts:
            return AttemptResult(status="failed", code="http_503", message="gave up", number=number)
        delay = max(retry.delay_seconds(number), retry_after)
        return AttemptResult(status="retry", code="http_503", number=number, retry_in_seconds=delay)

    return attempt


def limited(seconds: float) -> AttemptResult:
    return AttemptResult(status="busy", code="rate_limited", message="waits for its turn", retry_in_seconds=seconds)


GAVE_UP = Plan(settled=Settled(state="failed", reason="http_503", message="gave up after 15 attempts"))
DELIVERED = Plan(settled=Settled(state="idle"))


@asynccontextmanager
async def running(
    environment: WorkflowEnvironment, script: Script, name: str
) -> AsyncIterator[WorkflowHandle[Any, Any]]:
    async with Worker(
        environment.client,
        task_queue=name,
        workflows=[ProfileSync],
        activities=[script.prepare, script.deliver_first, script.deliver],
        workflow_runner=sandbox(),
    ):
        yield await environment.client.start_workflow(
            ProfileSync.run,
            ProfileSyncInput(destination_id="crm", profile_id="u1"),
            id=f"{names.profile_sync_id('crm', 'u1')}-{name}",
            task_queue=name,
        )


async def test_the_default_schedule_is_fifteen_attempts_over_three_hours_and_eight_minutes(
    environment: WorkflowEnvironment,
) -> None:
    script = Script([Plan(deliveries=[an_order()]), GAVE_UP], failing(99), environment.get_current_time)
    async with running(environment, script, "schedule") as handle:
        with pytest.raises(WorkflowFailureError) as failure:
            await handle.result()
    assert script.intervals == [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 3600, 3600]
    assert sum(script.intervals) == 11_295
    assert "gave up after 15 attempts" in str(failure.value.cause)


async def test_the_receivers_wait_counts_when_it_is_longer_than_the_policys(environment: WorkflowEnvironment) -> None:
    attempt = failing(2, retry_after=777)
    script = Script([Plan(deliveries=[an_order()]), DELIVERED], attempt, environment.get_current_time)
    async with running(environment, script, "retry-after") as handle:
        await handle.result()
    assert script.intervals == [777, 777]


async def test_attempts_used_before_count(environment: WorkflowEnvironment) -> None:
    script = Script(
        [Plan(deliveries=[an_order(used=13)]), GAVE_UP],
        lambda number: failing(99)(number + 13),
        environment.get_current_time,
    )
    async with running(environment, script, "used") as handle:
        with pytest.raises(WorkflowFailureError):
            await handle.result()
    assert script.intervals == [3600]


async def test_it_waits_for_the_quiet_time_and_looks_again(environment: WorkflowEnvironment) -> None:
    plans = [Plan(wait_seconds=3600), Plan(wait_seconds=1800), Plan(deliveries=[an_order()])]
    script = Script([*plans, DELIVERED], failing(0), environment.get_current_time)
    started = (await environment.get_current_time()).timestamp()
    async with running(environment, script, "quiet") as handle:
        await handle.result()
    assert round(script.times[0] - started) == 5400


async def test_pause_ends_a_back_off_and_resume_goes_on(environment: WorkflowEnvironment) -> None:
    hold = Plan(held=True)
    script = Script(
        [Plan(deliveries=[an_order()]), hold, Plan(deliveries=[an_order(used=1)]), DELIVERED],
        failing(1, retry_after=100_000),
        environment.get_current_time,
    )
    async with running(environment, script, "pause") as handle:
        with environment.auto_time_skipping_disabled():
            await _until(handle, "retrying")
            await handle.signal(ProfileSync.pause)
            await _until(handle, "held")
            assert len(script.times) == 1
            await handle.signal(ProfileSync.resume)
            assert (await handle.result()).state == "delivered"
    assert script.asked[1].under_way == []


async def test_a_workflow_that_holds_looks_again_by_itself(environment: WorkflowEnvironment) -> None:
    script = Script(
        [Plan(held=True), Plan(held=True), Plan(deliveries=[an_order()]), DELIVERED],
        failing(0),
        environment.get_current_time,
    )
    started = (await environment.get_current_time()).timestamp()
    async with running(environment, script, "recheck") as handle:
        await handle.result()
    assert round(script.times[0] - started) == 7200


async def test_deliver_now_skips_the_quiet_time(environment: WorkflowEnvironment) -> None:
    def planned(request: PrepareInput) -> Plan:
        return Plan(deliveries=[an_order()]) if request.now else Plan(wait_seconds=100_000)

    script = Script([planned], failing(0), environment.get_current_time)
    async with running(environment, script, "now") as handle:
        with environment.auto_time_skipping_disabled():
            await _until_asked(script, 1)
            await handle.signal(ProfileSync.deliver_now)
            assert (await handle.result()).state == "delivered"


async def test_a_busy_destination_is_left_to_the_ordinary_activity(environment: WorkflowEnvironment) -> None:
    answers = {1: AttemptResult(status="busy"), 2: AttemptResult(status="delivered", number=1, settled=True)}
    script = Script([Plan(deliveries=[an_order()]), DELIVERED], answers.__getitem__, environment.get_current_time)
    async with running(environment, script, "busy") as handle:
        await handle.result()
    assert script.in_activity == 1


async def test_waiting_for_a_turn_uses_up_none_of_the_declared_attempts(environment: WorkflowEnvironment) -> None:
    retry = Retry(attempts=2, initial_seconds=7)

    def attempt(number: int) -> AttemptResult:
        return limited(60) if number <= 30 else failing(1, retry)(number - 30)

    script = Script([Plan(deliveries=[an_order(retry=retry)]), DELIVERED], attempt, environment.get_current_time)
    async with running(environment, script, "turns") as handle:
        assert (await handle.result()).state == "delivered"
    assert script.intervals == [0, *[60] * 29, 7]


async def test_a_run_whose_turn_never_comes_asks_what_to_do_and_goes_on(
    environment: WorkflowEnvironment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(policies, "ATTEMPTS_NOT_MADE", 3)
    retry = Retry(attempts=1)
    script = Script(
        [*[Plan(deliveries=[an_order(used=1, retry=retry)])] * 3, DELIVERED],
        lambda number: failing(0)(number) if number > 10 else limited(60),
        environment.get_current_time,
    )
    async with running(environment, script, "never-a-turn") as handle:
        assert (await handle.result()).state == "delivered"
    assert script.intervals == [60, 60, 60, 0, 60, 60, 60, 0, 60, 60]


async def test_what_is_refused_again_and_again_is_not_asked_for_in_a_tight_loop(
    environment: WorkflowEnvironment,
) -> None:
    script = Script(
        [*[Plan(deliveries=[an_order()])] * 6, DELIVERED],
        lambda number: AttemptResult(status="gone") if number <= 5 else failing(0)(number),
        environment.get_current_time,
    )
    async with running(environment, script, "brake") as handle:
        assert (await handle.result()).state == "delivered"
    assert script.intervals == [0, 5, 5, 5, 5]


async def test_a_signal_releases_the_brake(environment: WorkflowEnvironment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(policies, "AFTER_TROUBLE", timedelta(hours=1))
    script = Script(
        [*[Plan(deliveries=[an_order()])] * 2, Plan(deliveries=[an_order()]), DELIVERED],
        lambda number: AttemptResult(status="gone") if number <= 2 else failing(0)(number),
        environment.get_current_time,
    )
    async with running(environment, script, "released") as handle:
        with environment.auto_time_skipping_disabled():
            await _until_tried(script, 2)
            await handle.signal(ProfileSync.deliver_now)
            await asyncio.wait_for(_until_tried(script, 3), 30)
            assert (await handle.result()).state == "delivered"


async def test_a_change_that_arrives_while_settling_is_looked_at(environment: WorkflowEnvironment) -> None:
    def wait_then_settle(_: PrepareInput) -> Plan:
        return Plan(wait_seconds=50)

    script = Script(
        [wait_then_settle, Plan(deliveries=[an_order()]), DELIVERED], failing(0), environment.get_current_time
    )
    async with running(environment, script, "while-settling") as handle:
        await handle.signal(ProfileSync.profile_changed)
        assert (await handle.result()).state == "delivered"


async def test_a_long_history_is_continued_as_new(environment: WorkflowEnvironment) -> None:
    rounds = 0

    def plan(_: PrepareInput) -> Plan:
        nonlocal rounds
        rounds += 1
        return Plan(wait_seconds=60) if rounds < 900 else DELIVERED

    script = Script([plan], failing(0), environment.get_current_time)
    async with running(environment, script, "continued") as handle:
        first_run = handle.first_execution_run_id
        assert (await handle.result()).state == "delivered"
        latest = await environment.client.get_workflow_handle(handle.id).describe()
    assert latest.run_id != first_run


@pytest.mark.parametrize(("state", "reason"), [("skipped", "prerequisite_false"), ("discarded", "destination_deleted")])
async def test_what_is_not_sent_ends_with_the_reason(environment: WorkflowEnvironment, state: Any, reason: str) -> None:
    script = Script([Plan(settled=Settled(state=state, reason=reason))], failing(0), environment.get_current_time)
    async with running(environment, script, f"ends-{state}") as handle:
        result = await handle.result()
    assert (result.state, result.reason, script.times) == (state, reason, [])


async def _until(handle: WorkflowHandle[Any, Any], state: str) -> None:
    while (await handle.query(ProfileSync.status)).state != state:
        pass


async def _until_tried(script: Script, count: int) -> None:
    while len(script.times) < count:
        await asyncio.sleep(0.01)


async def _until_asked(script: Script, count: int) -> None:
    while len(script.asked) < count:
        await asyncio.sleep(0.01)
