"""The proof by counting that nothing accepted has vanished."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

from fastapi import Query
from pydantic import BaseModel, Field

from api.auth import requires
from api.parameters import NoQuery
from api.routing import router
from api.services import ServicesDep
from storage.reconciliation import Account

routes = router(tag="reconciliation")


class Counts(BaseModel):
    """Units are the pairs of destination and profile, and the deliveries of events."""

    accepted: int
    delivered: int
    skipped: int
    failed: int
    discarded: int
    waiting: int
    held: int
    retrying: int
    unaccounted: int = Field(description="counted independently; anything but 0 is a fault of ours")


class DestinationCounts(Counts):
    destination_id: str


class ReconciliationAnswer(Counts):
    destinations: list[DestinationCounts]


@routes.get("/v1/reconciliation", dependencies=[requires("operate")])
async def reconcile(_: Annotated[NoQuery, Query()], services: ServicesDep) -> ReconciliationAnswer:
    """Accepted = delivered + skipped + failed + discarded + waiting + held + retrying, of one moment."""
    accounts = await services.reconciliation.accounts()
    total = sum(accounts.values(), Account())
    each = [DestinationCounts(destination_id=name, **asdict(account)) for name, account in accounts.items()]
    return ReconciliationAnswer(**asdict(total), destinations=each)
