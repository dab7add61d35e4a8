"""API keys. Only their SHA-256 is stored: they are random, so a slow hash would cost much and protect nothing."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.dialects.postgresql import insert as upsert
from uuid_utils.compat import uuid7

from domain.errors import Conflict, NotFound
from storage.cursors import Page, decode_id_cursor, page_of
from storage.database import Database
from storage.tables import api_keys

KEY_PREFIX = "sluice_"  # lets secret scanners and people recognise a leaked one
KEY_BYTES = 32
SHOWN_CHARS = len(KEY_PREFIX) + 6  # enough to tell keys apart; 36 of 256 bits given away
BOOTSTRAP_ID = "00000000-0000-7000-8000-000000000000"  # the key of the configuration has a fixed place
BOOTSTRAP_LOCK = 7_367_824  # an arbitrary but fixed number
BOOTSTRAP_NAME = "configured admin key"


@dataclass(frozen=True, slots=True)
class ApiKey:
    id: str
    name: str
    prefix: str
    scopes: list[str]
    created_at: datetime
    revoked_at: datetime | None


@dataclass(frozen=True, slots=True)
class NewKey:
    """`secret` is known only here and now."""

    key: ApiKey
    secret: str


_SHOWN = [api_keys.c[name] for name in ApiKey.__dataclass_fields__]


def key_hash(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()


class Keys:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(self, name: str, scopes: Sequence[str]) -> NewKey:
        secret = KEY_PREFIX + secrets.token_urlsafe(KEY_BYTES)
        values = {"id": str(uuid7()), "name": name, **_derived(secret, scopes), "created_at": func.now()}
        async with self._database.statement() as connection:
            made = await connection.execute(insert(api_keys).values(values).returning(*_SHOWN))
            return NewKey(ApiKey(**made.mappings().one()), secret)

    async def find(self, secret_hash: bytes) -> ApiKey | None:
        """The key whose secret has this hash, unless it was revoked."""
        query = select(*_SHOWN, api_keys.c.hash).where(api_keys.c.hash == secret_hash, api_keys.c.revoked_at.is_(None))
        async with self._database.statement() as connection:
            row = (await connection.execute(query)).mappings().first()
        # The index compares hashes byte by byte; comparing once more in constant time leaves nothing to measure.
        if row is None or not secrets.compare_digest(row["hash"], secret_hash):
            return None
        return _key(row)

    async def page(self, *, cursor: str | None, limit: int) -> Page[ApiKey]:
        """Newest first, revoked ones included."""
        before = decode_id_cursor("keys", cursor)
        query = select(*_SHOWN).order_by(api_keys.c.id.desc()).limit(limit + 1)
        if before is not None:
            query = query.where(api_keys.c.id < before)
        async with self._database.statement() as connection:
            rows = (await connection.execute(query)).mappings().all()
        return page_of("keys", [_key(row) for row in rows], limit, lambda found: found.id)

    async def revoke(self, key_id: str) -> None:
        """For good; again is fine. Raises NotFound, and Conflict for the key that the configuration sets."""
        if key_id == BOOTSTRAP_ID:
            raise Conflict("this key is set by the configuration; change it there")
        change = (
            update(api_keys)
            .where(api_keys.c.id == key_id)
            .values(revoked_at=func.coalesce(api_keys.c.revoked_at, func.now()))
            .returning(api_keys.c.id)
        )
        async with self._database.statement() as connection:
            if (await connection.execute(change)).first() is None:
                raise NotFound(f"there is no key {key_id}")

    async def bootstrap(self, secret: str | None) -> None:
        """Make `secret` the one admin key of the configuration; the one before it, if another, stops working."""
        async with self._database.transaction() as connection:
            # Two replicas would conflict on the id or on the hash, whichever is seen first; only one can be handled.
            await connection.execute(select(func.pg_advisory_xact_lock(BOOTSTRAP_LOCK)))
            if secret is None:
                revoked = update(api_keys).where(api_keys.c.id == BOOTSTRAP_ID, api_keys.c.revoked_at.is_(None))
                await connection.execute(revoked.values(revoked_at=func.now()))
                return
            values = {"name": BOOTSTRAP_NAME, **_derived(secret, ["admin"]), "revoked_at": None}
            # A key made through the API and then put into the configuration becomes the configuration's.
            await connection.execute(
                delete(api_keys).where(api_keys.c.hash == values["hash"], api_keys.c.id != BOOTSTRAP_ID)
            )
            await connection.execute(
                upsert(api_keys)
                .values(id=BOOTSTRAP_ID, created_at=func.now(), **values)
                .on_conflict_do_update(index_elements=["id"], set_=values)
            )


def _derived(secret: str, scopes: Sequence[str]) -> dict[str, Any]:
    # A key somebody chose may be short: show a third of it at most.
    shown = secret[: min(SHOWN_CHARS, len(secret) // 3)]
    return {"prefix": shown, "hash": key_hash(secret), "scopes": sorted(set(scopes))}


def _key(row: Any) -> ApiKey:
    return ApiKey(**{name: row[name] for name in ApiKey.__dataclass_fields__})
