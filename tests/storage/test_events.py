"""Receiving events: one statement stores them with their profiles and all that follows."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from domain.calls import identified
from storage.database import Database
from storage.events import Events, ProfilesTooLarge
from storage.profiles import Profiles
from tests.builders import a_mapping, a_spec, an_event, an_event_mapping, publish


async def rows(database: Database, query: str) -> list[dict[str, Any]]:
    async with database.statement() as connection:
        return [dict(row) for row in (await connection.execute(text(query))).mappings()]


async def test_an_event_is_queued_for_every_mapping_whose_scope_takes_it(database: Database) -> None:
    only = an_event_mapping(id="only", events={"mode": "only", "names": ["Order Completed"]})
    but = an_event_mapping(id="but", events={"mode": "except", "names": ["Order Completed"]})
    off = an_event_mapping(id="off", enabled=False)
    await publish(database, "crm", a_spec(mappings=[only, but, off, a_mapping(), an_event_mapping(id="all")]))
    await publish(database, "elsewhere", a_spec(sources=["website"], mappings=[an_event_mapping()]))
    await Events(database).store([an_event()])
    found = await rows(database, "select mapping_id, status, kind from deliveries order by position")
    assert [(row["mapping_id"], row["status"], row["kind"]) for row in found] == [
        ("only", "queued", "event"),
        ("all", "queued", "event"),
    ]


async def test_events_queue_in_the_order_given(database: Database) -> None:
    await publish(database, "crm", a_spec(mappings=[an_event_mapping()]))
    events = [an_event(f"u{number % 7}", properties={"n": number}) for number in range(200)]
    await Events(database).store(events)
    query = "select e.id::text from deliveries l join events e on e.id = l.event_id order by l.position"
    assert [row["id"] for row in await rows(database, query)] == [event.id for event in events]


async def test_a_message_id_is_stored_once(database: Database) -> None:
    await publish(database, "crm", a_spec(mappings=[an_event_mapping()]))
    first, again = an_event(message_id="m1"), an_event(message_id="m1")
    other = an_event(message_id="m2")
    assert await Events(database).store([first]) == {first.id}
    assert await Events(database).store([again, other, an_event(message_id="m2")]) == {other.id}
    assert (await rows(database, "select count(*) as n from deliveries"))[0]["n"] == 2


async def test_a_message_that_comes_again_does_not_change_its_profile_back(database: Database) -> None:
    events = Events(database)
    old = an_event(message_id="m1", patch={"properties": {"plan": "free"}})
    await events.store([old])
    await events.store([an_event(message_id="m2", patch={"properties": {"plan": "pro"}})])
    await events.store([old])
    assert (await rows(database, "select document, version from profiles"))[0] == {
        "document": {"properties": {"plan": "pro"}},
        "version": 2,
    }


async def test_a_new_profile_is_made_and_synced(database: Database) -> None:
    await publish(database, "crm", a_spec())
    await Events(database).store(
        [an_event("u1", document={"anonymousId": "a1"}), an_event("u1", patch={"properties": {"n": 1}})]
    )
    assert (await rows(database, "select document, version from profiles"))[0] == {
        "document": {"anonymousId": "a1", "properties": {"n": 1}},
        "version": 1,
    }
    assert (await rows(database, "select wanted_version, signal from syncs"))[0] == {
        "wanted_version": 1,
        "signal": "profile_changed",
    }


async def test_an_event_of_a_known_profile_is_no_change_of_it(database: Database) -> None:
    await publish(database, "crm", a_spec())
    await Events(database).store([an_event("u1")])
    await Events(database).store([an_event("u1", document={"anonymousId": "other"})])
    assert (await rows(database, "select document, version from profiles"))[0] == {"document": {}, "version": 1}


async def test_an_event_brings_a_deleted_profile_back_empty(database: Database) -> None:
    await Profiles(database).patch("u1", {"properties": {"plan": "pro"}})
    await Profiles(database).delete("u1")
    await Events(database).store([an_event("u1")])
    assert (await rows(database, "select document, version, deleted_at from profiles"))[0] == {
        "document": {},
        "version": 3,
        "deleted_at": None,
    }


async def test_a_profile_that_would_grow_too_large_stops_the_whole_batch(database: Database) -> None:
    large = {"properties": {f"p{number}": "x" * 1000 + str(number) * 50 for number in range(3000)}}
    with pytest.raises(ProfilesTooLarge) as refused:
        await Events(database).store([an_event("small"), an_event("large", patch=large)])
    assert refused.value.profile_ids == {"large"}
    assert await rows(database, "select id from profiles union all select profile_id from events") == []


async def test_concurrent_batches_of_the_same_profiles_neither_deadlock_nor_fail(database: Database) -> None:
    await publish(database, "crm", a_spec(mappings=[an_event_mapping()]))
    events = Events(database)
    forwards = [f"u{number}" for number in range(20)]
    batches = [
        [an_event(each, patch={"properties": {"n": number}}) for each in order]
        for number in range(10)
        for order in (forwards, forwards[::-1])
    ]
    await asyncio.gather(*(events.store(batch) for batch in batches))
    assert (await rows(database, "select count(*) as n from deliveries"))[0]["n"] == 400


DOCUMENTS = st.fixed_dictionaries(
    {},
    optional={
        "email": st.sampled_from(["a@example.com", "b@example.com"]),
        "properties": st.dictionaries(
            st.sampled_from(["email", "plan", "n"]),
            st.none() | st.integers(0, 3) | st.just("c@example.com"),
            max_size=3,
        ),
    },
)


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    document=DOCUMENTS,
    traits=st.dictionaries(
        st.sampled_from(["email", "plan", "n"]),
        st.none() | st.integers(0, 3) | st.just("d@example.com") | st.just({"n": None, "m": 1}),
        max_size=3,
    ),
)
async def test_the_database_and_previews_agree_on_what_identify_does(
    database: Database, document: dict[str, Any], traits: dict[str, Any]
) -> None:
    async with database.statement() as connection:
        query = text("select identified(cast(:document as jsonb), cast(:patches as jsonb))")
        parameters = {"document": json.dumps(document), "patches": json.dumps([{"properties": traits}])}
        assert (await connection.execute(query, parameters)).scalar_one() == identified(document, traits)


async def test_of_two_messages_with_one_id_in_a_batch_the_first_alone_changes_the_profile(database: Database) -> None:
    first = an_event(message_id="m1", patch={"properties": {"plan": "pro"}})
    again = an_event(message_id="m1", patch={"properties": {"plan": "free"}})
    assert await Events(database).store([first, again]) == {first.id}
    assert (await rows(database, "select document from profiles"))[0]["document"] == {"properties": {"plan": "pro"}}
