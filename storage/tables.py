"""The tables, as SQLAlchemy Core sees them. The migrations create them; a test proves that the two agree."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Double,
    ForeignKey,
    ForeignKeyConstraint,
    Integer,
    LargeBinary,
    MetaData,
    Sequence,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSON, JSONB, UUID

metadata = MetaData()

_ID = UUID(as_uuid=False)
_TIME = DateTime(timezone=True)


def _destination_id(*, primary_key: bool = False) -> Column[str]:
    return Column("destination_id", Text, ForeignKey("destinations.id"), nullable=False, primary_key=primary_key)


api_keys = Table(
    "api_keys",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("name", Text, nullable=False),
    Column("prefix", Text, nullable=False),
    Column("hash", LargeBinary, nullable=False, unique=True),
    Column("scopes", ARRAY(Text), nullable=False),
    Column("created_at", _TIME, nullable=False),
    Column("revoked_at", _TIME),
)

credentials = Table(
    "credentials",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("connector", Text, nullable=False),
    Column("environment", Text, nullable=False),
    Column("secrets", LargeBinary, nullable=False),
    Column("previous_secrets", LargeBinary),
    Column("previous_until", _TIME),
    Column("version", Integer, nullable=False),
    Column("created_at", _TIME, nullable=False),
    Column("updated_at", _TIME, nullable=False),
)

destinations = Table(
    "destinations",
    metadata,
    Column("id", Text, primary_key=True),
    Column("connector", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("pause_reason", Text),
    Column("paused_at", _TIME),
    Column("published_revision", Integer),
    # What fan-out needs of the published revision, so that accepting a change never parses one.
    Column("takes_profiles", Boolean, nullable=False),
    Column("quiet_seconds", Double, nullable=False),
    Column("max_wait_seconds", Double, nullable=False),
    # What attempts need of it, so that one to a destination without a limit looks nowhere else. Null: no limit.
    Column("rate_per_second", Double),
    # Raised whenever the running workflows must be told (pause, resume, delete); the dispatcher catches `told_epoch` up.
    Column("tell_epoch", BigInteger, nullable=False),
    Column("told_epoch", BigInteger, nullable=False),
    Column("created_at", _TIME, nullable=False),
    Column("updated_at", _TIME, nullable=False),
    Column("deleted_at", _TIME),
)

destination_revisions = Table(
    "destination_revisions",
    metadata,
    _destination_id(primary_key=True),
    Column("number", Integer, primary_key=True),
    # Not jsonb, which forgets the order of members: people expect a body to be sent as they wrote it.
    Column("spec", JSON, nullable=False),
    Column("note", Text),
    Column("published_at", _TIME, nullable=False),
    Column("published_by", Text),
)

destination_drafts = Table(
    "destination_drafts",
    metadata,
    _destination_id(primary_key=True),
    Column("spec", JSON, nullable=False),
    Column("updated_at", _TIME, nullable=False),
)

profiles = Table(
    "profiles",
    metadata,
    Column("id", Text, primary_key=True),
    Column("version", BigInteger, nullable=False),
    Column("document", JSONB, nullable=False),
    Column("created_at", _TIME, nullable=False),
    Column("updated_at", _TIME, nullable=False),
    Column("deleted_at", _TIME),  # a tombstone keeps the version counting, so that nothing goes backwards
)

syncs = Table(
    "syncs",
    metadata,
    _destination_id(primary_key=True),
    Column("profile_id", Text, ForeignKey("profiles.id"), primary_key=True),
    Column("wanted_version", BigInteger, nullable=False),
    Column("delivered_version", BigInteger),
    Column("state", Text, nullable=False),
    Column("reason", Text),
    Column("message", Text),
    # The debounce: set while a change has not been planned for delivery yet.
    Column("first_change_at", _TIME),
    Column("due_at", _TIME),
    Column("next_attempt_at", _TIME),
    # Whether a workflow will look at this row by itself; if not, the next change must signal one.
    Column("watched", Boolean, nullable=False),
    # The outbox: which signal the dispatcher still has to send, who is sending it, and what overtook it meanwhile.
    Column("signal", Text),
    Column("signal_epoch", BigInteger, nullable=False),
    Column("signal_claimed_until", _TIME),
    Column("run_id", Text),
    Column("created_at", _TIME, nullable=False),
    Column("updated_at", _TIME, nullable=False),
)

sync_mappings = Table(
    "sync_mappings",
    metadata,
    Column("destination_id", Text, primary_key=True),
    Column("profile_id", Text, primary_key=True),
    Column("mapping_id", Text, primary_key=True),
    Column("settled_version", BigInteger, nullable=False),
    Column("delivered_version", BigInteger),
    Column("delivered_user", JSONB),
    Column("delivery_id", _ID),
    Column("status", Text, nullable=False),
    ForeignKeyConstraint(["destination_id", "profile_id"], ["syncs.destination_id", "syncs.profile_id"]),
)

deliveries = Table(
    "deliveries",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("kind", Text, nullable=False),
    _destination_id(),
    Column("mapping_id", Text),
    Column("profile_id", Text),
    Column("event_id", _ID),
    Column("status", Text, nullable=False),
    Column("reason", Text),
    Column("message", Text),
    Column("revision", Integer),
    Column("profile_version", BigInteger),
    Column("attempts", Integer, nullable=False),
    # How many of `attempts` belong to earlier rounds, before somebody asked for a retry.
    Column("attempts_before", Integer, nullable=False),
    Column("next_attempt_at", _TIME),
    Column("workflow_id", Text),
    Column("run_id", Text),
    Column("created_at", _TIME, nullable=False),
    Column("updated_at", _TIME, nullable=False),
    Column("finished_at", _TIME),
    # Of event deliveries only: their place in their destination's queue.
    Column("lane", SmallInteger),
    Column("position", BigInteger),
)

attempts = Table(
    "attempts",
    metadata,
    Column("delivery_id", _ID, ForeignKey("deliveries.id"), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("started_at", _TIME, nullable=False),
    Column("duration_ms", Double),
    Column("revision", Integer),
    Column("profile_version", BigInteger),
    Column("request", JSONB),
    Column("response", JSONB),
    # Whether the receiver may have taken what was sent. True until it is known that it did not.
    Column("may_have_arrived", Boolean, nullable=False),
    Column("outcome", Text),
    Column("error", JSONB),
)

Sequence("event_sequence", metadata=metadata)

events = Table(
    "events",
    metadata,
    Column("id", _ID, primary_key=True),
    # The order of reception: rises for each profile, since whoever stores an event holds its profile's row.
    Column("sequence", BigInteger, nullable=False),
    Column("source_id", Text, nullable=False),  # "" is the API itself
    Column("message_id", Text, nullable=False),
    Column("type", Text, nullable=False),
    Column("name", Text),
    Column("profile_id", Text, nullable=False),
    Column("event", JSON, nullable=False),
    Column("received_at", _TIME, nullable=False),
    UniqueConstraint("source_id", "message_id"),
)

# What fan-out needs of the published revisions: one row for each mapping of events.
event_routes = Table(
    "event_routes",
    metadata,
    _destination_id(primary_key=True),
    Column("mapping_id", Text, primary_key=True),
    Column("ordinal", SmallInteger, nullable=False),
    Column("sources", ARRAY(Text), nullable=False),
    Column("mode", Text, nullable=False),
    Column("names", ARRAY(Text), nullable=False),
)

event_lanes = Table(
    "event_lanes",
    metadata,
    _destination_id(primary_key=True),
    Column("lane", SmallInteger, primary_key=True),
    # The lane whose pump serves this one; null while nobody does. `alone`: its next pump serves no other lane.
    Column("home", SmallInteger),
    Column("alone", Boolean, nullable=False),
    # The outbox: its pump is still to be started or woken, and who is doing that.
    Column("wanted", Boolean, nullable=False),
    Column("wanted_epoch", BigInteger, nullable=False),
    Column("wanted_claimed_until", _TIME),
    # Of a home: the lease of its pump, until when that may begin attempts, and what it has in hand.
    Column("epoch", BigInteger, nullable=False),
    Column("permit_until", _TIME),
    Column("claimed", ARRAY(_ID), nullable=False),
    # Up to this position everything has ended or is held back by its profile.
    Column("scanned", BigInteger, nullable=False),
    # Raised whenever something is to go that lies before what may have been read already.
    Column("returned", BigInteger, nullable=False),
    Column("outage_since", _TIME),
    Column("probe_at", _TIME),  # during an outage: when its pump looks again
    Column("updated_at", _TIME, nullable=False),
)

# A profile whose next event failed for now: its events wait behind that delivery. Outbox and state in one.
event_retries = Table(
    "event_retries",
    metadata,
    _destination_id(primary_key=True),
    Column("profile_id", Text, primary_key=True),
    Column("lane", SmallInteger, nullable=False),
    Column("delivery_id", _ID, ForeignKey("deliveries.id"), nullable=False),
    Column("signal", Text),
    # At first by chance: a signal sent for an earlier failure of the profile must not be taken for one of this.
    Column("signal_epoch", BigInteger, nullable=False),
    Column("signal_claimed_until", _TIME),
    Column("run_id", Text),
    Column("created_at", _TIME, nullable=False),
    Column("updated_at", _TIME, nullable=False),
)

# When a destination with a rate limit takes its next request. Slots that were taken before `since` are not good any more.
rate_limits = Table(
    "rate_limits",
    metadata,
    _destination_id(primary_key=True),
    Column("next_at", _TIME, nullable=False),
    Column("since", _TIME, nullable=False),
)
