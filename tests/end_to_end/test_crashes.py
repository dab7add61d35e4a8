"""SIGKILL of each part and of all, while thirty profiles each are in a debounce, on the wire and in a back-off."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterator

import pytest

from tests.end_to_end.crash import PROFILES, STAGES, Crash, Stage
from tests.end_to_end.report import report
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
def crash(request: pytest.FixtureRequest, system: System) -> Crash:
    crash = Crash(system, request.param)
    power = request.param == "power"
    asyncio.run(
        crash.run(
            lambda: system.kill(*VICTIMS[request.param], supervisor=power),
            lambda: system.start("--restart") if power else None,
        )
    )
    return crash


@pytest.fixture(params=STAGES)
def stage(request: pytest.FixtureRequest, crash: Crash) -> Stage:
    return crash.stages[request.param]


@pytest.fixture(scope="module", autouse=True)
def _figures() -> Iterator[None]:
    yield
    report.write()


def test_every_profile_arrives_in_its_latest_state(crash: Crash, stage: Stage) -> None:
    report.add(crash, stage)
    assert {profile_id: versions[-1] for profile_id, versions in stage.versions().items()} == stage.latest
    assert stage.is_delivered


def test_reconciliation_finds_every_profile_delivered_and_nothing_unaccounted(stage: Stage) -> None:
    counted = {name: number for name, number in stage.account.items() if number and name != "destination_id"}
    assert counted == {"accepted": PROFILES, "delivered": PROFILES}


def test_what_came_twice_came_with_the_same_key(stage: Stage) -> None:
    keys: dict[bytes, set[str]] = defaultdict(set)
    for request in stage.requests:
        keys[request.body].add(request.key)
    assert {body: found for body, found in keys.items() if len(found) > 1} == {}


def test_no_profile_goes_backwards(stage: Stage) -> None:
    assert {profile: seen for profile, seen in stage.versions().items() if seen != sorted(seen)} == {}
