"""Brings a database to the newest schema."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, text

from storage.database import Database

LOCK = 7_367_823  # an arbitrary but fixed number: two replicas that migrate at once do so one after the other


def _upgrade(connection: Connection) -> None:
    connection.execute(text("select pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


async def upgrade(database: Database) -> None:
    """Idempotent; safe to run from several processes at once."""
    async with database.transaction() as connection:
        await connection.run_sync(_upgrade)
