"""The rows that a year leaves: events, their deliveries and attempts, copies of real ones with ids and times of their own."""

from __future__ import annotations

from collections.abc import Sequence

import asyncpg

__all__ = ["plant_old_rows"]

_SECONDS = 240
_STATEMENTS = (
    "set session_replication_role = replica",  # without the checks of foreign keys, which take most of the time
    """
    create temp table old as
    select n, uuid7() as event_id, uuid7() as delivery_id, nextval('event_sequence') as sequence,
        'customer-' || lpad((n % 2000)::text, 6, '0') as profile_id, ($2::text[])[1 + n % cardinality($2::text[])] as destination_id,
        now() - make_interval(secs => 30 * ($1 - n)) as at
    from generate_series(1, $1) as n
    """,
    """
    insert into events (id, sequence, source_id, message_id, type, name, profile_id, event, received_at)
    select event_id, sequence, '', 'old-' || n, 'track', 'Old', profile_id, (select event from events limit 1), at from old
    """,
    """
    insert into deliveries (id, kind, destination_id, mapping_id, profile_id, event_id, status, revision, profile_version, attempts,
        lane, position, workflow_id, run_id, created_at, updated_at, finished_at)
    select delivery_id, 'event', destination_id, 'events', profile_id, event_id, 'delivered', 1, 1, 1,
        n % 4, sequence * 128, 'event-delivery/' || destination_id || '/0', gen_random_uuid()::text, at, at, at from old
    """,
    """
    insert into attempts (delivery_id, number, started_at, duration_ms, revision, profile_version, request, response, outcome)
    select delivery_id, 1, at, 2.5, 1, 1, sample.request, sample.response, 'delivered'
    from old cross join (select request, response from attempts where outcome = 'delivered' limit 1) sample
    """,
    "drop table old",
    "set session_replication_role = default",
    "analyze",
    "checkpoint",
)


async def plant_old_rows(sql: asyncpg.Connection, rows: int, *, destination_ids: Sequence[str]) -> None:
    """So many of each, spread over these destinations."""
    for statement in _STATEMENTS:
        arguments = (rows, list(destination_ids)) if "$1" in statement else ()
        await sql.execute(statement, *arguments, timeout=_SECONDS)
