"""What happens to events, for the histories of EventDelivery and EventRetry that `record.py` records. All of profile `u1` unless said."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from domain.events import lane_of
from storage.destinations import Destinations
from tests.builders import a_spec, an_event, an_event_mapping, publish
from tests.product import Product
from tests.receiver import Answer, Receiver, eventually
from workflows import names

Scenario = Callable[[Product, Receiver, str], Awaitable[None]]

OTHERS = [profile for profile in (f"other-{n}" for n in range(200)) if lane_of(profile) == lane_of("u1")][:9]


async def event_idle_end(sluice: Product, receiver: Receiver, name: str) -> None:
    await _publish(sluice, receiver, name)
    await sluice.events.store([an_event("u1", properties={"n": n}) for n in range(3)])
    await receiver.received(3)


async def event_outage_and_recovery(sluice: Product, receiver: Receiver, name: str) -> None:
    await _bring_down(sluice, receiver, name)
    await eventually(lambda: _count(sluice, name, "retrying", "EventDelivery"), what="a pump that waits")
    receiver.script = lambda _: Answer()


async def event_held(sluice: Product, receiver: Receiver, name: str) -> None:
    await _bring_down(sluice, receiver, name)
    await eventually(lambda: _count(sluice, name, "retrying", "EventDelivery"), what="a pump that waits")
    await Destinations(sluice.database).pause(name, None)


async def event_retried_until_delivered(sluice: Product, receiver: Receiver, name: str) -> None:
    await _publish(sluice, receiver, name, initial_seconds=0.2)
    receiver.then(Answer(503), Answer(429, {"retry-after": "1"}), Answer(503))
    await sluice.events.store([an_event("u1", properties={"n": n}) for n in range(2)])


async def event_paused_in_first_back_off(sluice: Product, receiver: Receiver, name: str) -> None:
    await _publish(sluice, receiver, name, initial_seconds=3)
    receiver.then(Answer(503))
    await sluice.events.store([an_event("u1")])
    await eventually(lambda: _count(sluice, name, "retrying"), what="a back-off")
    await _pause_and_resume(sluice, name)


async def event_paused_in_later_back_off(sluice: Product, receiver: Receiver, name: str) -> None:
    await _publish(sluice, receiver, name, initial_seconds=0.2, backoff=15)
    receiver.then(Answer(503), Answer(503))
    await sluice.events.store([an_event("u1")])
    await receiver.received(2)
    await eventually(lambda: _tried(sluice, name, 2), what="a later back-off")
    await _pause_and_resume(sluice, name)


async def event_gave_up(sluice: Product, receiver: Receiver, name: str) -> None:
    await _publish(sluice, receiver, name, attempts=3, initial_seconds=0.2)
    receiver.then(Answer(503), Answer(503), Answer(503))
    await sluice.events.store([an_event("u1")])


def _pump(name: str) -> str:
    return names.event_delivery_id(name, lane_of("u1"))


def _retry(name: str) -> str:
    return names.event_retry_id(name, "u1")


# With the id of the workflow whose history is recorded.
EVENT_SCENARIOS: dict[Scenario, Callable[[str], str]] = {
    event_idle_end: _pump,
    event_outage_and_recovery: _pump,
    event_held: _pump,
    event_retried_until_delivered: _retry,
    event_paused_in_first_back_off: _retry,
    event_paused_in_later_back_off: _retry,
    event_gave_up: _retry,
}


async def _publish(sluice: Product, receiver: Receiver, name: str, **retry: float) -> None:
    await publish(sluice.database, name, a_spec(receiver.url, mappings=[an_event_mapping()], retry=retry))


async def _bring_down(sluice: Product, receiver: Receiver, name: str) -> None:
    """So many profiles fail that the destination counts as one that does not answer."""
    receiver.script = lambda _: Answer(503)
    await _publish(sluice, receiver, name)
    await sluice.events.store([an_event(profile) for profile in ("u1", *OTHERS)])


async def _pause_and_resume(sluice: Product, name: str) -> None:
    destinations = Destinations(sluice.database)
    await destinations.pause(name, None)
    await eventually(lambda: _count(sluice, name, "held"), what="a held run")
    await destinations.resume(name)


async def _count(sluice: Product, name: str, state: str, workflow: str = "EventRetry") -> int:
    query = (
        f'WorkflowType="{workflow}" AND DestinationId="{name}" AND SyncState="{state}" AND ExecutionStatus="Running"'
    )
    return (await sluice.client.count_workflows(query)).count


async def _tried(sluice: Product, name: str, attempts: int) -> bool:
    query = (
        "select attempts from deliveries where destination_id = :name and status = 'retrying' and attempts = :attempts"
    )
    return bool(await sluice.rows(query, name=name, attempts=attempts))
