"""How far each destination is with one profile, as operators read it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Select, and_, case, select

from domain.deliveries import Reason
from domain.errors import NotFound
from domain.syncs import SyncState
from storage.database import Database
from storage.destinations import HELD_SYNCS
from storage.tables import destinations, profiles, sync_mappings, syncs


@dataclass(frozen=True, slots=True)
class SyncView:
    """`state` is the shown one: `held` while the destination is paused."""

    destination_id: str
    profile_id: str
    state: str
    reason: str | None
    message: str | None
    wanted_version: int
    delivered_version: int | None
    due_at: datetime | None
    next_attempt_at: datetime | None
    run_id: str | None
    updated_at: datetime


class SyncViews:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def of_profile(self, profile_id: str) -> list[SyncView]:
        """By destination; a deleted profile's are shown too. Raises NotFound for a profile that never was."""
        async with self._database.statement() as connection:
            known = await connection.execute(select(profiles.c.id).where(profiles.c.id == profile_id))
            if known.first() is None:
                raise NotFound(f"there is no profile {profile_id!r}")
            rows = (await connection.execute(_QUERY.where(syncs.c.profile_id == profile_id))).mappings().all()
        return [SyncView(**row) for row in rows]

    async def delivered_users(self, destination_id: str, profile_id: str) -> dict[str, dict[str, Any] | None]:
        """The profile as each mapping last delivered it, by mapping id; None for one that never did."""
        query = select(sync_mappings.c.mapping_id, sync_mappings.c.delivered_user).where(
            sync_mappings.c.destination_id == destination_id, sync_mappings.c.profile_id == profile_id
        )
        async with self._database.statement() as connection:
            return {row.mapping_id: row.delivered_user for row in await connection.execute(query)}


def _query() -> Select[Any]:
    held = and_(syncs.c.state.in_(HELD_SYNCS), destinations.c.status == "paused", destinations.c.deleted_at.is_(None))
    shown = {
        "state": case((held, SyncState.HELD.value), else_=syncs.c.state),
        "reason": case((held, Reason.PAUSED.value), else_=syncs.c.reason),
    }
    columns = [shown.get(name, syncs.c[name]).label(name) for name in SyncView.__dataclass_fields__]
    return (
        select(*columns)
        .join(destinations, destinations.c.id == syncs.c.destination_id)
        .order_by(syncs.c.destination_id)
    )


_QUERY = _query()
