"""`python -m storage.migrations`: bring the database named by DATABASE_URL to the newest schema."""

from __future__ import annotations

import asyncio

from runtime.settings import DatabaseSettings, load_settings
from storage.database import Database
from storage.migrations.upgrade import upgrade


async def main() -> None:
    database = Database(load_settings(DatabaseSettings).database_url, pool_size=1)
    try:
        await upgrade(database)
    finally:
        await database.close()


if __name__ == "__main__":
    asyncio.run(main())
