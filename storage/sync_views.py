"""How far each destination is with one profile, as operators read it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select, text

from domain.errors import NotFound
from domain.sync_explanations import MappingState, StoredSync, SyncExplanation, explain_sync
from storage.database import Database
from storage.tables import profiles, sync_mappings

_OF_PROFILE = text("""
select s.destination_id, s.profile_id, s.state, s.reason, s.message, s.wanted_version, s.delivered_version, s.due_at,
    s.next_attempt_at, s.run_id, s.updated_at, d.status = 'paused' and d.deleted_at is null as paused, d.pause_reason,
    (select coalesce(json_agg(json_build_object(
        'mapping_id', m.mapping_id, 'status', coalesce(l.status, m.status), 'delivery_id', m.delivery_id,
        'delivered_version', m.delivered_version, 'reason', l.reason, 'message', l.message,
        'next_attempt_at', l.next_attempt_at) order by m.mapping_id), '[]')
     from sync_mappings m left join deliveries l on l.id = m.delivery_id
     where m.destination_id = s.destination_id and m.profile_id = s.profile_id) as mappings
from syncs s join destinations d on d.id = s.destination_id
where s.profile_id = :profile_id
order by s.destination_id
""")


@dataclass(frozen=True, slots=True)
class SyncView:
    """`explanation` holds the shown state: `held` while the destination is paused."""

    destination_id: str
    profile_id: str
    wanted_version: int
    delivered_version: int | None
    run_id: str | None
    updated_at: datetime
    explanation: SyncExplanation
    mappings: list[MappingState]


class SyncViews:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def of_profile(self, profile_id: str) -> list[SyncView]:
        """By destination; a deleted profile's are shown too. Raises NotFound for a profile that never was."""
        async with self._database.statement() as connection:
            known = await connection.execute(select(profiles.c.id).where(profiles.c.id == profile_id))
            if known.first() is None:
                raise NotFound(f"there is no profile {profile_id!r}")
            rows = (await connection.execute(_OF_PROFILE, {"profile_id": profile_id})).mappings().all()
        return [_view(row) for row in rows]

    async def delivered_users(self, destination_id: str, profile_id: str) -> dict[str, dict[str, Any] | None]:
        """The profile as each mapping last delivered it, by mapping id; None for one that never did."""
        query = select(sync_mappings.c.mapping_id, sync_mappings.c.delivered_user).where(
            sync_mappings.c.destination_id == destination_id, sync_mappings.c.profile_id == profile_id
        )
        async with self._database.statement() as connection:
            return {row.mapping_id: row.delivered_user for row in await connection.execute(query)}


def _view(row: Any) -> SyncView:
    mappings = [_mapping(each) for each in row["mappings"]]
    own = {name: row[name] for name in StoredSync.__dataclass_fields__ if name != "mappings"}
    return SyncView(
        destination_id=row["destination_id"],
        profile_id=row["profile_id"],
        wanted_version=row["wanted_version"],
        delivered_version=row["delivered_version"],
        run_id=row["run_id"],
        updated_at=row["updated_at"],
        explanation=explain_sync(StoredSync(**own, mappings=mappings)),
        mappings=mappings,
    )


def _mapping(stored: dict[str, Any]) -> MappingState:
    at = stored["next_attempt_at"]
    return MappingState(**{**stored, "next_attempt_at": datetime.fromisoformat(at) if at else None})
