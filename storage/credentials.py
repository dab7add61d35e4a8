"""Credentials: what a destination signs in with. Stored encrypted, apart from destinations, and never shown again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Select, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection
from uuid_utils.compat import uuid7

from domain.errors import Conflict, ErrorDetail, InvalidInput, NotFound
from storage.cursors import Page, decode_cursor, page_of
from storage.database import Database
from storage.secrets import SecretBox, SecretsUnreadable
from storage.tables import credentials, destination_drafts, destination_revisions, destinations

GRACE_SECONDS = 86_400  # receivers get a day to learn a rotated signing secret, as Standard Webhooks suggests


@dataclass(frozen=True, slots=True)
class Credential:
    """All but the secrets. Until `previous_until` the secrets from before the rotation are good too."""

    id: str
    name: str
    connector: str
    environment: str
    version: int
    previous_until: datetime | None
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class Secrets:
    """`previous` are the secrets before the last rotation, while its grace period lasts."""

    connector: str
    environment: str
    version: int
    current: dict[str, Any]
    previous: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class Resealed:
    """Ids of credentials: encrypted with the writing key now, and not readable with any key of the ring."""

    done: tuple[str, ...]
    unreadable: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SealedCredentials:
    """Credentials ready to be inserted by whoever holds the transaction."""

    id: str
    name: str
    connector: str
    environment: str
    secrets: bytes


_SHOWN = [credentials.c[name] for name in Credential.__dataclass_fields__]


class Credentials:
    def __init__(self, database: Database, box: SecretBox) -> None:
        self._database = database
        self._box = box

    def seal(
        self,
        *,
        name: str,
        connector: str,
        secrets: Mapping[str, Any],
        environment: str,
        credentials_id: str | None = None,
    ) -> SealedCredentials:
        credentials_id = credentials_id or str(uuid7())
        return SealedCredentials(
            credentials_id, name, connector, environment, self._box.seal(secrets, owner=credentials_id)
        )

    async def create(self, sealed: SealedCredentials) -> Credential:
        """Raises Conflict when the id is taken."""
        async with self._database.transaction() as connection:
            await insert_credentials(connection, sealed)
        return await self.get(sealed.id)

    async def get(self, credentials_id: str) -> Credential:
        async with self._database.statement() as connection:
            found = await connection.execute(select(*_SHOWN).where(credentials.c.id == credentials_id))
            row = found.mappings().first()
        if row is None:
            raise _unknown(credentials_id)
        return Credential(**row)

    async def page(self, *, cursor: str | None, limit: int) -> Page[Credential]:
        after = decode_cursor("credentials", cursor)
        query = select(*_SHOWN).order_by(credentials.c.id).limit(limit + 1)
        if after is not None:
            query = query.where(credentials.c.id > after)
        async with self._database.statement() as connection:
            rows = (await connection.execute(query)).mappings().all()
        return page_of("credentials", [Credential(**row) for row in rows], limit, lambda found: found.id)

    async def secrets(self, credentials_id: str) -> Secrets:
        """For activities only. Raises NotFound, SecretsUnreadable."""
        alive = credentials.c.previous_until > func.now()
        query = select(credentials, alive.label("previous_alive")).where(credentials.c.id == credentials_id)
        async with self._database.statement() as connection:
            row = (await connection.execute(query)).mappings().first()
        if row is None:
            raise _unknown(credentials_id)
        previous = row["previous_secrets"] if row["previous_alive"] else None
        return Secrets(
            connector=row["connector"],
            environment=row["environment"],
            version=row["version"],
            current=self._box.open(row["secrets"], owner=credentials_id),
            previous=self._box.open(previous, owner=credentials_id) if previous else None,
        )

    async def rotate(
        self, credentials_id: str, secrets: Mapping[str, Any], *, grace_seconds: float = GRACE_SECONDS
    ) -> Credential:
        """Replace the secrets; for `grace_seconds` the old ones stay good beside them. Raises NotFound."""
        change = (
            update(credentials)
            .where(credentials.c.id == credentials_id)
            .values(
                secrets=self._box.seal(secrets, owner=credentials_id),
                previous_secrets=credentials.c.secrets if grace_seconds > 0 else None,
                previous_until=func.now() + timedelta(seconds=grace_seconds) if grace_seconds > 0 else None,
                version=credentials.c.version + 1,
                updated_at=func.now(),
            )
            .returning(*_SHOWN)
        )
        async with self._database.statement() as connection:
            row = (await connection.execute(change)).mappings().first()
        if row is None:
            raise _unknown(credentials_id)
        return Credential(**row)

    async def delete(self, credentials_id: str) -> None:
        """Raises NotFound, and Conflict while a destination's draft or published revision names them."""
        async with self._database.transaction() as connection:
            locked = select(credentials.c.id).where(credentials.c.id == credentials_id).with_for_update()
            if (await connection.execute(locked)).first() is None:
                raise _unknown(credentials_id)
            users = [str(row.id) for row in await connection.execute(_users_of(credentials_id))]
            if users:
                raise Conflict(f"credentials {credentials_id!r} are used by: {', '.join(users)}")
            await connection.execute(credentials.delete().where(credentials.c.id == credentials_id))

    async def reseal(self) -> Resealed:
        """Encrypt anew what an older key had encrypted, so that it may leave the ring."""
        done, unreadable = [], []
        async with self._database.transaction() as connection:
            rows = (await connection.execute(select(credentials).with_for_update())).mappings().all()
            for row in rows:
                try:
                    values = self._resealed(row)
                except SecretsUnreadable:  # its destinations will say so; the others must not suffer for it
                    unreadable.append(str(row["id"]))
                    continue
                if values:
                    await connection.execute(update(credentials).where(credentials.c.id == row["id"]).values(**values))
                    done.append(str(row["id"]))
        return Resealed(tuple(done), tuple(unreadable))

    def _resealed(self, row: Any) -> dict[str, bytes]:
        """Those of the row's sealed values that the writing key did not seal, sealed with it."""
        owner, sealed = row["id"], {name: row[name] for name in ("secrets", "previous_secrets")}
        stale = {name: value for name, value in sealed.items() if value and not self._box.is_current(value)}
        return {name: self._box.seal(self._box.open(value, owner=owner), owner=owner) for name, value in stale.items()}


def _unknown(credentials_id: str) -> NotFound:
    return NotFound(f"there are no credentials {credentials_id!r}")


def _users_of(credentials_id: str) -> Select[Any]:
    return (
        select(destinations.c.id)
        .outerjoin(destination_drafts, destination_drafts.c.destination_id == destinations.c.id)
        .outerjoin(
            destination_revisions,
            (destination_revisions.c.destination_id == destinations.c.id)
            & (destination_revisions.c.number == destinations.c.published_revision),
        )
        .where(
            destinations.c.deleted_at.is_(None),
            or_(
                destination_drafts.c.spec["credentials"].astext == credentials_id,
                destination_revisions.c.spec["credentials"].astext == credentials_id,
            ),
        )
        .order_by(destinations.c.id)
    )


async def insert_credentials(connection: AsyncConnection, sealed: SealedCredentials) -> None:
    """Raises Conflict when the id is taken."""
    values = {name: getattr(sealed, name) for name in SealedCredentials.__dataclass_fields__}
    made = await connection.execute(
        upsert(credentials)
        .values(**values, version=1, created_at=func.now(), updated_at=func.now())
        .on_conflict_do_nothing()
        .returning(credentials.c.id)
    )
    if made.first() is None:
        raise Conflict(f"there already are credentials {sealed.id!r}")


async def require_credentials(connection: AsyncConnection, credentials_id: str, connector: str) -> None:
    """Keep the credentials from being deleted until the transaction ends. Raises InvalidInput if they do not fit."""
    query = select(credentials.c.connector).where(credentials.c.id == credentials_id).with_for_update(read=True)
    found = (await connection.execute(query)).scalar_one_or_none()
    if found is None:
        message = f"there are no credentials {credentials_id!r}"
    elif found != connector:
        message = f"credentials {credentials_id!r} are for the connector {found!r}, not {connector!r}"
    else:
        return
    raise InvalidInput(message, details=[ErrorDetail("credentials", message)])
