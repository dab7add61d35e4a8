"""The delivery log as operators read it. Who writes it: syncs.py and attempts.py."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, case, not_, select

from domain.deliveries import DeliveryKind, DeliveryStatus, Reason
from domain.errors import NotFound
from storage.cursors import Page, decode_id_cursor, page_of
from storage.database import Database
from storage.destinations import HELD_DELIVERIES
from storage.tables import attempts, deliveries, destinations


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try. `request` and `response` are as stored: masked and cut to an excerpt."""

    number: int
    started_at: datetime
    duration_ms: float | None
    revision: int | None
    profile_version: int | None
    request: dict[str, Any] | None
    response: dict[str, Any] | None
    outcome: str | None
    error: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class Delivery:
    """`status` is the shown one: `held` while its destination is paused. `attempts` counts them."""

    id: str
    kind: str
    destination_id: str
    mapping_id: str | None
    profile_id: str | None
    event_id: str | None
    status: str
    reason: str | None
    message: str | None
    revision: int | None
    profile_version: int | None
    attempts: int
    next_attempt_at: datetime | None
    workflow_id: str | None
    run_id: str | None
    created_at: datetime
    updated_at: datetime
    finished_at: datetime | None


@dataclass(frozen=True, slots=True)
class DeliveryDetail:
    delivery: Delivery
    attempts: list[Attempt] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class DeliveryFilter:
    """None means any. `since` is included, `until` is not; both compare when the delivery was made."""

    destination: str | None = None
    mapping: str | None = None
    profile: str | None = None
    event: str | None = None
    status: DeliveryStatus | None = None
    kind: DeliveryKind | None = None
    since: datetime | None = None
    until: datetime | None = None


class Deliveries:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def page(self, wanted: DeliveryFilter, *, cursor: str | None, limit: int) -> Page[Delivery]:
        """Newest first."""
        before = decode_id_cursor("deliveries", cursor)
        query = _QUERY.where(*_conditions(wanted)).order_by(deliveries.c.id.desc()).limit(limit + 1)
        if before is not None:
            query = query.where(deliveries.c.id < before)
        async with self._database.statement() as connection:
            rows = (await connection.execute(query)).mappings().all()
        return page_of("deliveries", [Delivery(**row) for row in rows], limit, lambda found: found.id)

    async def get(self, delivery_id: str) -> DeliveryDetail:
        """With its attempts, oldest first. Raises NotFound."""
        tries = [attempts.c[name] for name in Attempt.__dataclass_fields__]
        of_it = select(*tries).where(attempts.c.delivery_id == delivery_id).order_by(attempts.c.number)
        async with self._database.statement() as connection:
            row = (await connection.execute(_QUERY.where(deliveries.c.id == delivery_id))).mappings().first()
            if row is None:
                raise NotFound(f"there is no delivery {delivery_id}")
            found = (await connection.execute(of_it)).mappings().all()
        return DeliveryDetail(Delivery(**row), [Attempt(**each) for each in found])


_IS_HELD = and_(
    deliveries.c.status.in_(HELD_DELIVERIES), destinations.c.status == "paused", deliveries.c.kind != DeliveryKind.TEST
)


def _query() -> Select[Any]:
    shown = {
        "status": case((_IS_HELD, DeliveryStatus.HELD.value), else_=deliveries.c.status),
        "reason": case((_IS_HELD, Reason.PAUSED.value), else_=deliveries.c.reason),
    }
    columns = [shown.get(name, deliveries.c[name]).label(name) for name in Delivery.__dataclass_fields__]
    return select(*columns).join(destinations, destinations.c.id == deliveries.c.destination_id)


_QUERY = _query()


def _conditions(wanted: DeliveryFilter) -> list[ColumnElement[bool]]:
    equal = {
        deliveries.c.destination_id: wanted.destination,
        deliveries.c.mapping_id: wanted.mapping,
        deliveries.c.profile_id: wanted.profile,
        deliveries.c.event_id: wanted.event,
        deliveries.c.kind: wanted.kind,
    }
    conditions = [column == value for column, value in equal.items() if value is not None]
    if wanted.status is not None:
        conditions.append(_shown_as(wanted.status))
    if wanted.since is not None:
        conditions.append(deliveries.c.created_at >= wanted.since)
    if wanted.until is not None:
        conditions.append(deliveries.c.created_at < wanted.until)
    return conditions


def _shown_as(status: DeliveryStatus) -> ColumnElement[bool]:
    if status is DeliveryStatus.HELD:
        return _IS_HELD
    stored = deliveries.c.status == status
    return and_(stored, not_(_IS_HELD)) if status in HELD_DELIVERIES else stored
