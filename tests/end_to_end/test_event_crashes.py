"""SIGKILL of each part and of all, while events are taken in, sent and retried; and of parts at random for two minutes."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from tests.end_to_end.event_crash import EVENTS, STAGES, EventCrash, Stage
from tests.end_to_end.event_load import EVENTS as LOAD
from tests.end_to_end.event_load import Load
from tests.end_to_end.event_report import report
from tests.end_to_end.system import CHILDREN, System

pytestmark = [pytest.mark.crash, pytest.mark.slow]

VICTIMS = {
    "worker": ("worker",),
    "api": ("API",),
    "temporal": ("Temporal",),
    "postgresql": ("PostgreSQL",),
    "all": CHILDREN,
    "power": CHILDREN,  # and the supervisor: as when the plug is pulled; then somebody starts it again
}


@pytest.fixture(scope="module", params=VICTIMS)
def crash(request: pytest.FixtureRequest, system: System) -> EventCrash:
    crash = EventCrash(system, request.param)
    power = request.param == "power"
    asyncio.run(
        crash.run(
            lambda: system.kill(*VICTIMS[request.param], supervisor=power),
            lambda: system.start("--restart") if power else None,
        )
    )
    return crash


@pytest.fixture(params=STAGES)
def stage(request: pytest.FixtureRequest, crash: EventCrash) -> Stage:
    return crash.stages[request.param]


@pytest.fixture(scope="module", autouse=True)
def _figures() -> Iterator[None]:
    yield
    report.write()


def test_every_event_that_was_accepted_is_stored_and_arrives(crash: EventCrash, stage: Stage) -> None:
    report.add(crash, stage)
    assert stage.sender.stored.total() == EVENTS
    assert stage.stored_by_the_api == stage.sender.stored
    assert stage.evidence.missing(stage.sender.stored) == []


def test_reconciliation_finds_every_event_delivered_and_nothing_unaccounted(stage: Stage) -> None:
    assert stage.account == {"accepted": EVENTS, "delivered": EVENTS}


def test_no_event_arrives_before_the_one_before_it_was_accepted(stage: Stage) -> None:
    assert stage.evidence.too_early == []
    assert stage.evidence.unexpected_orders == {}


def test_what_came_twice_came_with_the_same_key_and_body(stage: Stage) -> None:
    assert stage.evidence.mixed_bodies == {}
    assert stage.evidence.mixed_keys == {}


SEED = 7


@pytest.fixture(scope="module")
def load(system: System) -> Load:
    load = Load(system, seed=SEED)
    asyncio.run(load.run())
    print(*load.figures, *(f"{at:6.1f} s {name}" for at, name in load.kills), sep="\n")
    report.lines = load.figures
    return load


@pytest.mark.timeout(600)
class TestRandomKillsForTwoMinutes:
    def test_every_event_that_was_accepted_is_stored(self, load: Load) -> None:
        assert load.stored.total() == LOAD
        assert load.stored_by_the_api == load.stored

    def test_every_event_arrives(self, load: Load) -> None:
        assert load.evidence.missing(load.stored) == []

    def test_reconciliation_finds_every_event_delivered_and_nothing_unaccounted(self, load: Load) -> None:
        assert load.account == {"accepted": LOAD, "delivered": LOAD}

    def test_each_profiles_events_first_arrive_in_the_order_they_were_sent(self, load: Load) -> None:
        assert load.evidence.unexpected_orders == {}
        assert load.evidence.too_early == []

    def test_what_came_twice_came_with_the_same_key_and_body(self, load: Load) -> None:
        assert load.evidence.mixed_bodies == {}
        assert load.evidence.mixed_keys == {}

    def test_every_part_was_killed_and_the_receiver_did_refuse_some(self, load: Load) -> None:
        assert {name for _, name in load.kills} == set(CHILDREN)
        assert any(not each.accepted for each in load.evidence.seen)
