"""The delivery log over HTTP."""

from __future__ import annotations

from typing import Any

import pytest

from storage.database import Database
from tests.api.conftest import Api, a_destination
from tests.storage.builders import a_delivery, a_sync, an_attempt, rows
from tests.storage.test_cursors import forgeries


@pytest.fixture
async def crm(api: Api) -> None:
    await api.post("/v1/destinations", a_destination(), status=201)
    await api.post("/v1/destinations/crm/publish")
    await api.call("PATCH", "/v1/profiles/ada", {"email": "a@example.com"})


@pytest.mark.usefixtures("crm")
async def test_a_delivery_shows_its_attempts_and_its_workflow(api: Api, database: Database) -> None:
    delivery = await a_delivery(
        database, status="failed", reason="http_400", workflow_id="profile-sync/crm/ada", run_id="r1", attempts=2
    )
    await an_attempt(database, delivery, 2, outcome="definitive", error={"code": "http_400"})
    await an_attempt(database, delivery, 1, outcome="retry")
    shown = await api.get(f"/v1/deliveries/{delivery}")
    assert (shown["id"], shown["status"], shown["reason"], shown["attempt_count"]) == (
        delivery,
        "failed",
        "http_400",
        2,
    )
    assert [attempt["number"] for attempt in shown["attempts"]] == [1, 2]
    assert shown["attempts"][1]["error"] == {"code": "http_400"}
    assert shown["attempts"][0]["request"]["url"] == "https://crm.example.com"
    assert shown["workflow"]["url"] == (
        "http://temporal.example:8233/namespaces/default/workflows/profile-sync%2Fcrm%2Fada/r1/history"
    )


@pytest.mark.usefixtures("crm")
async def test_deliveries_are_listed_newest_first_page_by_page(api: Api, database: Database) -> None:
    made = [await a_delivery(database) for _ in range(5)]
    seen: list[str] = []
    query: dict[str, Any] = {"limit": 2}
    while True:
        page = await api.get("/v1/deliveries", params=query)
        seen += [each["id"] for each in page["data"]]
        if page["next_cursor"] is None:
            break
        query["cursor"] = page["next_cursor"]
    assert seen == made[::-1]


@pytest.mark.usefixtures("crm")
async def test_filters_narrow_the_list(api: Api, database: Database) -> None:
    failed = await a_delivery(database, status="failed", mapping_id="other")
    event = "0198c6a0-7b5e-7c3a-8f00-5d1f0c2b7a11"
    of_event = await a_delivery(database, kind="event", event_id=event, profile_id="bob")

    async def found(**query: str) -> list[str]:
        return [each["id"] for each in (await api.get("/v1/deliveries", params=query))["data"]]

    assert await found(status="failed") == [failed]
    assert await found(mapping="other") == [failed]
    assert await found(kind="event", profile="bob", event=event, destination="crm") == [of_event]
    assert await found(profile="nobody") == []
    assert await found(since="2000-01-01T00:00:00Z", until="2001-01-01T00:00:00Z") == []


@pytest.mark.usefixtures("crm")
async def test_what_a_pause_holds_is_shown_as_held(api: Api, database: Database) -> None:
    retrying = await a_delivery(database, status="retrying", reason="http_503")
    sending = await a_delivery(database, status="delivering")
    await api.post("/v1/destinations/crm/pause")
    shown = {each["id"]: (each["status"], each["reason"]) for each in (await api.get("/v1/deliveries"))["data"]}
    assert shown == {retrying: ("held", "paused"), sending: ("delivering", None)}
    held = (await api.get("/v1/deliveries", params={"status": "held"}))["data"]
    assert [each["id"] for each in held] == [retrying]
    assert (await api.get("/v1/deliveries", params={"status": "retrying"}))["data"] == []


@pytest.mark.usefixtures("crm")
async def test_a_retry_of_what_was_delivered_is_refused(api: Api, database: Database) -> None:
    delivery = await a_delivery(database)
    answer = await api.call("POST", f"/v1/deliveries/{delivery}/retry", key="operate")
    assert (answer.status_code, answer.json()["code"]) == (409, "conflict")


@pytest.mark.usefixtures("crm")
async def test_a_failed_delivery_comes_back_when_it_is_retried(api: Api, database: Database) -> None:
    delivery = await a_delivery(database, status="failed", reason="http_400", attempts=15)
    await rows(
        database,
        "insert into sync_mappings (destination_id, profile_id, mapping_id, settled_version, delivery_id, status)"
        " values ('crm', 'ada', 'contact', 1, :id, 'failed') returning 1",
        id=delivery,
    )
    await a_sync(database, "crm", "ada", state="failed")
    back = await api.post(f"/v1/deliveries/{delivery}/retry", key="operate")
    assert (back["id"], back["status"], back["reason"]) == (delivery, "queued", "retry_requested")
    assert (await api.get("/v1/profiles/ada/syncs"))["data"][0]["state"] == "waiting"


async def test_what_never_was_cannot_be_read_or_retried(api: Api) -> None:
    path = "/v1/deliveries/0198c6a0-7b5e-7c3a-8f00-5d1f0c2b7a11"
    assert (await api.call("GET", path)).status_code == 404
    assert (await api.call("POST", f"{path}/retry")).status_code == 404


LISTS = ["/v1/deliveries", "/v1/destinations", "/v1/credentials", "/v1/keys", "/v1/destinations/crm/revisions"]


@pytest.mark.usefixtures("crm")
@pytest.mark.parametrize("path", LISTS)
async def test_a_cursor_of_ones_own_making_is_refused(api: Api, path: str) -> None:
    for cursor in forgeries():
        answer = await api.call("GET", path, params={"cursor": cursor})
        assert answer.status_code == 422, (cursor, answer.text)
        assert answer.json()["errors"][0]["path"] == "cursor"
