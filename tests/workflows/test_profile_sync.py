"""Profile syncs on a real Temporal server, a real PostgreSQL and a real socket."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import pytest
import pytest_asyncio
from temporalio.api.enums.v1 import EventType
from temporalio.client import WorkflowFailureError
from temporalio.service import RPCError
from temporalio.testing import WorkflowEnvironment

from domain.errors import Conflict
from domain.profiles import MAX_ID_LENGTH
from storage.outbox import Outbox
from tests.builders import a_mapping, a_spec, publish
from tests.product import Product, dev_server, product
from tests.receiver import Answer, Receiver, eventually


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def temporal() -> AsyncIterator[WorkflowEnvironment]:
    async with dev_server() as environment:
        yield environment


@pytest_asyncio.fixture
async def sluice(temporal: WorkflowEnvironment, database_url: str) -> AsyncIterator[Product]:
    async with product(temporal.client, database_url) as running:
        yield running


@pytest_asyncio.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with Receiver() as receiver:
        yield receiver


async def test_a_change_reaches_the_destination(sluice: Product, receiver: Receiver) -> None:
    await publish(sluice.database, "crm", a_spec(receiver.url + "/people"))
    await sluice.profiles.patch("u1", {"email": "a@b.c", "properties": {"n": 1}})
    [request] = await receiver.received(1)
    assert request.json == {"id": "u1", "version": 1, "email": "a@b.c"}
    sync = await eventually(lambda: _state(sluice, "idle"))
    [delivery] = await sluice.deliveries()
    assert (sync["delivered_version"], delivery["status"], str(delivery["id"])) == (1, "delivered", request.key)


@pytest.mark.parametrize(
    "profile_id", ["😀" * MAX_ID_LENGTH, "漢" * MAX_ID_LENGTH, "\"'%20 \\/<b>"], ids=["emoji", "han", "odd"]
)
async def test_whatever_id_a_profile_may_have_it_is_synced(
    sluice: Product, receiver: Receiver, profile_id: str
) -> None:
    await publish(sluice.database, "crm", a_spec(receiver.url))
    await sluice.profiles.patch(profile_id, {"email": "a@b.c"})
    [request] = await receiver.received(1)
    assert request.json["id"] == profile_id


async def _state(sluice: Product, *states: str) -> dict[str, Any] | None:
    sync = await sluice.sync()
    return sync if sync.get("state") in states else None


async def _until(sluice: Product, *states: str) -> dict[str, Any]:
    found: dict[str, Any] = await eventually(lambda: _state(sluice, *states), what=f"a sync that is {states}")
    return found


async def _until_delivered(sluice: Product, version: int) -> dict[str, Any]:
    async def delivered() -> dict[str, Any] | None:
        sync = await sluice.sync()
        return sync if sync["state"] == "idle" and sync["delivered_version"] == version else None

    found: dict[str, Any] = await eventually(delivered, what=f"version {version} delivered")
    return found


async def _change(sluice: Product, n: int, profile_id: str = "u1") -> None:
    await sluice.profiles.patch(profile_id, {"properties": {"n": n}})


def _versions(receiver: Receiver) -> list[int]:
    return [request.json["version"] for request in receiver.requests]


async def _tell(sluice: Product, status: str) -> None:
    await sluice.execute(
        "with changed as (update destinations set status = :status, tell_epoch = tell_epoch + 1,"
        " updated_at = clock_timestamp() where id = 'crm')"
        " select pg_notify('sluice_work', '')",
        status=status,
    )


async def _count(sluice: Product, query: str) -> int:
    return (await sluice.client.count_workflows(query)).count


class TestDebounce:
    async def test_ten_updates_become_one_delivery_of_the_latest_state(
        self, sluice: Product, receiver: Receiver
    ) -> None:
        await publish(
            sluice.database, "crm", a_spec(receiver.url, debounce={"quiet_seconds": 3, "max_wait_seconds": 60})
        )
        for n in range(1, 11):
            await _change(sluice, n)
        await _until_delivered(sluice, 10)
        assert _versions(receiver) == [10]

    async def test_a_steady_stream_is_synced_at_the_maximum_wait(self, sluice: Product, receiver: Receiver) -> None:
        await publish(
            sluice.database, "crm", a_spec(receiver.url, debounce={"quiet_seconds": 1.5, "max_wait_seconds": 1.5})
        )
        stop = asyncio.Event()

        async def stream() -> None:
            n = 0
            while not stop.is_set():
                n += 1
                await _change(sluice, n)
                await asyncio.sleep(0.05)

        streaming = asyncio.create_task(stream())
        await receiver.received(2)
        stop.set()
        await streaming
        first, second = _versions(receiver)[:2]
        assert 1 < first < second

    async def test_changes_of_a_burst_cost_no_signal_beyond_the_first(
        self, sluice: Product, receiver: Receiver
    ) -> None:
        await publish(
            sluice.database, "crm", a_spec(receiver.url, debounce={"quiet_seconds": 1, "max_wait_seconds": 60})
        )
        for n in range(1, 101):
            await _change(sluice, n)
        await _until_delivered(sluice, 100)
        handle = sluice.client.get_workflow_handle("profile-sync/crm/u1")
        await handle.result()
        events = [event.event_type async for event in handle.fetch_history_events()]
        assert events.count(EventType.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED) == 1


class TestChangesMeanwhile:
    async def test_a_change_during_an_attempt_is_delivered_after_it(self, sluice: Product, receiver: Receiver) -> None:
        await publish(sluice.database, "crm", a_spec(receiver.url))
        answer = asyncio.Event()
        receiver.then(Answer(wait_for=answer))
        await _change(sluice, 1)
        await receiver.received(1)
        await _change(sluice, 2)
        await _change(sluice, 3)
        assert len(receiver.requests) == 1
        answer.set()
        await _until_delivered(sluice, 3)
        assert _versions(receiver) == [1, 3]
        assert receiver.requests[0].key != receiver.requests[1].key

    async def test_a_change_during_back_off_goes_out_with_the_next_attempt(
        self, sluice: Product, receiver: Receiver
    ) -> None:
        await publish(
            sluice.database, "crm", a_spec(receiver.url, retry={"initial_seconds": 2, "max_interval_seconds": 2})
        )
        receiver.then(Answer(503))
        await _change(sluice, 1)
        await _until(sluice, "retrying")
        await _change(sluice, 2)
        await _until_delivered(sluice, 2)
        assert _versions(receiver) == [1, 2]
        assert receiver.requests[0].key == receiver.requests[1].key

    async def test_a_newer_state_gets_a_key_of_its_own_when_the_older_one_may_have_arrived(
        self, sluice: Product, receiver: Receiver
    ) -> None:
        retry = {"initial_seconds": 1.5, "max_interval_seconds": 2}
        await publish(sluice.database, "crm", a_spec(receiver.url, retry=retry, settings={"timeout_seconds": 0.3}))
        receiver.then(Answer(wait_for=asyncio.Event()))
        await _change(sluice, 1)
        await _until(sluice, "retrying")
        await _change(sluice, 2)
        await _until_delivered(sluice, 2)
        assert _versions(receiver) == [1, 2]
        assert receiver.requests[0].key != receiver.requests[1].key
        deliveries = [(each["status"], each["reason"]) for each in await sluice.deliveries()]
        assert deliveries == [("discarded", "superseded"), ("delivered", None)]

    async def test_an_older_state_never_follows_a_newer_one(self, sluice: Product, receiver: Receiver) -> None:
        await publish(sluice.database, "crm", a_spec(receiver.url, retry={"initial_seconds": 0.05, "backoff": 1}))
        answers = itertools.cycle([Answer(503), Answer(), Answer(429, {"retry-after": "0"}), Answer()])
        receiver.script = lambda _: next(answers)
        for n in range(1, 60):
            await _change(sluice, n)
            await asyncio.sleep(0.01)
        await _until_delivered(sluice, 59)
        assert _versions(receiver) == sorted(_versions(receiver))
        assert _versions(receiver)[-1] == 59


class TestPrerequisites:
    async def test_a_false_prerequisite_skips_with_the_reason_and_a_later_change_goes_out(
        self, sluice: Product, receiver: Receiver
    ) -> None:
        await publish(sluice.database, "crm", a_spec(receiver.url, prerequisite="profile@email exists"))
        await _change(sluice, 1)
        sync = await _until(sluice, "skipped")
        assert sync["reason"] == "prerequisite_false"
        assert "profile@email exists" in sync["message"]
        [skipped] = await sluice.deliveries()
        assert (skipped["status"], skipped["reason"], skipped["attempts"]) == ("skipped", "prerequisite_false", 0)
        await sluice.profiles.patch("u1", {"email": "a@b.c"})
        await _until_delivered(sluice, 2)
        assert [request.json["email"] for request in receiver.requests] == ["a@b.c"]

    async def test_an_evaluation_error_fails_that_sync_alone(self, sluice: Product, receiver: Receiver) -> None:
        await publish(sluice.database, "crm", a_spec(receiver.url, prerequisite="profile@properties.n > 'x'"))
        await publish(sluice.database, "chat", a_spec(receiver.url))
        await _change(sluice, 1)
        sync = await _until(sluice, "failed")
        assert sync["reason"] == "condition_error"
        assert "line 1" in sync["message"]
        await receiver.received(1)


class TestRetries:
    async def test_a_definitive_answer_fails_at_once_and_a_retry_brings_it_back(
        self, sluice: Product, receiver: Receiver
    ) -> None:
        await publish(sluice.database, "crm", a_spec(receiver.url))
        receiver.then(Answer(400, body="no such field"))
        await _change(sluice, 1)
        sync = await _until(sluice, "failed")
        assert sync["reason"] == "http_400"
        with pytest.raises(WorkflowFailureError) as failure:
            await sluice.client.get_workflow_handle("profile-sync/crm/u1").result()
        assert "400" in str(failure.value.cause)
        [delivery] = await sluice.deliveries()
        await sluice.syncs.retry(str(delivery["id"]))
        await _until_delivered(sluice, 1)
        assert len(receiver.requests) == 2
        assert receiver.requests[0].key == receiver.requests[1].key
        with pytest.raises(Conflict):
            await sluice.syncs.retry(str(delivery["id"]))

    async def test_after_the_last_attempt_it_is_a_dead_letter_with_every_attempt_recorded(
        self, sluice: Product, receiver: Receiver
    ) -> None:
        await publish(
            sluice.database, "crm", a_spec(receiver.url, retry={"attempts": 3, "initial_seconds": 0.1, "backoff": 1})
        )
        receiver.script = lambda _: Answer(503, body="come back later")
        await _change(sluice, 1)
        sync = await _until(sluice, "failed")
        assert "gave up after 3 attempts" in sync["message"]
        attempts = await sluice.rows("select * from attempts order by number")
        assert [(attempt["number"], attempt["outcome"]) for attempt in attempts] == [
            (1, "retry"),
            (2, "retry"),
            (3, "retry"),
        ]
        assert {attempt["response"]["status"] for attempt in attempts} == {503}
        assert len({request.key for request in receiver.requests}) == 1
        receiver.script = lambda _: Answer()
        [delivery] = await sluice.deliveries()
        await sluice.syncs.retry(str(delivery["id"]))
        await _until_delivered(sluice, 1)
        [delivery] = await sluice.deliveries()
        assert (delivery["status"], delivery["attempts"]) == ("delivered", 4)

    async def test_retry_after_is_honoured(self, sluice: Product, receiver: Receiver) -> None:
        await publish(sluice.database, "crm", a_spec(receiver.url, retry={"initial_seconds": 0.1}))
        receiver.then(Answer(429, {"retry-after": "3600"}))
        await _change(sluice, 1)
        await _until(sluice, "retrying")
        [row] = await sluice.rows(
            "select extract(epoch from next_attempt_at - updated_at)::float as wait from deliveries"
        )
        assert abs(row["wait"] - 3600) < 1
        [delivery] = await sluice.deliveries()
        await sluice.syncs.retry(str(delivery["id"]))
        await _until_delivered(sluice, 1)

    async def test_each_attempt_uses_the_settings_published_by_then(self, sluice: Product, receiver: Receiver) -> None:
        retry = {"initial_seconds": 1.5, "backoff": 1}
        await publish(sluice.database, "crm", a_spec(receiver.url + "/old", retry=retry))
        receiver.then(Answer(500))
        await _change(sluice, 1)
        await _until(sluice, "retrying")
        await publish(sluice.database, "crm", a_spec(receiver.url + "/new", retry=retry))
        await _until_delivered(sluice, 1)
        assert [request.path for request in receiver.requests] == ["/old", "/new"]
        attempts = await sluice.rows("select revision from attempts order by number")
        assert [attempt["revision"] for attempt in attempts] == [1, 2]

    async def test_nobody_listening_is_retried_and_recorded(self, sluice: Product) -> None:
        await publish(
            sluice.database, "crm", a_spec("http://127.0.0.1:9/", retry={"attempts": 2, "initial_seconds": 0.1})
        )
        await _change(sluice, 1)
        sync = await _until(sluice, "failed")
        assert sync["reason"] == "connect_failed"
        attempts = await sluice.rows("select * from attempts order by number")
        assert [attempt["error"]["code"] for attempt in attempts] == ["connect_failed", "connect_failed"]
        assert attempts[0]["request"]["url"] == "http://127.0.0.1:9/"


class TestMappings:
    async def test_a_failing_mapping_does_not_hold_back_another(self, sluice: Product, receiver: Receiver) -> None:
        bad = a_mapping(id="bad", body={"format": "json", "template": {"bad": True}})
        await publish(sluice.database, "crm", a_spec(receiver.url, mappings=[bad, a_mapping(id="good")]))
        receiver.script = lambda request: Answer(503) if "bad" in request.json else Answer()
        for n in (1, 2, 3):
            await _change(sluice, n)

            async def delivered(n: int = n) -> bool:
                return any(request.json.get("version") == n for request in receiver.requests)

            await eventually(delivered, what=f"the good mapping's version {n}")
        sync = await sluice.sync()
        assert sync["state"] in ("retrying", "delivering")

    async def test_a_mapping_removed_during_back_off_is_skipped(self, sluice: Product, receiver: Receiver) -> None:
        retry = {"initial_seconds": 1, "backoff": 1}
        await publish(sluice.database, "crm", a_spec(receiver.url, retry=retry))
        receiver.then(Answer(503))
        await _change(sluice, 1)
        await _until(sluice, "retrying")
        await publish(sluice.database, "crm", a_spec(receiver.url, retry=retry, mappings=[]))

        async def skipped() -> bool:
            [delivery] = await sluice.deliveries()
            return (delivery["status"], delivery["reason"]) == ("skipped", "mapping_removed")

        await eventually(skipped)
        assert len(receiver.requests) == 1

    async def test_a_mapping_added_during_back_off_gets_the_change_too(
        self, sluice: Product, receiver: Receiver
    ) -> None:
        retry = {"initial_seconds": 1, "backoff": 1}
        await publish(sluice.database, "crm", a_spec(receiver.url, retry=retry))
        receiver.then(Answer(503))
        await _change(sluice, 1)
        await _until(sluice, "retrying")
        mappings = [a_mapping(), a_mapping(id="more")]
        await publish(sluice.database, "crm", a_spec(receiver.url, retry=retry, mappings=mappings))
        await _until_delivered(sluice, 1)
        deliveries = {(each["mapping_id"], each["status"]) for each in await sluice.deliveries()}
        assert deliveries == {("sync", "delivered"), ("more", "delivered")}

    async def test_a_mapping_removed_while_it_was_held_is_skipped(self, sluice: Product, receiver: Receiver) -> None:
        await publish(sluice.database, "crm", a_spec(receiver.url, retry={"initial_seconds": 600}))
        receiver.then(Answer(503))
        await _change(sluice, 1)
        await _until(sluice, "retrying")
        await _tell(sluice, "paused")
        await eventually(
            lambda: _count(sluice, 'DestinationId="crm" AND SyncState="held" AND ExecutionStatus="Running"')
        )
        await publish(sluice.database, "crm", a_spec(receiver.url, mappings=[a_mapping(id="other")]))
        await _tell(sluice, "running")
        await _until_delivered(sluice, 1)
        deliveries = {(each["mapping_id"], each["status"], each["reason"]) for each in await sluice.deliveries()}
        assert deliveries == {("sync", "skipped", "mapping_removed"), ("other", "delivered", None)}

    async def test_a_mapping_removed_long_ago_does_not_count(self, sluice: Product, receiver: Receiver) -> None:
        await publish(sluice.database, "crm", a_spec(receiver.url, mappings=[a_mapping(id="old"), a_mapping()]))
        await _change(sluice, 1)
        await _until_delivered(sluice, 1)
        await publish(sluice.database, "crm", a_spec(receiver.url, mappings=[a_mapping(), a_mapping(id="more")]))
        await _change(sluice, 2)
        await _until_delivered(sluice, 2)


class TestPause:
    async def test_a_debounce_holds_while_paused_and_resume_delivers_the_latest(
        self, sluice: Product, receiver: Receiver
    ) -> None:
        await publish(
            sluice.database, "crm", a_spec(receiver.url, debounce={"quiet_seconds": 1, "max_wait_seconds": 60})
        )
        await _change(sluice, 1)
        await eventually(lambda: _count(sluice, 'DestinationId="crm" AND ExecutionStatus="Running"'))
        await _tell(sluice, "paused")
        await eventually(lambda: _count(sluice, 'DestinationId="crm" AND SyncState="held"'), what="a held workflow")
        await _change(sluice, 2)
        assert receiver.requests == []
        await _tell(sluice, "running")
        await _until_delivered(sluice, 2)
        assert _versions(receiver) == [2]

    async def test_a_back_off_is_cancelled_and_held(self, sluice: Product, receiver: Receiver) -> None:
        await publish(sluice.database, "crm", a_spec(receiver.url, retry={"initial_seconds": 600}))
        receiver.then(Answer(503))
        await _change(sluice, 1)
        await eventually(
            lambda: _count(sluice, 'DestinationId="crm" AND SyncState="retrying" AND ExecutionStatus="Running"')
        )
        await _tell(sluice, "paused")
        await eventually(
            lambda: _count(sluice, 'DestinationId="crm" AND SyncState="held" AND ExecutionStatus="Running"')
        )
        assert len(receiver.requests) == 1
        await _tell(sluice, "running")
        await _until_delivered(sluice, 1)
        assert receiver.requests[0].key == receiver.requests[1].key

    async def test_a_later_back_off_is_cancelled_too(self, sluice: Product, receiver: Receiver) -> None:
        await publish(sluice.database, "crm", a_spec(receiver.url, retry={"initial_seconds": 0.2, "backoff": 100}))
        receiver.then(Answer(503), Answer(503))
        await _change(sluice, 1)
        await receiver.received(2)
        await _until(sluice, "retrying")
        await _tell(sluice, "paused")
        await eventually(
            lambda: _count(sluice, 'DestinationId="crm" AND SyncState="held" AND ExecutionStatus="Running"')
        )
        await _tell(sluice, "running")
        await _until_delivered(sluice, 1)
        [delivery] = await sluice.deliveries()
        assert delivery["attempts"] == 3

    async def test_an_attempt_in_flight_ends_normally_and_counts(self, sluice: Product, receiver: Receiver) -> None:
        await publish(sluice.database, "crm", a_spec(receiver.url))
        answer = asyncio.Event()
        receiver.then(Answer(wait_for=answer))
        await _change(sluice, 1)
        await receiver.received(1)
        await _tell(sluice, "paused")
        answer.set()
        await _until_delivered(sluice, 1)
        assert len(receiver.requests) == 1

    async def test_an_attempt_that_died_with_its_worker_is_held(self, sluice: Product, receiver: Receiver) -> None:
        await publish(sluice.database, "crm", a_spec(receiver.url, retry={"initial_seconds": 600}))
        receiver.then(Answer(503))
        await _change(sluice, 1)
        await _until(sluice, "retrying")
        # As a worker that was killed in the middle of the next attempt leaves it.
        await sluice.execute("update deliveries set status = 'delivering'")
        await sluice.execute("update syncs set state = 'delivering'")
        await _tell(sluice, "paused")
        await _until(sluice, "retrying")
        [delivery] = await sluice.deliveries()
        assert (delivery["status"], delivery["reason"]) == ("retrying", "unknown_outcome")
        await _tell(sluice, "running")
        await _until_delivered(sluice, 1)

    async def test_changes_to_a_paused_destination_start_nothing(self, sluice: Product, receiver: Receiver) -> None:
        await publish(sluice.database, "crm", a_spec(receiver.url))
        await publish(sluice.database, "chat", a_spec(receiver.url + "/chat"))
        await _tell(sluice, "paused")
        await _change(sluice, 1)
        await receiver.received(1)
        assert [request.path for request in receiver.requests] == ["/chat"]
        await _tell(sluice, "running")
        await _until_delivered(sluice, 1)

    async def test_much_held_work_is_all_delivered(self, sluice: Product, receiver: Receiver) -> None:
        await publish(
            sluice.database, "crm", a_spec(receiver.url, debounce={"quiet_seconds": 600, "max_wait_seconds": 600})
        )
        for number in range(40):
            await _change(sluice, 1, f"p{number}")
        await eventually(lambda: _all_sent(sluice))
        await _tell(sluice, "paused")
        await eventually(
            lambda: _count_is(sluice, 'DestinationId="crm" AND SyncState="held" AND ExecutionStatus="Running"', 40)
        )
        await sluice.execute("update syncs set due_at = clock_timestamp()")
        await _tell(sluice, "running")
        await receiver.received(40)
        assert {request.json["id"] for request in receiver.requests} == {f"p{number}" for number in range(40)}


async def _all_sent(sluice: Product) -> bool:
    return (await sluice.rows("select count(*) as n from syncs where signal is not null"))[0]["n"] == 0


async def _count_is(sluice: Product, query: str, wanted: int) -> bool:
    return await _count(sluice, query) == wanted


class TestDeletion:
    async def test_a_deleted_destination_discards_what_waits(self, sluice: Product, receiver: Receiver) -> None:
        await publish(sluice.database, "crm", a_spec(receiver.url, retry={"initial_seconds": 600}))
        receiver.then(Answer(503))
        await _change(sluice, 1)
        await _until(sluice, "retrying")
        await sluice.execute(
            "with gone as (update destinations set deleted_at = now(), takes_profiles = false,"
            " tell_epoch = tell_epoch + 1) select pg_notify('sluice_work', '')"
        )
        sync = await _until(sluice, "discarded")
        assert sync["reason"] == "destination_deleted"
        [delivery] = await sluice.deliveries()
        assert delivery["status"] == "discarded"

    async def test_a_deleted_profile_is_not_sent_any_more(self, sluice: Product, receiver: Receiver) -> None:
        await publish(
            sluice.database, "crm", a_spec(receiver.url, debounce={"quiet_seconds": 1, "max_wait_seconds": 1})
        )
        await _change(sluice, 1)
        await eventually(lambda: _all_sent(sluice))
        await sluice.profiles.delete("u1")
        handle = await eventually(lambda: _handle(sluice))
        assert (await handle.result())["state"] == "discarded"
        assert receiver.requests == []

    @pytest.mark.parametrize("at_once", [True, False])
    async def test_a_profile_made_anew_is_delivered_although_an_earlier_delivery_was_open(
        self, sluice: Product, receiver: Receiver, at_once: bool
    ) -> None:
        await publish(sluice.database, "crm", a_spec(receiver.url, retry={"initial_seconds": 600}))
        receiver.then(Answer(503))
        await _change(sluice, 1)
        await eventually(
            lambda: _count(sluice, 'DestinationId="crm" AND SyncState="retrying" AND ExecutionStatus="Running"')
        )
        await sluice.profiles.delete("u1")
        if not at_once:
            handle = await eventually(lambda: _handle(sluice))
            assert (await handle.result())["state"] == "discarded"
        await _change(sluice, 2)
        await _until_delivered(sluice, 3)
        assert _versions(receiver) == [1, 2]
        assert receiver.requests[0].key != receiver.requests[1].key


async def _handle(sluice: Product) -> Any:
    handle = sluice.client.get_workflow_handle("profile-sync/crm/u1")
    with suppress(RPCError):
        await handle.describe()
        return handle


class TestTrouble:
    async def test_a_terminated_run_is_replaced(self, sluice: Product, receiver: Receiver) -> None:
        await publish(sluice.database, "crm", a_spec(receiver.url, retry={"initial_seconds": 600}))
        receiver.then(Answer(503))
        await _change(sluice, 1)
        await _until(sluice, "retrying")
        await sluice.client.get_workflow_handle("profile-sync/crm/u1").terminate("by an operator")
        long_ago = "clock_timestamp() - interval '1 hour'"
        await sluice.execute(f"update syncs set updated_at = {long_ago}, next_attempt_at = {long_ago}")
        assert await Outbox(sluice.database).rescue(10) == 1
        await _until_delivered(sluice, 1)

    async def test_a_worker_that_stops_drains_and_another_goes_on(self, sluice: Product, receiver: Receiver) -> None:
        await publish(sluice.database, "crm", a_spec(receiver.url))
        answer = asyncio.Event()
        receiver.then(Answer(wait_for=answer))
        await _change(sluice, 1)
        await receiver.received(1)
        stopping = asyncio.create_task(sluice.stop_worker())
        await asyncio.sleep(0)
        answer.set()
        await stopping
        sluice.start_worker()
        await _until_delivered(sluice, 1)
        assert len(receiver.requests) == 1

    async def test_signals_wait_in_the_rows_while_no_dispatcher_runs(self, sluice: Product, receiver: Receiver) -> None:
        await publish(sluice.database, "crm", a_spec(receiver.url))
        await sluice.stop_dispatcher()
        await _change(sluice, 1)
        assert (await sluice.sync())["signal"] == "profile_changed"
        sluice.start_dispatcher()
        await _until_delivered(sluice, 1)
