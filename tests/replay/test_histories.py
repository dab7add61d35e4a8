"""Recorded runs are replayed: a change of workflow code that would break what is under way in production fails here."""

from __future__ import annotations

from pathlib import Path

import pytest
from temporalio import workflow
from temporalio.client import WorkflowHistory
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.worker import Replayer
from temporalio.workflow import NondeterminismError

from tests.replay.record import HISTORIES, SCENARIOS
from worker import sandbox
from workflows.event_delivery import EventDelivery
from workflows.event_retry import EventRetry
from workflows.profile_sync import ProfileSync

RECORDED = sorted(HISTORIES.glob("*.json"))


def _replayer() -> Replayer:
    return Replayer(
        workflows=[ProfileSync, EventDelivery, EventRetry],
        data_converter=pydantic_data_converter,
        workflow_runner=sandbox(),
    )


def _history(path: Path) -> WorkflowHistory:
    return WorkflowHistory.from_json(path.stem, path.read_text())


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.stem)
async def test_a_recorded_run_replays(path: Path) -> None:
    await _replayer().replay_workflow(_history(path))


def test_every_scenario_has_been_recorded() -> None:
    names = {scenario.__name__.replace("_", "-") for scenario in SCENARIOS}
    assert names <= {path.stem.split("-", 1)[1] for path in RECORDED}


async def test_a_run_that_went_otherwise_is_noticed() -> None:
    [path] = [path for path in RECORDED if path.stem.split("-", 1)[1] == "retried-until-delivered"]
    text = path.read_text().replace('"deliver_first"', '"deliver_otherwise"').replace("deliver_first", "other")
    with pytest.raises((NondeterminismError, RuntimeError)):
        await _replayer().replay_workflow(WorkflowHistory.from_json("changed", _without_timer(text)))


async def test_a_pump_that_waited_otherwise_is_noticed() -> None:
    [path] = [path for path in RECORDED if path.stem.split("-", 1)[1] == "event-outage-and-recovery"]
    with pytest.raises((NondeterminismError, RuntimeError)):
        await _replayer().replay_workflow(WorkflowHistory.from_json("changed", _without_timer(path.read_text())))


async def test_a_run_from_before_the_brake_would_not_replay_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workflow, "patched", lambda _: True)
    with pytest.raises((NondeterminismError, RuntimeError)):
        await _replayer().replay_workflow(_history(HISTORIES / "v1-refused-again-and-again.json"))


def _without_timer(text: str) -> str:
    """The history as if the back-off's timer had had another number."""
    return text.replace('"timerId": "1"', '"timerId": "77"')
