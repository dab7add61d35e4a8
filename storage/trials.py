"""Deliveries of kind `test`: made by somebody who tries a destination out. No workflow, no retries, no sync."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import text

from domain.deliveries import AttemptOutcome, DeliveryStatus
from storage.attempts import Ended
from storage.database import Database

UNKNOWN = "unknown_outcome"
UNKNOWN_MESSAGE = (
    "no answer was recorded: the test is still running, or the API ended during it and the receiver may have had it"
)

_BEGIN = text("""
with listed as (
    select * from jsonb_to_recordset(cast(:entries as jsonb)) as e(id uuid, mapping_id text, status text, reason text,
        message text, attempted boolean, finished boolean, outcome text, error jsonb, request jsonb)
), made as (
    insert into deliveries (id, kind, destination_id, mapping_id, profile_id, status, reason, message, revision,
                            profile_version, attempts, finished_at)
    select id, 'test', :destination_id, mapping_id, :profile_id, status, reason, message, :revision, :profile_version,
           case when attempted then 1 else 0 end, case when finished then clock_timestamp() end
    from listed
    returning id
)
insert into attempts (delivery_id, number, revision, profile_version, started_at, request, outcome, error)
select listed.id, 1, :revision, :profile_version, clock_timestamp(), request, outcome, error
from listed join made on made.id = listed.id where attempted
""")

_END = text("""
with noted as (
    update attempts set duration_ms = :duration_ms, request = cast(:request as jsonb),
        response = cast(:response as jsonb), outcome = :outcome, error = cast(:error as jsonb)
    where delivery_id = :id and number = 1
)
update deliveries set status = :status, reason = :reason, message = :message, updated_at = clock_timestamp(),
    finished_at = clock_timestamp()
where id = :id and kind = 'test'
""")


@dataclass(frozen=True, slots=True)
class TrialEntry:
    """One mapping's test. `ended` is None for what is about to be sent, which then counts as failed until it has ended.

    `attempted`: an attempt is written down for it; a mapping that was refused has none.
    """

    delivery_id: str
    mapping_id: str
    request: dict[str, Any] | None = None
    ended: Ended | None = None
    attempted: bool = True


class Trials:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def begin(
        self,
        entries: Sequence[TrialEntry],
        *,
        destination_id: str,
        revision: int | None,
        profile_id: str,
        profile_version: int | None,
    ) -> None:
        """Before anything is sent, so that a test that is cut short leaves a trace, and never one that seems to go on."""
        parameters = {
            "entries": json.dumps([_row(entry) for entry in entries]),
            "destination_id": destination_id,
            "revision": revision,
            "profile_id": profile_id,
            "profile_version": profile_version,
        }
        async with self._database.statement() as connection:
            await connection.execute(_BEGIN, parameters)

    async def end(self, delivery_id: str, ended: Ended) -> None:
        parameters = {
            "id": delivery_id,
            "duration_ms": ended.duration_ms,
            "request": json.dumps(ended.request),
            "response": json.dumps(ended.response),
            "outcome": ended.outcome,
            "error": json.dumps(ended.error),
            "status": ended.status,
            "reason": ended.reason,
            "message": ended.message,
        }
        async with self._database.statement() as connection:
            await connection.execute(_END, parameters)


_UNDER_WAY = Ended(AttemptOutcome.UNKNOWN, DeliveryStatus.FAILED, UNKNOWN, UNKNOWN_MESSAGE)


def _row(entry: TrialEntry) -> dict[str, Any]:
    ended = entry.ended or _UNDER_WAY
    return {
        "id": entry.delivery_id,
        "mapping_id": entry.mapping_id,
        "status": ended.status,
        "reason": ended.reason,
        "message": ended.message,
        "attempted": entry.attempted,
        "finished": entry.ended is not None,
        "outcome": ended.outcome,
        "error": ended.error,
        "request": entry.request,
    }
