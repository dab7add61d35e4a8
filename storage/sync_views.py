"""How far each destination is with one profile and its events, as operators read it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select, text

from domain.errors import NotFound
from domain.event_backlogs import Blocker, EventBacklog, explain_events
from domain.events import lane_of
from domain.sync_explanations import MappingState, StoredSync, SyncExplanation, explain_sync
from storage.database import Database
from storage.tables import profiles, sync_mappings

_OF_PROFILE = text("""
select s.destination_id, s.profile_id, s.state, s.reason, s.message, s.wanted_version, s.delivered_version, s.due_at,
    s.next_attempt_at, s.run_id, d.status = 'paused' and d.deleted_at is null as paused, d.pause_reason,
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


# By the indexes of what is open: the profile's log may be long.
_EVENTS_OF_PROFILE = text("""
with queued as (
    select destination_id, count(*) as queued from deliveries
    where profile_id = :profile_id and kind = 'event' and status = 'queued' group by destination_id
), blockers as (
    select r.destination_id, json_build_object(
        'delivery_id', l.id, 'event_id', l.event_id, 'mapping_id', l.mapping_id, 'status', l.status, 'reason', l.reason,
        'message', l.message, 'attempts', l.attempts, 'next_attempt_at', l.next_attempt_at, 'run_id', r.run_id) as blocker
    from event_retries r join deliveries l on l.id = r.delivery_id
    where r.profile_id = :profile_id
)
select d.id as destination_id, coalesce(q.queued, 0) as queued, b.blocker, coalesce(e.home, :lane) as home,
    exists (select from event_lanes o where o.destination_id = d.id and o.outage_since is not null) as outage,
    d.status = 'paused' as paused, d.pause_reason
from queued q full join blockers b on b.destination_id = q.destination_id
join destinations d on d.id = coalesce(q.destination_id, b.destination_id) and d.deleted_at is null
left join event_lanes e on e.destination_id = d.id and e.lane = :lane
""")


@dataclass(frozen=True, slots=True)
class SyncView:
    """`explanation` holds the shown state: `held` while the destination is paused.

    `wanted_version` is None where only events are wanted of the profile, `events` where none of it waits.
    """

    destination_id: str
    profile_id: str
    wanted_version: int | None
    delivered_version: int | None
    run_id: str | None
    explanation: SyncExplanation
    mappings: list[MappingState]
    events: EventBacklog | None


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
            parameters = {"profile_id": profile_id, "lane": lane_of(profile_id)}
            waiting = (await connection.execute(_EVENTS_OF_PROFILE, parameters)).mappings().all()
        backlogs = {row["destination_id"]: _backlog(row) for row in waiting}
        views = [_view(row, backlogs.pop(row["destination_id"], None)) for row in rows]
        views += [_of_events(each, profile_id, backlog) for each, backlog in backlogs.items()]
        return sorted(views, key=lambda view: view.destination_id)

    async def delivered_users(self, destination_id: str, profile_id: str) -> dict[str, dict[str, Any] | None]:
        """The profile as each mapping last delivered it, by mapping id; None for one that never did."""
        query = select(sync_mappings.c.mapping_id, sync_mappings.c.delivered_user).where(
            sync_mappings.c.destination_id == destination_id, sync_mappings.c.profile_id == profile_id
        )
        async with self._database.statement() as connection:
            return {row.mapping_id: row.delivered_user for row in await connection.execute(query)}


def _view(row: Any, events: EventBacklog | None) -> SyncView:
    mappings = [_mapping(each) for each in row["mappings"]]
    own = {name: row[name] for name in StoredSync.__dataclass_fields__ if name != "mappings"}
    return SyncView(
        destination_id=row["destination_id"],
        profile_id=row["profile_id"],
        wanted_version=row["wanted_version"],
        delivered_version=row["delivered_version"],
        run_id=row["run_id"],
        explanation=explain_sync(StoredSync(**own, mappings=mappings)),
        mappings=mappings,
        events=events.shown() if events else None,
    )


def _of_events(destination_id: str, profile_id: str, backlog: EventBacklog) -> SyncView:
    return SyncView(
        destination_id=destination_id,
        profile_id=profile_id,
        wanted_version=None,
        delivered_version=None,
        run_id=None,
        explanation=explain_events(backlog),
        mappings=[],
        events=backlog.shown(),
    )


def _backlog(row: Any) -> EventBacklog:
    own = {name: row[name] for name in EventBacklog.__dataclass_fields__ if name != "blocker"}
    stored = row["blocker"]
    return EventBacklog(**own, blocker=Blocker(**_timed(stored)) if stored else None)


def _mapping(stored: dict[str, Any]) -> MappingState:
    return MappingState(**_timed(stored))


def _timed(stored: dict[str, Any]) -> dict[str, Any]:
    at = stored["next_attempt_at"]
    return {**stored, "next_attempt_at": datetime.fromisoformat(at) if at else None}
