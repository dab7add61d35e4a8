"""Rows as the rest of the product would have written them."""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import insert, text
from uuid_utils.compat import uuid7

from domain.destinations import DestinationSpec
from storage.database import Database
from storage.destinations import Destination, Destinations
from storage.publications import Publications
from storage.tables import attempts, deliveries

A_MAPPING: dict[str, Any] = {"id": "contact", "source": "profile", "action": "send"}
ACCEPT_ALL = lambda connector, spec: None  # noqa: E731


def a_spec(**changes: Any) -> DestinationSpec:
    return DestinationSpec.model_validate({"name": "CRM", "mappings": [A_MAPPING], **changes})


async def a_destination(database: Database, destination_id: str = "crm", **changes: Any) -> Destination:
    """Published."""
    destinations = Destinations(database)
    await destinations.create(destination_id, "webhook", a_spec(**changes))
    await Publications(database).publish(destination_id, note=None, by=None, admit=ACCEPT_ALL)
    return await destinations.get(destination_id)


async def a_delivery(database: Database, **changes: Any) -> str:
    """A delivered profile delivery of `crm`, unless told otherwise. Answers its id."""
    values = {
        "id": str(uuid7()),
        "kind": "profile_sync",
        "destination_id": "crm",
        "mapping_id": "contact",
        "profile_id": "ada",
        "status": "delivered",
        "attempts": 0,
        "attempts_before": 0,
        "created_at": text("clock_timestamp()"),
        "updated_at": text("clock_timestamp()"),
        **changes,
    }
    async with database.statement() as connection:
        await connection.execute(insert(deliveries).values(values))
    return str(values["id"])


async def an_attempt(database: Database, delivery_id: str, number: int = 1, **changes: Any) -> None:
    values = {
        "delivery_id": delivery_id,
        "number": number,
        "started_at": text("clock_timestamp()"),
        "duration_ms": 12.5,
        "request": {"method": "POST", "url": "https://crm.example.com", "headers": {}, "body": "{}"},
        "response": {"status": 200, "headers": {}, "body": "ok"},
        "outcome": "delivered",
        **changes,
    }
    async with database.statement() as connection:
        await connection.execute(insert(attempts).values(values))


async def a_sync(database: Database, destination_id: str, profile_id: str, **changes: Any) -> None:
    """Brings the sync that the profile's change made into another state."""
    assignments = ", ".join(f"{name} = :{name}" for name in changes)
    async with database.statement() as connection:
        await connection.execute(
            text(f"update syncs set {assignments} where destination_id = :d and profile_id = :p"),
            {**changes, "d": destination_id, "p": profile_id},
        )


async def rows(database: Database, statement: str, **parameters: Any) -> list[dict[str, Any]]:
    async with database.statement() as connection:
        found = (await connection.execute(text(statement), parameters)).mappings().all()
    return [json.loads(json.dumps(dict(row), default=str)) for row in found]
