"""The outbox: whatever a workflow must hear of is signalled, and what was overlooked is signalled again."""

from __future__ import annotations

from storage.database import Database
from storage.destinations import Destinations
from storage.outbox import Outbox
from storage.profiles import Profiles
from tests.storage.builders import a_destination, a_sync, rows


async def signals(database: Database) -> list[str]:
    return [pending.signal for pending in await Outbox(database).claim(10)]


async def test_a_profile_made_anew_is_signalled_although_its_first_change_never_was(database: Database) -> None:
    profiles = Profiles(database)
    await a_destination(database)
    await profiles.patch("ada", {"email": "a@example.com"})
    await profiles.delete("ada")
    assert await signals(database) == []
    await profiles.patch("ada", {"email": "a@example.com"})
    assert await signals(database) == ["profile_changed"]


async def test_a_profile_made_anew_while_its_workflow_waits_needs_no_signal(database: Database) -> None:
    profiles, outbox = Profiles(database), Outbox(database)
    await a_destination(database)
    await profiles.patch("ada", {"email": "a@example.com"})
    await outbox.sent([(signal, "run") for signal in await outbox.claim(10)])
    await profiles.delete("ada")
    await profiles.patch("ada", {"email": "a@example.com"})
    assert await signals(database) == []


async def test_a_sync_left_over_of_a_destination_deleted_while_paused_is_signalled_again(database: Database) -> None:
    destinations = Destinations(database)
    await a_destination(database)
    await Profiles(database).patch("ada", {"email": "a@example.com"})
    await a_sync(database, "crm", "ada", state="delivering", signal=None)
    await destinations.pause("crm", None)
    await rows(database, "update syncs set updated_at = updated_at - interval '1 hour' returning 1")
    assert await Outbox(database).rescue(10) == 0
    await destinations.delete("crm")
    assert await Outbox(database).rescue(10) == 1
    assert await signals(database) == ["profile_changed"]
