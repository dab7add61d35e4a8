"""Credentials in the database."""

from __future__ import annotations

import asyncio
import os

import pytest

from domain.errors import Conflict, InvalidInput, NotFound
from storage.credentials import Credentials, Resealed
from storage.database import Database
from storage.destinations import Destinations
from storage.secrets import SecretBox, SecretsUnreadable
from tests.storage.builders import a_spec, rows

OLD, NEW = os.urandom(32), os.urandom(32)


async def stored(credentials: Credentials, credentials_id: str = "crm-prod", connector: str = "webhook") -> None:
    await credentials.create(
        credentials.seal(
            credentials_id=credentials_id, name="CRM", connector=connector, secrets={"token": "1"}, environment="test"
        )
    )


async def test_a_new_encryption_key_takes_over_and_the_old_one_may_leave(database: Database) -> None:
    before = Credentials(database, SecretBox({"old": OLD}))
    await stored(before)
    await before.rotate("crm-prod", {"token": "2"})
    both = Credentials(database, SecretBox({"new": NEW, "old": OLD}))
    assert await both.reseal() == Resealed(("crm-prod",), ())
    assert await both.reseal() == Resealed((), ())
    after = await Credentials(database, SecretBox({"new": NEW})).secrets("crm-prod")
    assert (after.current, after.previous) == ({"token": "2"}, {"token": "1"})
    with pytest.raises(SecretsUnreadable):
        await before.secrets("crm-prod")


async def test_what_no_key_opens_does_not_keep_the_rest_from_the_new_key(database: Database) -> None:
    await stored(Credentials(database, SecretBox({"lost": os.urandom(32)})), "lost")
    await stored(Credentials(database, SecretBox({"old": OLD})), "kept")
    both = Credentials(database, SecretBox({"new": NEW, "old": OLD}))
    assert await both.reseal() == Resealed(("kept",), ("lost",))


async def test_once_the_grace_is_over_the_previous_secrets_are_not_given_out(database: Database) -> None:
    credentials = Credentials(database, SecretBox({"old": OLD}))
    await stored(credentials)
    await credentials.rotate("crm-prod", {"token": "2"})
    await rows(database, "update credentials set previous_until = now() - interval '1 second' returning id")
    assert (await credentials.secrets("crm-prod")).previous is None


async def test_two_rotations_keep_only_the_last_secrets(database: Database) -> None:
    credentials = Credentials(database, SecretBox({"old": OLD}))
    await stored(credentials)
    await credentials.rotate("crm-prod", {"token": "2"})
    assert (await credentials.rotate("crm-prod", {"token": "3"})).version == 3
    assert (await credentials.secrets("crm-prod")).previous == {"token": "2"}


async def test_what_does_not_exist_is_not_found(database: Database) -> None:
    credentials = Credentials(database, SecretBox({"old": OLD}))
    for attempt in (
        credentials.get("none"),
        credentials.secrets("none"),
        credentials.rotate("none", {}),
        credentials.delete("none"),
    ):
        with pytest.raises(NotFound):
            await attempt


async def test_using_and_deleting_at_once_leaves_no_destination_without_its_credentials(database: Database) -> None:
    credentials = Credentials(database, SecretBox({"old": OLD}))
    destinations = Destinations(database)
    for number in range(10):
        name = f"c{number}"
        await stored(credentials, name)
        used, deleted = await asyncio.gather(
            destinations.create(f"d{number}", "webhook", a_spec(credentials=name)),
            credentials.delete(name),
            return_exceptions=True,
        )
        assert isinstance(used, InvalidInput) != isinstance(deleted, Conflict)


async def test_credentials_are_listed_by_id(database: Database) -> None:
    credentials = Credentials(database, SecretBox({"old": OLD}))
    for name in ("c", "a", "b"):
        await stored(credentials, name)
    first = await credentials.page(cursor=None, limit=2)
    second = await credentials.page(cursor=first.next_cursor, limit=2)
    assert [each.id for each in first.data + second.data] == ["a", "b", "c"]
