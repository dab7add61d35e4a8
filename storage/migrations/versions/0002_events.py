"""Events, the routes they take to destinations, their queue, and who works on it."""

from __future__ import annotations

from alembic import op

revision = "0002"
down_revision = "0001"

TABLES = """
create sequence event_sequence;

create table events (
    id uuid primary key,
    sequence bigint not null,
    source_id text not null,
    message_id text not null,
    type text not null,
    name text,
    profile_id text not null,
    event json not null,
    received_at timestamptz not null,
    unique (source_id, message_id)
);
create index events_of_profile on events (profile_id, id desc);

create table event_routes (
    destination_id text not null references destinations (id),
    mapping_id text not null,
    ordinal smallint not null,
    sources text[] not null,
    mode text not null check (mode in ('all', 'only', 'except')),
    names text[] not null,
    primary key (destination_id, mapping_id)
);

alter table deliveries add column lane smallint;
alter table deliveries add column position bigint;
create index deliveries_of_event on deliveries (event_id) where event_id is not null;
create index deliveries_queue on deliveries (destination_id, lane, position) where kind = 'event' and status = 'queued';
create index deliveries_queue_of_profile on deliveries (profile_id) where kind = 'event' and status = 'queued';

create table event_lanes (
    destination_id text not null references destinations (id),
    lane smallint not null,
    home smallint,
    alone boolean not null default false,
    wanted boolean not null default false,
    wanted_epoch bigint not null default 0,
    wanted_claimed_until timestamptz,
    epoch bigint not null default 0,
    permit_until timestamptz,
    claimed uuid[] not null default '{}',
    scanned bigint not null default 0,
    returned bigint not null default 0,
    outage_since timestamptz,
    probe_at timestamptz,
    updated_at timestamptz not null default now(),
    primary key (destination_id, lane)
) with (fillfactor = 50);
create index event_lanes_wanted on event_lanes (destination_id) where wanted;

create table event_retries (
    destination_id text not null references destinations (id),
    profile_id text not null,
    lane smallint not null,
    delivery_id uuid not null references deliveries (id),
    signal text check (signal in ('retry', 'deliver_now')),
    signal_epoch bigint not null default (random() * 9e18)::bigint,
    signal_claimed_until timestamptz,
    run_id text,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    primary key (destination_id, profile_id)
) with (fillfactor = 80);
create index event_retries_to_signal on event_retries (created_at) where signal is not null;
create index event_retries_of_profile on event_retries (profile_id);

alter table destinations add column rate_per_second double precision;
create table rate_limits (
    destination_id text primary key references destinations (id),
    next_at timestamptz not null,
    since timestamptz not null default now()
) with (fillfactor = 50);
"""

# Time-ordered (RFC 9562), so that a page of the newest reads one end of an index.
UUID7 = """
create function uuid7() returns uuid
language sql volatile parallel safe as $$
    select encode(set_bit(set_bit(overlay(
        uuid_send(gen_random_uuid())
        placing substring(int8send((extract(epoch from clock_timestamp()) * 1000)::bigint) from 3)
        from 1 for 6), 52, 1), 53, 1), 'hex')::uuid
$$;
"""

# What identify calls, one after the other, make of a profile; domain/calls.py says the same in Python, for previews.
# One patch for all of them would not do: a number that becomes an object and then loses a member is not one merge patch.
IDENTIFIED = """
create function identified(document jsonb, patches jsonb) returns jsonb
language plpgsql immutable parallel safe as $$
declare
    patch jsonb;
    named boolean;
begin
    for patch in select value from jsonb_array_elements(patches) loop
        named := jsonb_typeof(document -> 'email') = 'string' and jsonb_typeof(patch #> '{properties,email}') = 'string';
        document := json_merge_patch(document, patch);
        if named then
            document := jsonb_set(document, '{email}', patch #> '{properties,email}');
        end if;
    end loop;
    return document;
end
$$;
"""

# What is published already takes events from now on.
ROUTES = """
insert into event_routes (destination_id, mapping_id, ordinal, sources, mode, names)
select d.id, m.mapping ->> 'id', m.ordinal - 1,
    array(select json_array_elements_text(r.spec -> 'sources')),
    coalesce(m.mapping #>> '{events,mode}', 'all'),
    array(select json_array_elements_text(coalesce(m.mapping #> '{events,names}', '[]'::json)))
from destinations d
join destination_revisions r on r.destination_id = d.id and r.number = d.published_revision
cross join json_array_elements(r.spec -> 'mappings') with ordinality as m(mapping, ordinal)
where d.deleted_at is null and m.mapping ->> 'source' = 'events'
    and coalesce(cast(m.mapping ->> 'enabled' as boolean), true)
"""

RATES = """
update destinations d set rate_per_second = cast(r.spec #>> '{rate_limit,per_second}' as double precision)
from destination_revisions r
where r.destination_id = d.id and r.number = d.published_revision and r.spec #>> '{rate_limit,per_second}' is not null
"""


def upgrade() -> None:
    op.execute(UUID7)
    op.execute(IDENTIFIED)
    for statement in TABLES.split(";\n"):
        if statement.strip():
            op.execute(statement)
    op.execute(ROUTES)
    op.execute(RATES)


def downgrade() -> None:
    for table in ("rate_limits", "event_retries", "event_lanes", "event_routes", "events"):
        op.execute(f"drop table {table}")
    op.execute("alter table destinations drop column rate_per_second")
    op.execute("drop sequence event_sequence")
    op.execute("drop index deliveries_queue_of_profile")
    op.execute("drop index deliveries_queue")
    op.execute("drop index deliveries_of_event")
    op.execute("alter table deliveries drop column lane, drop column position")
    op.execute("drop function identified")
    op.execute("drop function uuid7")
