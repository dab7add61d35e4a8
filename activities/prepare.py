"""prepare: look at a sync's row, decide what to do next, and write that down."""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime

from temporalio import activity

from activities.compilation import CompiledDestination
from activities.errors import as_application_errors
from activities.explaining import explain
from activities.messages import DeliveryOrder, Plan, PrepareInput, RetryPlan, Settled
from activities.published import PublishedDestinations
from domain.deliveries import DeliveryStatus, Reason
from domain.errors import InvalidInput, NotFound
from domain.mappings import differences
from domain.objects import scope
from domain.reasons import words
from domain.syncs import Await, Decision, Discard, Hold, Settle, Start, SyncFacts, SyncState, decide
from storage.syncs import Entry, LockedSync, Syncs

_STATUS = {
    "matched": DeliveryStatus.QUEUED,
    "skipped": DeliveryStatus.SKIPPED,
    "failed": DeliveryStatus.FAILED,
}


class Prepare:
    def __init__(self, syncs: Syncs, published: PublishedDestinations) -> None:
        self._syncs = syncs
        self._published = published

    @activity.defn(name="prepare")
    @as_application_errors
    async def prepare(self, request: PrepareInput) -> Plan:
        info = activity.info()
        try:
            async with self._syncs.locked(
                request.destination_id, request.profile_id, info.workflow_run_id or ""
            ) as sync:
                return await self._plan(sync, request, info.workflow_id or "")
        except NotFound:
            return Plan(settled=Settled(state="discarded", reason="not_found"))

    async def _plan(self, sync: LockedSync, request: PrepareInput, workflow_id: str) -> Plan:
        try:
            facts = sync.facts
            compiled = await self._published.get(facts.destination_id, facts.revision, facts.connector, source=sync)
        except (InvalidInput, NotFound) as error:
            return await _settle(sync, SyncState.FAILED, Reason.CONFIGURATION_ERROR, error.message)
        mapping_ids = [mapping.id for mapping in compiled.spec.profile_mappings]
        await _skip_removed(sync, {*mapping_ids, *request.under_way})
        decision = decide(sync.facts, mapping_ids, request.under_way, now=request.now)
        if isinstance(decision, Start):
            return await _start(sync, compiled, decision.mapping_ids, request, workflow_id)
        return await _carry_out(sync, decision, request.under_way, mapping_ids)


async def _skip_removed(sync: LockedSync, known: Collection[str]) -> None:
    """What was begun for a mapping that has since been removed: nobody will go on with it."""
    removed = [
        each.mapping_id for each in sync.facts.progress.values() if each.is_open and each.mapping_id not in known
    ]
    if removed and sync.facts.running:
        await sync.skip(removed, Reason.MAPPING_REMOVED, words(Reason.MAPPING_REMOVED))


async def _carry_out(
    sync: LockedSync, decision: Decision, under_way: Collection[str], mapping_ids: Collection[str]
) -> Plan:
    match decision:
        case Discard(reason):
            await sync.discard(reason)
            return Plan(settled=Settled(state="discarded", reason=reason))
        case Hold():
            if sync.facts.state == SyncState.DELIVERING and not under_way:
                await sync.cut_short()
            return Plan(held=True)
        case Await(seconds):
            await sync.watch(seconds is not None or set(mapping_ids) <= set(under_way))
            return Plan(wait_seconds=seconds)
        case Settle(state, reason, message):
            return await _settle(sync, state, reason, message)
        case _:
            raise AssertionError(decision)


async def _settle(sync: LockedSync, state: SyncState, reason: str | None, message: str | None) -> Plan:
    await sync.settle(state, reason, message)
    return Plan(settled=Settled.model_validate({"state": state.value, "reason": reason, "message": message}))


async def _start(
    sync: LockedSync,
    compiled: CompiledDestination,
    mapping_ids: tuple[str, ...],
    request: PrepareInput,
    workflow_id: str,
) -> Plan:
    facts = sync.facts
    entries = [_entry(facts, compiled, mapping_id, datetime.now(UTC)) for mapping_id in mapping_ids]
    await sync.start(entries, workflow_id=workflow_id)
    queued = [entry for entry in entries if entry.status is DeliveryStatus.QUEUED]
    profile_mappings = {mapping.id for mapping in compiled.spec.profile_mappings}
    busy = {*request.under_way, *(entry.mapping_id for entry in queued)}
    planned = request.now or facts.is_due
    wait = None if planned else facts.due_in_seconds
    await sync.watch(wait is not None or profile_mappings <= busy, planned=planned)
    if not busy:
        decision = decide(await sync.progress(), [mapping.id for mapping in compiled.spec.profile_mappings], ())
        return await _carry_out(sync, decision, (), profile_mappings)
    only = len(profile_mappings) == 1 and not request.under_way
    return Plan(deliveries=[_order(facts, compiled, entry, only) for entry in queued], wait_seconds=wait)


def _entry(facts: SyncFacts, compiled: CompiledDestination, mapping_id: str, now: datetime) -> Entry:
    """A delivery that is already open goes on under its own id, which is the idempotency key."""
    progress = facts.progress.get(mapping_id)
    if progress is not None and progress.is_open and progress.delivery_id:
        return Entry(mapping_id, DeliveryStatus.QUEUED, progress.delivery_id)
    user = facts.profile.as_user()
    view = scope(user=user, changes=differences(progress.delivered_user if progress else None, user))
    explanation = explain(compiled, mapping_id, view, now=now)
    status = _STATUS[explanation.status]
    return Entry.new(mapping_id, status, explanation.reason, explanation.message)


def _order(facts: SyncFacts, compiled: CompiledDestination, entry: Entry, only: bool) -> DeliveryOrder:
    progress = facts.progress.get(entry.mapping_id)
    same = progress is not None and progress.delivery_id == entry.delivery_id
    return DeliveryOrder(
        delivery_id=entry.delivery_id,
        destination_id=facts.destination_id,
        mapping_id=entry.mapping_id,
        attempts_used=progress.attempts_used if progress and same else 0,
        retry=RetryPlan.model_validate(compiled.spec.retry.model_dump()),
        only=only,
    )
