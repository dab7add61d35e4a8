"""Retrying, skipping and parking event deliveries over HTTP."""

from __future__ import annotations

import pytest

from storage.database import Database
from storage.events import Events
from tests.api.conftest import Api, a_destination
from tests.builders import an_event, an_event_mapping
from tests.storage.builders import a_delivery, rows


@pytest.fixture
async def queued(api: Api, database: Database) -> str:
    """A queued event delivery."""
    await api.post("/v1/destinations", a_destination(mappings=[an_event_mapping()]), status=201)
    await api.post("/v1/destinations/crm/publish")
    await Events(database).store([an_event("ada")])
    (found,) = await rows(database, "select id from deliveries")
    return str(found["id"])


async def test_a_skipped_event_says_who_skipped_it(api: Api, queued: str) -> None:
    shown = await api.post(f"/v1/deliveries/{queued}/skip", key="operate")
    assert (shown["status"], shown["reason"], shown["message"]) == (
        "skipped",
        "skipped_by_operator",
        "an operator skipped it",
    )
    assert shown["finished_at"] is not None


async def test_a_parked_event_is_a_dead_letter_that_a_retry_brings_back(api: Api, queued: str) -> None:
    parked = await api.post(f"/v1/deliveries/{queued}/park", key="operate")
    assert (parked["status"], parked["reason"]) == ("failed", "parked")
    back = await api.post(f"/v1/deliveries/{queued}/retry", key="operate")
    assert (back["status"], back["reason"], back["finished_at"]) == ("queued", "retry_requested", None)


async def test_what_a_pause_holds_can_be_skipped(api: Api, queued: str) -> None:
    await api.post("/v1/destinations/crm/pause")
    assert (await api.post(f"/v1/deliveries/{queued}/skip"))["status"] == "skipped"
    assert (await api.get("/v1/destinations/crm"))["held"] == 0


@pytest.mark.parametrize("action", ["skip", "park"])
async def test_what_is_being_sent_is_left_alone(api: Api, database: Database, queued: str, action: str) -> None:
    await rows(database, "update deliveries set status = 'delivering' returning 1")
    answer = await api.call("POST", f"/v1/deliveries/{queued}/{action}")
    assert (answer.status_code, answer.json()["code"]) == (409, "conflict")
    assert answer.json()["message"] == "an attempt is being made; try again when it has ended"


@pytest.mark.parametrize("action", ["skip", "park"])
async def test_a_profile_sync_is_neither_skipped_nor_parked(
    api: Api, database: Database, queued: str, action: str
) -> None:
    sync = await a_delivery(database, status="retrying")
    answer = await api.call("POST", f"/v1/deliveries/{sync}/{action}")
    assert (answer.status_code, answer.json()["code"]) == (409, "conflict")
    assert "only deliveries of events" in answer.json()["message"]


async def test_a_test_is_not_retried(api: Api, database: Database, queued: str) -> None:
    test = await a_delivery(database, kind="test", status="failed", profile_id=None)
    answer = await api.call("POST", f"/v1/deliveries/{test}/retry")
    assert (answer.status_code, answer.json()["message"]) == (409, "a test is not retried; send another one")


@pytest.mark.parametrize("action", ["retry", "skip", "park"])
async def test_what_never_was_is_not_found(api: Api, action: str) -> None:
    assert (await api.call("POST", f"/v1/deliveries/0198c6a0-7b5e-7c3a-8f00-5d1f0c2b7a11/{action}")).status_code == 404
