"""The proof that nothing accepted vanished: every (destination, profile) pair and event delivery, by its fate."""

from __future__ import annotations

from dataclasses import dataclass, fields

from sqlalchemy import text

from storage.database import Database

# A change that began before a publication committed could not see it; one statement takes milliseconds, this is ample.
PUBLISH_SETTLES_SECONDS = 1.0
# Of events, the newest are held against what should have been queued for them: each mapping is compared with each of them.
RECENT_EVENTS = 20_000

# `since`: when the destination's published revision began to take profiles, going back over revisions that all did.
# The missing pairs are looked for from the profiles' side, not from the counters, so that the two can disagree.
_COUNT = text("""
with taking as (
    select destination_id, number, published_at,
        spec::jsonb -> 'sources' ? '*' and exists (
            select from jsonb_array_elements(spec::jsonb -> 'mappings') m
            where m ->> 'source' = 'profile' and coalesce(cast(m ->> 'enabled' as boolean), true)
        ) as takes
    from destination_revisions
), since as (
    select t.destination_id, min(t.published_at) + make_interval(secs => :settles) as at
    from taking t join destinations d on d.id = t.destination_id and d.takes_profiles and d.deleted_at is null
    where t.takes and t.number > coalesce(
        (select max(n.number) from taking n where n.destination_id = t.destination_id and not n.takes), 0)
    group by t.destination_id
), pairs as (
    select s.destination_id,
        count(*) as accepted,
        count(*) filter (where s.state = 'idle' and s.delivered_version >= s.wanted_version) as delivered,
        count(*) filter (where s.state = 'skipped') as skipped,
        count(*) filter (where s.state = 'failed') as failed,
        count(*) filter (where s.state = 'discarded') as discarded,
        count(*) filter (where s.state = 'delivering' or s.state = 'waiting' and not p.paused) as waiting,
        count(*) filter (where s.state in ('waiting', 'retrying') and p.paused) as held,
        count(*) filter (where s.state = 'retrying' and not p.paused) as retrying,
        count(*) filter (where s.state = 'idle' and s.delivered_version >= s.wanted_version is not true) as unaccounted
    from syncs s join (select id, status = 'paused' and deleted_at is null as paused from destinations) p
        on p.id = s.destination_id
    group by s.destination_id
), of_events as (
    select l.destination_id,
        count(*) as accepted,
        count(*) filter (where l.status = 'delivered') as delivered,
        count(*) filter (where l.status = 'skipped') as skipped,
        count(*) filter (where l.status = 'failed') as failed,
        count(*) filter (where l.status = 'discarded') as discarded,
        count(*) filter (where l.status = 'delivering' or l.status = 'queued' and not p.paused) as waiting,
        count(*) filter (where l.status in ('queued', 'retrying') and p.paused) as held,
        count(*) filter (where l.status = 'retrying' and not p.paused) as retrying,
        0 as unaccounted
    from deliveries l join (select id, status = 'paused' and deleted_at is null as paused from destinations) p
        on p.id = l.destination_id
    where l.kind = 'event'
    group by l.destination_id
), recent as materialized (
    select id, source_id, name, type, received_at from events order by id desc limit :recent
), lost as (
    select r.destination_id, count(*) as unaccounted
    from event_routes r
    join destinations d on d.id = r.destination_id
    join destination_revisions v on v.destination_id = d.id and v.number = d.published_revision
    join recent e on e.received_at > v.published_at + make_interval(secs => :settles)
        and ('*' = any(r.sources) or e.source_id = any(r.sources))
        and (r.mode = 'all' or (coalesce(nullif(e.name, ''), e.type) = any(r.names)) = (r.mode = 'only'))
    where not exists (
        select from deliveries l
        where l.event_id = e.id and l.destination_id = r.destination_id and l.mapping_id = r.mapping_id)
    group by r.destination_id
), missing as (
    select since.destination_id, count(*) as unaccounted
    from since join profiles p on p.updated_at > since.at and p.deleted_at is null
    left join syncs s on s.destination_id = since.destination_id and s.profile_id = p.id
    where s.profile_id is null or p.version > s.wanted_version
    group by since.destination_id
)
select d.id as destination_id,
    coalesce(p.accepted, 0) + coalesce(e.accepted, 0) as accepted,
    coalesce(p.delivered, 0) + coalesce(e.delivered, 0) as delivered,
    coalesce(p.skipped, 0) + coalesce(e.skipped, 0) as skipped,
    coalesce(p.failed, 0) + coalesce(e.failed, 0) as failed,
    coalesce(p.discarded, 0) + coalesce(e.discarded, 0) as discarded,
    coalesce(p.waiting, 0) + coalesce(e.waiting, 0) as waiting,
    coalesce(p.held, 0) + coalesce(e.held, 0) as held,
    coalesce(p.retrying, 0) + coalesce(e.retrying, 0) as retrying,
    coalesce(p.unaccounted, 0) + coalesce(e.unaccounted, 0) + coalesce(m.unaccounted, 0) + coalesce(x.unaccounted, 0) as unaccounted
from destinations d
left join pairs p on p.destination_id = d.id
left join of_events e on e.destination_id = d.id
left join missing m on m.destination_id = d.id
left join lost x on x.destination_id = d.id
where d.deleted_at is null or p.accepted > 0 or e.accepted > 0
order by d.id
""")


@dataclass(frozen=True, slots=True)
class Account:
    """`unaccounted` must be 0: what was accepted, and is in none of the other states."""

    accepted: int = 0
    delivered: int = 0
    skipped: int = 0
    failed: int = 0
    discarded: int = 0
    waiting: int = 0
    held: int = 0
    retrying: int = 0
    unaccounted: int = 0

    def __add__(self, other: Account) -> Account:
        return Account(*(getattr(self, each.name) + getattr(other, each.name) for each in fields(Account)))


class Reconciliation:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def accounts(self) -> dict[str, Account]:
        """By destination, all as of one moment. A deleted destination is in if anything was ever accepted for it."""
        async with self._database.statement() as connection:
            rows = (
                (await connection.execute(_COUNT, {"settles": PUBLISH_SETTLES_SECONDS, "recent": RECENT_EVENTS}))
                .mappings()
                .all()
            )
        return {row["destination_id"]: Account(*(row[each.name] for each in fields(Account))) for row in rows}
