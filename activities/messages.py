"""What workflows hand to activities and get back. Ids and small facts only: never a secret, never customers' data.

Fields are only ever added, with defaults: recorded histories and running workflows hold the old forms.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict


class _Message(BaseModel):
    model_config = ConfigDict(frozen=True)


class PrepareInput(_Message):
    """`under_way` are the mappings whose delivery the workflow is busy with; `now` skips the debounce."""

    destination_id: str
    profile_id: str
    under_way: list[str] = []
    now: bool = False


class RetryPlan(_Message):
    """The destination's declared retry policy."""

    attempts: int
    initial_seconds: float
    backoff: float
    max_interval_seconds: float


class DeliveryOrder(_Message):
    """One delivery to be made. `only` if nothing else of this sync is under way, so that its success settles the sync."""

    delivery_id: str
    destination_id: str
    mapping_id: str
    attempts_used: int
    retry: RetryPlan
    only: bool = False


class Settled(_Message):
    """The sync has ended, for now."""

    state: Literal["idle", "failed", "skipped", "discarded"]
    reason: str | None = None
    message: str | None = None


class Plan(_Message):
    """What the workflow is to do: make `deliveries`; look again in `wait_seconds`; hold; or end."""

    deliveries: list[DeliveryOrder] = []
    wait_seconds: float | None = None
    held: bool = False
    settled: Settled | None = None


class AttemptResult(_Message):
    """How one attempt ended. `busy`: it was not made, as too many to this destination are, or as its rate limit says; `paused`,
    `gone`: not made either. `retry_in_seconds` goes with `retry` and with the rate limit. `settled`: the sync as a whole is settled
    by this success.
    """

    status: Literal["delivered", "skipped", "failed", "discarded", "retry", "busy", "paused", "gone"]
    code: str | None = None
    message: str | None = None
    number: int = 0
    retry_in_seconds: float | None = None
    settled: bool = False


class PumpRequest(_Message):
    """The lanes that this home serves. `probes` and `probe_after` go on from the result before, during an outage."""

    destination_id: str
    lane: int
    probes: int = 0
    probe_after: int = 0


class PumpResult(_Message):
    """Why the pump stopped, and what it did with how many deliveries.

    `idle`: nothing is left; `held`: the destination is paused or gone; `outage`: it does not answer, to be tried again in
    `wait_seconds`; `more`: it ran long enough; `lost`: another pump has taken over.
    """

    state: Literal["idle", "held", "outage", "more", "lost"]
    delivered: int = 0
    skipped: int = 0
    failed: int = 0
    retried: int = 0
    wait_seconds: float = 0.0
    probes: int = 0
    probe_after: int = 0
    message: str | None = None


class EventRetryRequest(_Message):
    """The profile whose events wait."""

    destination_id: str
    profile_id: str


class EventRetryPlan(_Message):
    """Make `order`, after `wait_seconds`; or hold; or, with neither, the profile's events are back in the queue."""

    order: DeliveryOrder | None = None
    wait_seconds: float = 0.0
    held: bool = False
