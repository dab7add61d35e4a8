"""The migrations and storage/tables.py describe the same schema, and can be run by several processes at once."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import asyncpg
import json_merge_patch
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, text

from storage.database import Database
from storage.migrations.upgrade import upgrade
from storage.tables import metadata


async def test_tables_and_migrations_agree(database: Database) -> None:
    def differences(connection: Connection) -> list[Any]:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        found = compare_metadata(context, metadata)
        return [difference for difference in found if difference[0] not in ("remove_index", "remove_constraint")]

    async with database.transaction() as connection:
        assert await connection.run_sync(differences) == []


async def test_several_replicas_may_migrate_at_once(postgres_url: str) -> None:
    connection = await asyncpg.connect(postgres_url.format("postgres"))
    await connection.execute("create database migrated_by_many")
    databases = [Database(postgres_url.format("migrated_by_many"), pool_size=1) for _ in range(3)]
    try:
        await asyncio.gather(*(upgrade(database) for database in databases))
        async with databases[0].statement() as statement:
            assert (await statement.execute(text("select count(*) from alembic_version"))).scalar_one() == 1
    finally:
        await asyncio.gather(*(database.close() for database in databases))
        await connection.execute("drop database migrated_by_many with (force)")
        await connection.close()


RFC_7396_CASES = [
    ({"a": "b"}, {"a": "c"}, {"a": "c"}),
    ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
    ({"a": "b"}, {"a": None}, {}),
    ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
    ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
    ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
    ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
    ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
    (["a", "b"], ["c", "d"], ["c", "d"]),
    ({"a": "b"}, ["c"], ["c"]),
    ({"a": "foo"}, None, None),
    ({"a": "foo"}, "bar", "bar"),
    ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
    ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
    ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
]


async def _merge(database: Database, target: Any, patch: Any) -> Any:
    async with database.statement() as connection:
        row = await connection.execute(
            text("select json_merge_patch(cast(:target as jsonb), cast(:patch as jsonb))"),
            {"target": json.dumps(target), "patch": json.dumps(patch)},
        )
        return row.scalar_one()


@pytest.mark.parametrize(("target", "patch", "result"), RFC_7396_CASES)
async def test_merge_patch_does_what_rfc_7396_says(database: Database, target: Any, patch: Any, result: Any) -> None:
    assert await _merge(database, target, patch) == result


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-10, 10) | st.sampled_from(["", "x", "ü", '"', "\\"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=12,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(target=st.dictionaries(st.sampled_from("abc"), JSON), patch=st.dictionaries(st.sampled_from("abc"), JSON))
async def test_merge_patch_agrees_with_another_implementation(
    database: Database, target: dict[str, Any], patch: dict[str, Any]
) -> None:
    assert await _merge(database, target, patch) == json_merge_patch.merge(json.loads(json.dumps(target)), patch)
