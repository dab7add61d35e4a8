"""Being woken: which lanes a notification names, and that nobody who is to stop goes on because it was woken just then."""

from __future__ import annotations

import asyncio

import pytest

from storage.notifications import EVENTS, MAX_PAYLOADS, WORK, Wake


async def test_a_wake_up_in_the_same_moment_does_not_swallow_a_cancellation() -> None:
    wake = Wake()
    waiting = asyncio.create_task(wake.wait(60))
    await asyncio.sleep(0)
    wake.notified(WORK, "")
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting


def test_lanes_are_named_once_each_and_forgotten_when_they_were_asked_for() -> None:
    wake = Wake()
    wake.notified(EVENTS, "crm/0 crm/3")
    wake.notified(EVENTS, "crm/0 a-b_c/1")
    assert wake.take_lanes() == {("crm", 0), ("crm", 3), ("a-b_c", 1)}
    assert wake.take_lanes() == set()


def test_too_many_lanes_or_none_named_are_all_of_them() -> None:
    wake = Wake()
    wake.notified(EVENTS, "")
    assert wake.take_lanes() is None
    wake.notified(EVENTS, " ".join(f"d{number}/0" for number in range(MAX_PAYLOADS + 1)))
    assert wake.take_lanes() is None


def test_other_work_names_no_lanes() -> None:
    wake = Wake()
    wake.notified(WORK, "")
    assert wake.take_lanes() == set()
    assert wake.event.is_set()
