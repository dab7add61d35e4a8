"""What is open right now, for monitoring. Only what partial indexes can count: a scrape must not read the whole log."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import text

from storage.database import Database

_OPEN = text("""
select s.destination_id,
    case when d.status = 'paused' and s.state <> 'delivering' then 'held' else s.state end as state,
    count(*) as syncs,
    extract(epoch from clock_timestamp() - min(s.updated_at))::double precision as oldest_seconds
from syncs s join destinations d on d.id = s.destination_id
where s.state in ('waiting', 'delivering', 'retrying')
group by 1, 2
""")

_FAILED = text(
    "select destination_id, count(*) as failed from deliveries where status = 'failed' and kind <> 'test' group by 1"
)


@dataclass(frozen=True, slots=True)
class OpenSyncs:
    """`oldest_seconds`: how long ago the one that changed longest ago did."""

    destination_id: str
    state: str
    syncs: int
    oldest_seconds: float


class Gauges:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def open_syncs(self) -> list[OpenSyncs]:
        async with self._database.statement() as connection:
            return [OpenSyncs(**row) for row in (await connection.execute(_OPEN)).mappings()]

    async def failed_deliveries(self) -> dict[str, int]:
        """Dead letters by destination."""
        async with self._database.statement() as connection:
            return {row["destination_id"]: row["failed"] for row in (await connection.execute(_FAILED)).mappings()}

    async def reachable(self) -> None:
        """Raises whatever a lost database raises."""
        async with self._database.statement() as connection:
            await connection.execute(text("select 1"))
