"""A profile change is one statement: the profile, its version, and what must follow."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from sqlalchemy import text

from domain.errors import NotFound, TooLarge
from storage.database import Database
from storage.profiles import Profiles


async def _destination(database: Database, name: str = "crm", quiet: float = 20, max_wait: float = 300) -> None:
    async with database.statement() as connection:
        await connection.execute(
            text(
                "insert into destinations (id, connector, takes_profiles, published_revision, quiet_seconds,"
                " max_wait_seconds) values (:id, 'webhook', true, 1, :quiet, :max_wait)"
            ),
            {"id": name, "quiet": quiet, "max_wait": max_wait},
        )


async def _sync(database: Database, profile: str = "u1", destination: str = "crm") -> Any:
    async with database.statement() as connection:
        result = await connection.execute(
            text(
                "select *, extract(epoch from due_at - first_change_at)::float as waits from syncs"
                " where destination_id = :d and profile_id = :p"
            ),
            {"d": destination, "p": profile},
        )
        return result.mappings().first()


async def _execute(database: Database, statement: str) -> None:
    async with database.statement() as connection:
        await connection.execute(text(statement))


async def test_a_first_patch_makes_version_one(database: Database) -> None:
    change = await Profiles(database).patch("u1", {"email": "a@b.c", "properties": {"plan": "pro", "old": None}})
    assert (change.changed, change.profile.version) == (True, 1)
    assert change.profile.document == {"email": "a@b.c", "properties": {"plan": "pro"}}


async def test_a_patch_that_changes_nothing_makes_no_version_and_no_sync(database: Database) -> None:
    profiles = Profiles(database)
    await profiles.patch("u1", {"properties": {"a": {"b": 1}}})
    await _destination(database)
    change = await profiles.patch("u1", {"properties": {"a": {"b": 1.0}, "never": None}})
    assert (change.changed, change.profile.version) == (False, 1)
    assert await _sync(database) is None


async def test_a_change_makes_one_sync_per_destination_and_signals_once(database: Database) -> None:
    profiles = Profiles(database)
    await _destination(database)
    await _destination(database, "chat")
    for n in range(100):
        await profiles.patch("u1", {"properties": {"n": n}})
    for destination in ("crm", "chat"):
        sync = await _sync(database, destination=destination)
        assert (sync["wanted_version"], sync["state"], sync["signal"], sync["signal_epoch"]) == (
            100,
            "waiting",
            "profile_changed",
            1,
        )


async def test_the_deadline_moves_with_each_change_up_to_the_maximum_wait(database: Database) -> None:
    profiles = Profiles(database)
    await _destination(database, quiet=20, max_wait=30)
    await profiles.patch("u1", {"properties": {"n": 0}})
    first = await _sync(database)
    assert round(first["waits"]) == 20
    await _execute(database, "update syncs set first_change_at = first_change_at - interval '10 seconds'")
    await profiles.patch("u1", {"properties": {"n": 1}})
    moved = await _sync(database)
    assert 29.9 <= moved["waits"] <= 30
    assert moved["due_at"] >= first["due_at"]


async def test_a_row_that_nobody_watches_is_signalled_again(database: Database) -> None:
    profiles = Profiles(database)
    await _destination(database)
    await profiles.patch("u1", {"properties": {"n": 0}})
    await _execute(database, "update syncs set state = 'idle', watched = false, signal = null, first_change_at = null")
    await profiles.patch("u1", {"properties": {"n": 1}})
    sync = await _sync(database)
    assert (sync["state"], sync["signal"], sync["signal_epoch"], sync["watched"]) == (
        "waiting",
        "profile_changed",
        2,
        True,
    )


async def test_concurrent_first_patches_all_count(database: Database) -> None:
    profiles = Profiles(database)
    await _destination(database)
    changes = await asyncio.gather(*(profiles.patch("u1", {"properties": {str(n): n}}) for n in range(20)))
    assert sorted(change.profile.version for change in changes) == list(range(1, 21))
    assert (await profiles.get("u1")).document["properties"] == {str(n): n for n in range(20)}
    assert (await _sync(database))["wanted_version"] == 20


async def test_replacing_forgets_what_is_not_named(database: Database) -> None:
    profiles = Profiles(database)
    await profiles.patch("u1", {"email": "a@b.c", "segments": ["x"]})
    change = await profiles.replace("u1", {"properties": {"a": 1}})
    assert change.profile.document == {"properties": {"a": 1}}
    assert (await profiles.replace("u1", {"properties": {"a": 1}})).changed is False


async def test_a_deleted_profile_is_gone_and_its_version_keeps_counting(database: Database) -> None:
    profiles = Profiles(database)
    await _destination(database)
    await profiles.patch("u1", {"email": "a@b.c"})
    assert await profiles.delete("u1") is True
    assert await profiles.delete("u1") is False
    with pytest.raises(NotFound):
        await profiles.get("u1")
    sync = await _sync(database)
    assert (sync["state"], sync["reason"]) == ("discarded", "profile_deleted")
    again = await profiles.patch("u1", {"email": "a@b.c"})
    assert (again.changed, again.profile.version) == (True, 3)
    assert (await _sync(database))["state"] == "waiting"


async def test_a_profile_past_its_limit_is_refused_with_nothing_changed(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("storage.profiles.MAX_DOCUMENT_BYTES", 1000)
    profiles = Profiles(database)
    await _destination(database)
    await profiles.patch("u1", {"properties": {"a": "x"}})
    before = dict(await _sync(database))
    with pytest.raises(TooLarge):
        await profiles.patch("u1", {"properties": {"b": "x" * 1000}})
    assert (await profiles.get("u1")).version == 1
    assert dict(await _sync(database)) == before
