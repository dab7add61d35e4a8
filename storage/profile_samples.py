"""What stored profiles look like: a look at some of them, within a bounded time."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import text

from domain.errors import Unavailable
from storage.database import Database

SAMPLED = 1_000  # profiles; a field that one in a hundred has is then missed once in 20,000 looks
LOOK_UP_MS = 1_000  # somebody waits for it while typing
MAX_PATHS = 50  # a condition of more fields was generated; the others are not looked up

Path = tuple[str, ...]

# Blocks taken at random, enough for the sample (dead rows count too); all of them where there are few, or where
# nobody has counted them yet.
_PERCENT = text("""
select least(100, 200.0 * :rows / greatest(reltuples, 1)) from pg_class where oid = cast('profiles' as regclass)
""")

_LOOK = text("""
with sample as materialized (
    select document from profiles tablesample system (cast(:percent as real)) where deleted_at is null limit :rows
), wanted as (
    select row_number() over () - 1 as number,
        array(select jsonb_array_elements_text(path)) as path
    from jsonb_array_elements(cast(:paths as jsonb)) as listed(path)
)
select w.number, (select count(*) from sample) as looked_at,
    (select coalesce(array_agg(distinct jsonb_typeof(document #> w.path)), '{}') from sample
     where document #> w.path is not null) as types
from wanted w order by w.number
""")


@dataclass(frozen=True, slots=True)
class ProfileSample:
    """`types`: JSON types found at each path, none if no profile of the sample has it. `complete`: these were all profiles."""

    looked_at: int
    complete: bool
    types: dict[Path, frozenset[str]]


class ProfileSamples:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def look_up(self, paths: Collection[Path]) -> ProfileSample | None:
        """None when it would take too long. `paths` beyond `MAX_PATHS` are left out."""
        chosen = sorted(paths)[:MAX_PATHS]
        try:
            async with self._database.transaction() as connection:
                await connection.execute(text(f"set local statement_timeout = {LOOK_UP_MS}"))
                percent = float((await connection.execute(_PERCENT, {"rows": SAMPLED})).scalar_one())
                parameters = {"percent": percent, "rows": SAMPLED, "paths": json.dumps(chosen)}
                rows = (await connection.execute(_LOOK, parameters)).all()
        except Unavailable:
            return None
        looked_at = rows[0].looked_at if rows else 0
        types = {path: frozenset(row.types) for path, row in zip(chosen, rows, strict=True)}
        return ProfileSample(looked_at, percent >= 100 and looked_at < SAMPLED, types)
