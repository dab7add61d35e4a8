"""What the events of one profile wait for, over HTTP."""

from __future__ import annotations

from typing import Any

import pytest

from domain.events import lane_of
from storage.database import Database
from storage.events import Events
from tests.api.conftest import A_MAPPING, Api, a_destination
from tests.builders import an_event, an_event_mapping
from tests.storage.builders import rows

EVENTS_ONLY = [an_event_mapping()]


async def make(api: Api, destination_id: str, mappings: list[dict[str, Any]]) -> None:
    await api.post("/v1/destinations", a_destination(id=destination_id, mappings=mappings), status=201)
    await api.post(f"/v1/destinations/{destination_id}/publish")


@pytest.fixture
async def crm(api: Api) -> None:
    await make(api, "crm", EVENTS_ONLY)


async def happen(database: Database, count: int, *, profile: str = "ada") -> None:
    await Events(database).store([an_event(profile) for _ in range(count)])


async def block(database: Database, *, destination: str = "crm") -> str:
    """The first of ada's events fails for now."""
    (made,) = await rows(
        database,
        "update deliveries set status = 'retrying', reason = 'http_503', message = '503 Service Unavailable', attempts = 2,"
        " next_attempt_at = '2030-01-01T00:00:00Z' where id = ("
        " select id from deliveries where profile_id = 'ada' and destination_id = :destination order by position limit 1)"
        " returning id",
        destination=destination,
    )
    await rows(
        database,
        "insert into event_retries (destination_id, profile_id, lane, delivery_id, run_id)"
        " select destination_id, profile_id, lane, id, 'r1' from deliveries where id = :id returning 1",
        id=made["id"],
    )
    return str(made["id"])


async def syncs(api: Api) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await api.get("/v1/profiles/ada/syncs"))["data"]
    return found


@pytest.mark.usefixtures("crm")
async def test_a_destination_that_takes_only_events_is_listed_while_some_wait(api: Api, database: Database) -> None:
    await happen(database, 3)
    (shown,) = await syncs(api)
    assert (shown["destination_id"], shown["state"], shown["message"]) == ("crm", "waiting", "events wait their turn")
    assert (shown["wanted_version"], shown["delivered_version"], shown["mappings"]) == (None, None, [])
    assert shown["events"] == {"queued": 3, "blocker": None}
    assert shown["workflow"]["id"] == f"event-delivery/crm/{lane_of('ada')}"


@pytest.mark.usefixtures("crm")
async def test_the_workflow_shown_is_the_pump_that_serves_the_lane(api: Api, database: Database) -> None:
    await happen(database, 1)
    await rows(
        database,
        "insert into event_lanes (destination_id, lane, home) values ('crm', :lane, 3) returning 1",
        lane=lane_of("ada"),
    )
    assert (await syncs(api))[0]["workflow"]["id"] == "event-delivery/crm/3"


@pytest.mark.usefixtures("crm")
async def test_a_blocker_is_named_with_its_next_attempt_and_its_run(api: Api, database: Database) -> None:
    await happen(database, 3)
    delivery = await block(database)
    (shown,) = await syncs(api)
    assert (shown["state"], shown["reason"], shown["next_attempt_at"]) == (
        "retrying",
        "http_503",
        "2030-01-01T00:00:00Z",
    )
    (event,) = await rows(database, "select event_id from deliveries where id = :id", id=delivery)
    blocker = shown["events"]["blocker"]
    assert shown["events"]["queued"] == 2
    assert {**blocker, "workflow": blocker["workflow"]["id"]} == {
        "delivery_id": delivery,
        "event_id": event["event_id"],
        "mapping_id": "events",
        "status": "retrying",
        "reason": "http_503",
        "message": "503 Service Unavailable",
        "attempt_count": 2,
        "next_attempt_at": "2030-01-01T00:00:00Z",
        "workflow": "event-retry/crm/ada",
    }
    assert blocker["workflow"]["url"].endswith("/event-retry%2Fcrm%2Fada/r1/history")
    assert shown["workflow"] == blocker["workflow"]


@pytest.mark.usefixtures("crm")
async def test_a_pause_holds_events_and_their_blocker(api: Api, database: Database) -> None:
    await happen(database, 2)
    await block(database)
    await api.post("/v1/destinations/crm/pause", {"reason": "maintenance"})
    (shown,) = await syncs(api)
    said = "the destination is paused: maintenance; the last attempt: 503 Service Unavailable"
    assert (shown["state"], shown["reason"], shown["message"]) == ("held", "paused", said)
    blocker = shown["events"]["blocker"]
    assert (blocker["status"], blocker["message"], blocker["next_attempt_at"]) == ("held", said, None)


@pytest.mark.usefixtures("crm")
async def test_an_outage_is_said(api: Api, database: Database) -> None:
    await happen(database, 1)
    await rows(
        database,
        "insert into event_lanes (destination_id, lane, home, outage_since)"
        " values ('crm', 0, 0, '2026-01-01T00:00:00Z') returning 1",
    )
    assert (await syncs(api))[0]["reason"] == "outage"
    assert (await api.get("/v1/destinations/crm"))["outage_since"] == "2026-01-01T00:00:00Z"


async def test_a_sync_keeps_its_own_state_beside_the_events(api: Api, database: Database) -> None:
    await make(api, "both", [A_MAPPING, *EVENTS_ONLY])
    await make(api, "also", EVENTS_ONLY)
    await api.call("PATCH", "/v1/profiles/ada", {"email": "a@example.com"})
    (alone,) = await syncs(api)
    assert (alone["destination_id"], alone["events"]) == ("both", None)
    await happen(database, 2)
    await block(database, destination="both")
    also, both = await syncs(api)
    assert (also["destination_id"], also["state"], also["events"]["queued"]) == ("also", "waiting", 2)
    assert (both["state"], both["reason"], both["wanted_version"]) == ("waiting", "debouncing", 1)
    assert (both["events"]["queued"], both["events"]["blocker"]["status"]) == (1, "retrying")
    assert both["workflow"]["id"] == "profile-sync/both/ada"


@pytest.mark.usefixtures("crm")
async def test_events_of_others_and_ended_ones_do_not_show(api: Api, database: Database) -> None:
    await happen(database, 2)
    await happen(database, 2, profile="bob")
    await rows(database, "update deliveries set status = 'delivered' where profile_id = 'ada' returning 1")
    assert await syncs(api) == []


@pytest.mark.usefixtures("crm")
async def test_a_destination_says_how_many_events_wait_or_are_held(api: Api, database: Database) -> None:
    await happen(database, 3)
    await happen(database, 2, profile="bob")
    await block(database)
    running = await api.get("/v1/destinations/crm")
    assert (running["queued"], running["held"], running["outage_since"]) == (4, 0, None)
    paused = await api.post("/v1/destinations/crm/pause")
    assert (paused["queued"], paused["held"]) == (0, 5)


@pytest.mark.usefixtures("crm")
async def test_the_queue_is_exported_for_monitoring(api: Api, database: Database) -> None:
    await make(api, "off", EVENTS_ONLY)
    await happen(database, 3)
    await block(database)
    await api.post("/v1/destinations/off/pause")
    await rows(
        database,
        "insert into event_lanes (destination_id, lane, home, outage_since)"
        " values ('crm', 0, 0, now()), ('off', 0, 0, null) returning 1",
    )
    await rows(database, "update deliveries set created_at = now() - interval '1 hour' returning 1")
    exposed = (await api.call("GET", "/metrics")).text.splitlines()
    for line in (
        'sluice_event_queue{destination="crm",state="queued"} 2.0',
        'sluice_event_queue{destination="crm",state="retrying"} 1.0',
        'sluice_event_queue{destination="off",state="held"} 3.0',
        'sluice_event_outages{destination="crm"} 1.0',
        'sluice_event_outages{destination="off"} 0.0',
    ):
        assert line in exposed
    lags = [line for line in exposed if line.startswith("sluice_oldest_queued_event_seconds{")]
    assert [float(line.split()[1]) >= 3600 for line in lags] == [True]


@pytest.mark.usefixtures("crm")
async def test_what_waits_for_its_profile_is_no_lag(api: Api, database: Database) -> None:
    await happen(database, 2)
    await block(database)
    await rows(
        database,
        "insert into event_lanes (destination_id, lane, home, scanned)"
        " select 'crm', lane, lane, max(position) from deliveries group by lane returning 1",
    )
    assert "sluice_oldest_queued_event_seconds{" not in (await api.call("GET", "/metrics")).text
