"""What was received, as operators read it, and what became of it."""

from __future__ import annotations

from typing import Any

import pytest

from storage.database import Database
from storage.events import Events
from tests.api.conftest import Api, a_destination
from tests.builders import a_mapping, a_spec, an_event, an_event_mapping, publish
from tests.storage.builders import rows
from tests.storage.test_cursors import forgeries


async def tracked(api: Api, user: str = "ada", event: str = "signed_up", **more: Any) -> str:
    return str((await api.post("/v1/track", {"userId": user, "event": event, **more}))["id"])


async def listed(api: Api, **query: Any) -> list[str]:
    return [each["id"] for each in (await api.get("/v1/events", params=query, key="operate"))["data"]]


async def fates(api: Api, event: str) -> dict[str, dict[str, Any]]:
    """By destination and mapping."""
    shown = await api.get(f"/v1/events/{event}", key="operate")
    return {f"{each['destination_id']}/{each['mapping_id']}": each for each in shown["destinations"]}


async def why(api: Api, event: str) -> dict[str, tuple[str, str | None]]:
    return {place: (fate["status"], fate["reason"]) for place, fate in (await fates(api, event)).items()}


async def settle(database: Database, event: str, **changes: Any) -> str:
    """Brings the event's deliveries into another state, and answers the id of one."""
    assignments = ", ".join(f"{name} = :{name}" for name in changes)
    found = await rows(
        database, f"update deliveries set {assignments} where event_id = :event returning id", event=event, **changes
    )
    return str(found[0]["id"])


async def block(database: Database, delivery: str) -> None:
    await rows(
        database,
        "insert into event_retries (destination_id, profile_id, lane, delivery_id)"
        " select destination_id, profile_id, lane, id from deliveries where id = :id returning 1",
        id=delivery,
    )


class TestList:
    async def test_events_are_listed_newest_first_page_by_page(self, api: Api) -> None:
        made = [await tracked(api) for _ in range(5)]
        seen: list[str] = []
        query: dict[str, Any] = {"limit": 2}
        while True:
            page = await api.get("/v1/events", params=query)
            seen += [each["id"] for each in page["data"]]
            if page["next_cursor"] is None:
                break
            query["cursor"] = page["next_cursor"]
        assert seen == made[::-1]

    async def test_filters_narrow_the_list(self, api: Api, database: Database) -> None:
        plain = await tracked(api)
        bought = await tracked(api, "bob", "bought")
        await api.post("/v1/batch", {"batch": [{"type": "page", "userId": "ada", "name": "Home"}]})
        [page] = [each for each in await listed(api) if each not in (plain, bought)]
        sourced = an_event("carl")
        await Events(database).store([sourced], source_id="website")
        assert await listed(api, profile="bob") == [bought]
        assert await listed(api, name="bought") == [bought]
        assert await listed(api, type="page") == [page]
        assert await listed(api, source="website") == [sourced.id]
        assert await listed(api, source="") == [page, bought, plain]
        assert await listed(api, profile="ada", name="signed_up", type="track", source="") == [plain]
        assert await listed(api, profile="ada", name="bought") == []

    async def test_a_span_of_time_includes_its_beginning_and_not_its_end(self, api: Api, database: Database) -> None:
        events = [await tracked(api) for _ in range(3)]
        days = ("2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z", "2026-01-03T00:00:00Z")
        for event, day in zip(events, days, strict=True):
            # An id whose clock is half a day off that of the database.
            milliseconds = "extract(epoch from cast(cast(:day as text) as timestamptz) - interval '12 hours') * 1000"
            new_id = f"lpad(to_hex(cast({milliseconds} as bigint)), 12, '0') || right(replace(id::text, '-', ''), 20)"
            await rows(
                database,
                f"update events set id = cast({new_id} as uuid),"
                " received_at = cast(cast(:day as text) as timestamptz) where id = :id returning 1",
                id=event,
                day=day,
            )
        received = [each["received_at"] for each in (await api.get("/v1/events"))["data"]]
        assert received == list(days)[::-1]

        async def between(**query: str) -> list[str]:
            return [each["received_at"] for each in (await api.get("/v1/events", params=query))["data"]]

        assert await between(since=days[1]) == [days[2], days[1]]
        assert await between(until=days[1]) == [days[0]]
        assert await between(since=days[1], until=days[2]) == [days[1]]
        assert await between(since="1970-01-01T00:00:00Z", until="9000-01-01T00:00:00Z") == received

    async def test_each_says_how_many_deliveries_are_in_each_status(self, api: Api, database: Database) -> None:
        await publish(database, "crm", a_spec(mappings=[an_event_mapping(), an_event_mapping(id="more")]))
        await publish(database, "chat", a_spec(mappings=[an_event_mapping()]))
        first, second = await tracked(api), await tracked(api)
        await rows(database, "update deliveries set status = 'delivered' where event_id = :e returning 1", e=first)
        await rows(
            database,
            "update deliveries set status = 'retrying' where event_id = :e and mapping_id = 'more' returning 1",
            e=second,
        )
        await api.post("/v1/destinations/chat/pause")
        shown = {each["id"]: each["deliveries"] for each in (await api.get("/v1/events"))["data"]}
        assert shown == {first: {"delivered": 3}, second: {"queued": 1, "retrying": 1, "held": 1}}

    async def test_an_event_that_nobody_takes_is_listed_with_none(self, api: Api) -> None:
        event = await tracked(api)
        [shown] = (await api.get("/v1/events"))["data"]
        assert (shown["id"], shown["deliveries"], shown["name"], shown["type"]) == (event, {}, "signed_up", "track")

    async def test_a_cursor_of_ones_own_making_is_refused(self, api: Api) -> None:
        for cursor in forgeries():
            answer = await api.call("GET", "/v1/events", params={"cursor": cursor})
            assert answer.status_code == 422, (cursor, answer.text)

    @pytest.mark.parametrize(
        "query",
        [
            {"colour": "red"},
            {"type": "smoke"},
            {"since": "yesterday"},
            {"since": "2026-01-01T00:00:00"},
            {"until": "9999-12-31T23:59:59Z"},
            {"profile": "a\x00b"},
            {"limit": 0},
        ],
    )
    async def test_a_filter_that_makes_no_sense_is_refused(self, api: Api, query: dict[str, Any]) -> None:
        assert (await api.call("GET", "/v1/events", params=query)).status_code == 422


class TestOne:
    async def test_it_is_shown_as_stored(self, api: Api) -> None:
        event = await tracked(api, properties={"b": 1, "a": [None, {"x": 1.5}]}, messageId="m1")
        shown = await api.get(f"/v1/events/{event}", key="operate")
        assert (shown["id"], shown["source_id"], shown["type"], shown["name"]) == (event, "", "track", "signed_up")
        assert (shown["profile_id"], shown["destinations"]) == ("ada", [])
        assert shown["event"]["messageId"] == "m1"
        assert str(shown["event"]["properties"]) == "{'b': 1, 'a': [None, {'x': 1.5}]}"  # in the order they came

    async def test_what_never_was_is_not_found(self, api: Api) -> None:
        assert (await api.call("GET", "/v1/events/0198c6a0-7b5e-7c3a-8f00-5d1f0c2b7a11")).status_code == 404
        assert (await api.call("GET", "/v1/events/none")).status_code == 422

    async def test_every_mapping_of_events_says_what_it_did_with_it(self, api: Api, database: Database) -> None:
        only = an_event_mapping(id="only", events={"mode": "only", "names": ["bought"]})
        off = an_event_mapping(id="off", enabled=False)
        await publish(database, "crm", a_spec(mappings=[an_event_mapping(), only, off, a_mapping()]))
        await publish(database, "elsewhere", a_spec(sources=["website"], mappings=[an_event_mapping()]))
        event = await tracked(api)
        await publish(database, "later", a_spec(mappings=[an_event_mapping()]))
        assert await why(api, event) == {
            "crm/events": ("queued", None),
            "crm/only": ("not_queued", "event_scope"),
            "crm/off": ("not_queued", "disabled"),
            "elsewhere/events": ("not_queued", "source_not_connected"),
            "later/events": ("not_queued", "published_later"),
        }
        shown = await fates(api, event)
        assert shown["crm/only"]["message"] == "the event signed_up is not among those sent: only bought"
        assert all(fate["message"] for place, fate in shown.items() if place != "crm/events")
        assert shown["crm/only"]["delivery_id"] is None

    async def test_drafts_and_deleted_destinations_do_not_say_anything(self, api: Api, database: Database) -> None:
        event = await tracked(api)
        await api.post("/v1/destinations", a_destination(mappings=[an_event_mapping()]), status=201)
        assert await why(api, event) == {}
        await api.post("/v1/destinations/crm/publish")
        assert await why(api, event) == {"crm/events": ("not_queued", "published_later")}
        await api.call("DELETE", "/v1/destinations/crm")
        assert await why(api, event) == {}

    async def test_a_delivery_is_shown_with_its_attempts_and_its_workflow(self, api: Api, database: Database) -> None:
        await publish(database, "crm", a_spec(mappings=[an_event_mapping()]))
        event = await tracked(api)
        delivery = await settle(
            database,
            event,
            status="retrying",
            reason="http_503",
            message="answered 503",
            attempts=3,
            workflow_id="event-retry/crm/ada",
            run_id="r1",
        )
        await rows(database, "update deliveries set next_attempt_at = '2030-01-01T00:00:00Z' returning 1")
        await block(database, delivery)
        fate = (await fates(api, event))["crm/events"]
        assert (fate["delivery_id"], fate["status"], fate["reason"], fate["message"]) == (
            delivery,
            "retrying",
            "http_503",
            "answered 503",
        )
        assert (fate["attempt_count"], fate["next_attempt_at"]) == (3, "2030-01-01T00:00:00Z")
        assert fate["workflow"]["url"].endswith("/workflows/event-retry%2Fcrm%2Fada/r1/history")

    async def test_a_pause_is_told_with_its_reason(self, api: Api, database: Database) -> None:
        await publish(database, "crm", a_spec(mappings=[an_event_mapping()]))
        event = await tracked(api)
        await api.post("/v1/destinations/crm/pause", {"reason": "maintenance"})
        fate = (await fates(api, event))["crm/events"]
        assert (fate["status"], fate["reason"], fate["message"]) == (
            "held",
            "paused",
            "the destination is paused: maintenance",
        )

    async def test_an_event_behind_another_of_its_profile_names_what_it_waits_for(
        self, api: Api, database: Database
    ) -> None:
        await publish(database, "crm", a_spec(mappings=[an_event_mapping()]))
        await publish(database, "chat", a_spec(mappings=[an_event_mapping()]))
        first, second, other = await tracked(api), await tracked(api), await tracked(api, "bob")
        blocker = (await fates(api, first))["crm/events"]["delivery_id"]
        await rows(database, "update deliveries set status = 'retrying' where id = :id returning 1", id=blocker)
        await block(database, blocker)
        fate = (await fates(api, second))["crm/events"]
        assert (fate["status"], fate["reason"]) == ("queued", "behind_another")
        assert blocker in fate["message"]
        assert (await why(api, first))["crm/events"] == ("retrying", None)
        assert (await why(api, second))["chat/events"] == ("queued", None)
        assert (await why(api, other))["crm/events"] == ("queued", None)

    async def test_a_delivery_of_a_mapping_that_was_removed_since_is_still_shown(
        self, api: Api, database: Database
    ) -> None:
        await publish(database, "crm", a_spec(mappings=[an_event_mapping(id="old")]))
        event = await tracked(api)
        await publish(database, "crm", a_spec(mappings=[an_event_mapping(id="new")]))
        assert await why(api, event) == {
            "crm/old": ("queued", None),
            "crm/new": ("not_queued", "published_later"),
        }
        await api.call("DELETE", "/v1/destinations/crm")
        assert await why(api, event) == {"crm/old": ("discarded", "destination_deleted")}

    async def test_destinations_come_in_order_and_mappings_as_declared(self, api: Api, database: Database) -> None:
        mappings = [an_event_mapping(id="z"), an_event_mapping(id="a", enabled=False), an_event_mapping(id="m")]
        await publish(database, "crm", a_spec(mappings=mappings))
        await publish(database, "chat", a_spec(mappings=[an_event_mapping()]))
        assert list(await fates(api, await tracked(api))) == ["chat/events", "crm/z", "crm/a", "crm/m"]
