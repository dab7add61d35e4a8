"""API keys in the database: hashes only, and one key of the configuration."""

from __future__ import annotations

import asyncio

import pytest

from domain.errors import Conflict
from storage.database import Database
from storage.keys import BOOTSTRAP_ID, Keys, key_hash
from tests.storage.builders import rows

FIRST, SECOND = "the-first-admin-key", "the-second-admin-key"


async def scopes_of(keys: Keys, secret: str) -> list[str] | None:
    found = await keys.find(key_hash(secret))
    return found.scopes if found else None


async def test_only_the_hash_is_stored(database: Database) -> None:
    made = await Keys(database).create("n", ["operate", "ingest", "operate"])
    stored = str(await rows(database, "select * from api_keys"))
    assert made.secret not in stored
    assert made.secret.removeprefix(made.key.prefix) not in stored
    assert made.key.scopes == ["ingest", "operate"]


async def test_a_revoked_key_is_not_found(database: Database) -> None:
    keys = Keys(database)
    made = await keys.create("n", ["admin"])
    assert await scopes_of(keys, made.secret) == ["admin"]
    await keys.revoke(made.key.id)
    await keys.revoke(made.key.id)
    assert await scopes_of(keys, made.secret) is None


async def test_registering_the_configured_key_again_changes_nothing(database: Database) -> None:
    keys = Keys(database)
    await keys.bootstrap(FIRST)
    before = await rows(database, "select * from api_keys")
    await keys.bootstrap(FIRST)
    assert await rows(database, "select * from api_keys") == before
    assert await scopes_of(keys, FIRST) == ["admin"]


async def test_a_changed_configured_key_replaces_the_one_before(database: Database) -> None:
    keys = Keys(database)
    await keys.bootstrap(FIRST)
    await keys.bootstrap(SECOND)
    assert (await scopes_of(keys, FIRST), await scopes_of(keys, SECOND)) == (None, ["admin"])


async def test_a_configured_key_that_is_taken_away_stops_working_until_it_is_back(database: Database) -> None:
    keys = Keys(database)
    await keys.bootstrap(FIRST)
    await keys.bootstrap(None)
    assert await scopes_of(keys, FIRST) is None
    await keys.bootstrap(FIRST)
    assert await scopes_of(keys, FIRST) == ["admin"]


async def test_other_keys_do_not_care_about_the_configured_one(database: Database) -> None:
    keys = Keys(database)
    made = await keys.create("n", ["ingest"])
    await keys.bootstrap(FIRST)
    await keys.bootstrap(SECOND)
    assert await scopes_of(keys, made.secret) == ["ingest"]


async def test_a_key_made_over_http_may_become_the_configured_one(database: Database) -> None:
    keys = Keys(database)
    made = await keys.create("n", ["ingest"])
    await keys.bootstrap(made.secret)
    assert await scopes_of(keys, made.secret) == ["admin"]


async def test_replicas_may_register_it_at_once(database: Database) -> None:
    await asyncio.gather(*(Keys(database).bootstrap(FIRST) for _ in range(6)))
    assert len(await rows(database, "select * from api_keys")) == 1


async def test_the_configured_key_is_not_revoked_here(database: Database) -> None:
    keys = Keys(database)
    await keys.bootstrap(FIRST)
    with pytest.raises(Conflict):
        await keys.revoke(BOOTSTRAP_ID)


async def test_a_short_configured_key_shows_little_of_itself(database: Database) -> None:
    keys = Keys(database)
    await keys.bootstrap("0123456789abcdef")
    (shown,) = (await keys.page(cursor=None, limit=5)).data
    assert shown.prefix == "01234"
