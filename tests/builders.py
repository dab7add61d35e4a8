"""Builders: `a_destination(debounce=…)` is a whole, valid thing of which the test says only what matters to it."""

from __future__ import annotations

from typing import Any

from sqlalchemy import text
from uuid_utils.compat import uuid7

from domain.destinations import DestinationSpec
from domain.events import IncomingEvent
from storage.database import Database
from storage.event_routes import replace_routes

USER_BODY = {
    "format": "json",
    "template": {"id": "{{ user.id }}", "version": "{{ user.properties.n | json }}", "email": "{{ user.email }}"},
}


def a_mapping(**changes: Any) -> dict[str, Any]:
    return {"id": "sync", "name": "Sync", "source": "profile", "action": "send", "body": USER_BODY, **changes}


EVENT_BODY = {
    "format": "json",
    "template": {"user": "{{ user.id }}", "event": "{{ event.name }}", "n": "{{ event.properties.n | json }}"},
}


def an_event_mapping(**changes: Any) -> dict[str, Any]:
    return {"id": "events", "name": "Events", "source": "events", "action": "send", "body": EVENT_BODY, **changes}


def an_event(profile_id: str = "u1", name: str = "Order Completed", **changes: Any) -> IncomingEvent:
    """A track call as it is stored; `n` and other properties as keywords."""
    event_id = str(uuid7())
    event = {
        "name": name,
        "type": "track",
        "timestamp": "2026-11-22T09:40:00+00:00",
        "properties": changes.pop("properties", {}),
        "context": {},
        "traits": {},
        "userId": profile_id,
        "anonymousId": None,
        "messageId": event_id,
    }
    return IncomingEvent(
        **{"id": event_id, "message_id": event_id, "profile_id": profile_id, "event": event, **changes}
    )


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
                " max_wait_seconds = :max, rate_per_second = :rate where id = :id"
            ),
            {
                "id": destination_id,
                "number": number,
                "takes": checked.takes_profiles,
                "quiet": checked.debounce.quiet_seconds,
                "max": checked.debounce.max_wait_seconds,
                "rate": checked.rate_limit.per_second if checked.rate_limit is not None else None,
            },
        )
        await replace_routes(connection, destination_id, checked)
    return int(number)
