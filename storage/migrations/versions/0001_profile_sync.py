"""Profiles, destinations, syncs, deliveries, attempts, credentials and API keys."""

from __future__ import annotations

from alembic import op

revision = "0001"
down_revision = None

TABLES = """
create table api_keys (
    id uuid primary key,
    name text not null,
    prefix text not null,
    hash bytea not null unique,
    scopes text[] not null,
    created_at timestamptz not null default now(),
    revoked_at timestamptz
);

create table credentials (
    id text primary key,
    name text not null,
    connector text not null,
    environment text not null check (environment in ('production', 'test')),
    secrets bytea not null,
    previous_secrets bytea,
    previous_until timestamptz,
    version integer not null default 1,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now()
);

create table destinations (
    id text primary key,
    connector text not null,
    status text not null default 'running' check (status in ('running', 'paused')),
    pause_reason text,
    paused_at timestamptz,
    published_revision integer,
    takes_profiles boolean not null default false,
    quiet_seconds double precision not null default 20,
    max_wait_seconds double precision not null default 300,
    tell_epoch bigint not null default 0,
    told_epoch bigint not null default 0,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    deleted_at timestamptz
);
create index destinations_taking_profiles on destinations (id) where takes_profiles and deleted_at is null;
create index destinations_to_tell on destinations (id) where tell_epoch > told_epoch;

create table destination_revisions (
    destination_id text not null references destinations (id),
    number integer not null,
    spec json not null,
    note text,
    published_at timestamptz not null default now(),
    published_by text,
    primary key (destination_id, number)
);

create table destination_drafts (
    destination_id text primary key references destinations (id),
    spec json not null,
    updated_at timestamptz not null default now()
);

create table profiles (
    id text primary key,
    version bigint not null,
    document jsonb not null,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    deleted_at timestamptz
);

create table syncs (
    destination_id text not null references destinations (id),
    profile_id text not null references profiles (id),
    wanted_version bigint not null,
    delivered_version bigint,
    state text not null
        check (state in ('idle', 'waiting', 'delivering', 'retrying', 'failed', 'skipped', 'discarded')),
    reason text,
    message text,
    first_change_at timestamptz,
    due_at timestamptz,
    next_attempt_at timestamptz,
    watched boolean not null default false,
    signal text check (signal in ('profile_changed', 'deliver_now')),
    signal_epoch bigint not null default 0,
    signal_claimed_until timestamptz,
    run_id text,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    primary key (destination_id, profile_id)
) with (fillfactor = 80);
create index syncs_to_signal on syncs (due_at) where signal is not null;
create index syncs_of_profile on syncs (profile_id);
create index syncs_open on syncs (updated_at) where state in ('waiting', 'delivering', 'retrying');

create table sync_mappings (
    destination_id text not null,
    profile_id text not null,
    mapping_id text not null,
    settled_version bigint not null default 0,
    delivered_version bigint,
    delivered_user jsonb,
    delivery_id uuid,
    status text not null,
    primary key (destination_id, profile_id, mapping_id),
    foreign key (destination_id, profile_id) references syncs (destination_id, profile_id)
) with (fillfactor = 80);

create table deliveries (
    id uuid primary key,
    kind text not null check (kind in ('profile_sync', 'event', 'test')),
    destination_id text not null references destinations (id),
    mapping_id text,
    profile_id text,
    event_id uuid,
    status text not null
        check (status in ('queued', 'delivering', 'retrying', 'delivered', 'skipped', 'failed', 'discarded')),
    reason text,
    message text,
    revision integer,
    profile_version bigint,
    attempts integer not null default 0,
    attempts_before integer not null default 0,
    next_attempt_at timestamptz,
    workflow_id text,
    run_id text,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    finished_at timestamptz
) with (fillfactor = 80);
create index deliveries_of_destination on deliveries (destination_id, id desc);
create index deliveries_of_profile on deliveries (profile_id, id desc);
create index deliveries_open on deliveries (destination_id, status)
    where status in ('queued', 'delivering', 'retrying');
create index deliveries_failed on deliveries (destination_id, id desc) where status = 'failed';

create table attempts (
    delivery_id uuid not null references deliveries (id),
    number integer not null,
    started_at timestamptz not null default now(),
    duration_ms double precision,
    revision integer,
    profile_version bigint,
    request jsonb,
    response jsonb,
    may_have_arrived boolean not null default true,
    outcome text check (outcome in ('delivered', 'retry', 'definitive', 'skipped', 'unknown')),
    error jsonb,
    primary key (delivery_id, number)
);
"""

# RFC 7396 in the database, so that a PATCH is one statement: no row is read, merged elsewhere and written back.
MERGE_PATCH = """
create function json_merge_patch(target jsonb, patch jsonb) returns jsonb
language plpgsql immutable parallel safe as $$
declare
    result jsonb;
    member record;
begin
    if jsonb_typeof(patch) is distinct from 'object' then
        return patch;
    end if;
    result := case when jsonb_typeof(target) = 'object' then target else '{}'::jsonb end;
    for member in select key, value from jsonb_each(patch) loop
        if member.value = 'null'::jsonb then
            result := result - member.key;
        elsif jsonb_typeof(member.value) = 'object' then
            result := jsonb_set(result, array[member.key], json_merge_patch(result -> member.key, member.value));
        else
            result := jsonb_set(result, array[member.key], member.value);
        end if;
    end loop;
    return result;
end
$$;
"""

# Volatile, so it reads what is committed when it is called, not when the statement that calls it began: an attempt that had to wait
# for a lock must see a pause that was answered meanwhile.
DESTINATION_STATUS = """
create function destination_status(wanted text) returns text
language plpgsql volatile as $$
begin
    return (select status from destinations where id = wanted);
end
$$;
"""


def upgrade() -> None:
    op.execute(MERGE_PATCH)
    op.execute(DESTINATION_STATUS)
    for statement in TABLES.split(";\n"):
        if statement.strip():
            op.execute(statement)


def downgrade() -> None:
    for table in (
        "attempts",
        "deliveries",
        "sync_mappings",
        "syncs",
        "profiles",
        "destination_drafts",
        "destination_revisions",
        "destinations",
        "credentials",
        "api_keys",
    ):
        op.execute(f"drop table {table}")
    op.execute("drop function json_merge_patch")
    op.execute("drop function destination_status")
