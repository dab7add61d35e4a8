"""Builders: `a_destination(debounce=…)` is a whole, valid thing of which the test says only what matters to it."""

from __future__ import annotations

from typing import Any

from sqlalchemy import text

from domain.destinations import DestinationSpec
from storage.database import Database

USER_BODY = {
    "format": "json",
    "template": {"id": "{{ user.id }}", "version": "{{ user.properties.n | json }}", "email": "{{ user.email }}"},
}


def a_mapping(**changes: Any) -> dict[str, Any]:
    return {"id": "sync", "name": "Sync", "source": "profile", "action": "send", "body": USER_BODY, **changes}


def a_spec(url: str = "http://127.0.0.1:9/", **changes: Any) -> dict[str, Any]:
    """A webhook destination that syncs profiles at once. `settings` given here are added to the URL."""
    settings = {"url": url, **changes.pop("settings", {})}
    return {
        "name": "Test webhook",
        "settings": settings,
        "debounce": {"quiet_seconds": 0, "max_wait_seconds": 0},
        "mappings": [a_mapping()],
        **changes,
    }


async def publish(database: Database, destination_id: str, spec: dict[str, Any]) -> int:
    """Put a published destination straight into the database, or publish a further revision of one."""
    checked = DestinationSpec.model_validate(spec)
    async with database.transaction() as connection:
        await connection.execute(
            text("insert into destinations (id, connector) values (:id, 'webhook') on conflict do nothing"),
            {"id": destination_id},
        )
        number = (
            await connection.execute(
                text(
                    "insert into destination_revisions (destination_id, number, spec) select :id,"
                    " coalesce(max(number), 0) + 1, cast(:spec as json) from destination_revisions"
                    " where destination_id = :id returning number"
                ),
                {"id": destination_id, "spec": checked.model_dump_json()},
            )
        ).scalar_one()
        await connection.execute(
            text(
                "update destinations set published_revision = :number, takes_profiles = :takes, quiet_seconds = :quiet,"
                " max_wait_seconds = :max where id = :id"
            ),
            {
                "id": destination_id,
                "number": number,
                "takes": checked.takes_profiles,
                "quiet": checked.debounce.quiet_seconds,
                "max": checked.debounce.max_wait_seconds,
            },
        )
    return int(number)
