"""Reconciliation: every state is counted, and what vanished is noticed."""

from __future__ import annotations

from dataclasses import asdict

import pytest

from storage.database import Database
from storage.destinations import Destinations
from storage.drafts import Drafts
from storage.events import Events
from storage.profiles import Profiles
from storage.publications import Publications
from storage.reconciliation import Account, Reconciliation
from tests.builders import an_event, an_event_mapping
from tests.storage.builders import ACCEPT_ALL, a_delivery, a_destination, a_spec, a_sync, rows


async def account(database: Database, destination_id: str = "crm") -> Account:
    return (await Reconciliation(database).accounts())[destination_id]


async def settled(database: Database) -> None:
    """As if every publication had been an hour ago, so that whatever changed since counts."""
    await rows(database, "update destination_revisions set published_at = published_at - interval '1 hour' returning 1")


async def ada(database: Database) -> None:
    await Profiles(database).patch("ada", {"email": "a@example.com"})


STATES = {
    "waiting": ("waiting", "held"),
    "delivering": ("waiting", "waiting"),
    "retrying": ("retrying", "held"),
    "failed": ("failed", "failed"),
    "skipped": ("skipped", "skipped"),
    "discarded": ("discarded", "discarded"),
}


@pytest.mark.parametrize("state", STATES)
async def test_each_state_of_a_sync_is_counted_in_one_place(database: Database, state: str) -> None:
    await a_destination(database)
    await ada(database)
    await settled(database)
    await a_sync(database, "crm", "ada", state=state)
    running, paused = STATES[state]
    assert asdict(await account(database)) == {**asdict(Account(accepted=1)), running: 1}
    await Destinations(database).pause("crm", None)
    assert asdict(await account(database)) == {**asdict(Account(accepted=1)), paused: 1}


async def test_an_idle_sync_counts_as_delivered_if_the_version_was(database: Database) -> None:
    await a_destination(database)
    await ada(database)
    await settled(database)
    await a_sync(database, "crm", "ada", state="idle", delivered_version=1)
    assert await account(database) == Account(accepted=1, delivered=1)


@pytest.mark.parametrize("delivered", [None, 0])
async def test_an_idle_sync_that_was_not_delivered_is_unaccounted(database: Database, delivered: int | None) -> None:
    await a_destination(database)
    await ada(database)
    await settled(database)
    await a_sync(database, "crm", "ada", state="idle", delivered_version=delivered)
    assert await account(database) == Account(accepted=1, unaccounted=1)


async def test_a_change_without_its_sync_is_unaccounted(database: Database) -> None:
    await a_destination(database)
    await ada(database)
    await settled(database)
    await rows(database, "delete from syncs returning 1")
    assert await account(database) == Account(unaccounted=1)


async def test_a_change_that_its_sync_does_not_know_of_is_unaccounted(database: Database) -> None:
    await a_destination(database)
    await ada(database)
    await settled(database)
    await rows(database, "update profiles set version = 2 returning 1")
    assert await account(database) == Account(accepted=1, waiting=1, unaccounted=1)


async def test_profiles_from_before_the_first_publication_are_nobodys_business(database: Database) -> None:
    await ada(database)
    await a_destination(database)
    assert await account(database) == Account()


async def test_a_deleted_profile_is_accounted_for(database: Database) -> None:
    await a_destination(database)
    await ada(database)
    await settled(database)
    await Profiles(database).delete("ada")
    assert await account(database) == Account(accepted=1, discarded=1)


async def test_changes_from_while_it_took_no_profiles_do_not_count(database: Database) -> None:
    await a_destination(database)
    drafts, publications = Drafts(database), Publications(database)
    await drafts.put("crm", a_spec(mappings=[]))
    await publications.publish("crm", note=None, by=None, admit=ACCEPT_ALL)
    await settled(database)
    await ada(database)
    assert await account(database) == Account()
    await drafts.put("crm", a_spec())
    await publications.publish("crm", note=None, by=None, admit=ACCEPT_ALL)
    assert await account(database) == Account()


async def test_a_new_revision_does_not_hide_what_vanished_before_it(database: Database) -> None:
    await a_destination(database)
    await ada(database)
    await rows(database, "delete from syncs returning 1")
    await settled(database)
    await Drafts(database).put("crm", a_spec(name="newer"))
    await Publications(database).publish("crm", note=None, by=None, admit=ACCEPT_ALL)
    assert (await account(database)).unaccounted == 1


async def test_event_deliveries_are_counted_too(database: Database) -> None:
    await a_destination(database)
    for status in ("queued", "delivering", "retrying", "delivered", "skipped", "failed", "discarded"):
        await a_delivery(database, kind="event", status=status)
    await a_delivery(database, kind="test", status="failed")
    await a_delivery(database, kind="profile_sync", status="failed")
    assert await account(database) == Account(
        accepted=7, delivered=1, skipped=1, failed=1, discarded=1, waiting=2, retrying=1
    )
    await Destinations(database).pause("crm", None)
    assert await account(database) == Account(
        accepted=7, delivered=1, skipped=1, failed=1, discarded=1, waiting=1, held=2
    )


async def test_a_deleted_destination_stays_in_the_books_as_long_as_it_had_anything(database: Database) -> None:
    await a_destination(database)
    await a_destination(database, "empty")
    await ada(database)
    await rows(database, "delete from syncs where destination_id = 'empty' returning 1")
    for name in ("crm", "empty"):
        await Destinations(database).delete(name)
    accounts = await Reconciliation(database).accounts()
    assert accounts == {"crm": Account(accepted=1, discarded=1)}


async def test_an_event_that_was_not_queued_for_a_mapping_that_takes_it_is_unaccounted_for(database: Database) -> None:
    only = an_event_mapping(id="only", events={"mode": "only", "names": ["Order Completed"]})
    await a_destination(database, mappings=[only, an_event_mapping(id="all")])
    await settled(database)
    await Events(database).store([an_event(), an_event(name="Opened")])
    assert (await account(database)).unaccounted == 0
    await rows(database, "delete from deliveries where mapping_id = 'only' returning 1")
    assert await account(database) == Account(accepted=2, waiting=2, unaccounted=1)
