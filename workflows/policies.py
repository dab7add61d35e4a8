"""How long things may take, and how they are tried again."""

from __future__ import annotations

from datetime import timedelta

from temporalio.common import RetryPolicy

from activities.messages import DeliveryOrder

# Our own database work takes milliseconds; ten seconds is a database in trouble, and the next try finds another connection.
PREPARE_TIMEOUT = timedelta(seconds=10)
# Preparing depends on nothing but our database: it is tried until that is back, never given up.
PREPARE_RETRY = RetryPolicy(
    initial_interval=timedelta(milliseconds=200), backoff_coefficient=2, maximum_interval=timedelta(seconds=30)
)
# A longer wait than this within a workflow task would fill the history with its heartbeats; then a timer is cheaper.
LOCAL_RETRY_THRESHOLD = timedelta(seconds=5)
# An attempt: at most 60 s on the wire, and half a minute of patience to write its outcome down.
ATTEMPT_TIMEOUT = timedelta(seconds=110)
# A worker that dies is noticed after this; it reports every 5 s.
ATTEMPT_HEARTBEAT = timedelta(seconds=20)
# After a delivery activity ended without an answer of ours (workers died, the database was away): not in a tight loop.
AFTER_TROUBLE = timedelta(seconds=5)
# The first may be a pause, or a newer state, of which the run hears in the same moment.
REFUSALS = 2
# A workflow that holds looks again by itself, in case the resume signal missed it. Seldom: a hundred thousand may be holding.
HOLD_RECHECK = timedelta(hours=1)

# A pump's run: a minute's work, a minute for what is on the wire, and half a minute of patience to write it down.
PUMP_TIMEOUT = timedelta(minutes=4)
# A pump that dies is noticed after this; it reports every 2 s.
PUMP_HEARTBEAT = timedelta(seconds=10)
# A pump depends on nothing but our database: it is started again until that is back.
PUMP_RETRY = RetryPolicy(
    initial_interval=timedelta(seconds=1), backoff_coefficient=2, maximum_interval=timedelta(seconds=30)
)


# Temporal counts as attempts what was none: when it was not this delivery's turn under a rate limit, or no place was free. The database
# counts those that were made, and says when to give up. Should these be used up, the workflow asks what to do and goes on.
ATTEMPTS_NOT_MADE = 1_000


def delivery_retry(order: DeliveryOrder, used: int) -> RetryPolicy:
    """The destination's declared policy, for the attempts that are left after `used`, and for those that will not be made."""
    retry = order.retry
    interval = min(retry.max_interval_seconds, retry.initial_seconds * retry.backoff ** min(used, 100))
    return RetryPolicy(
        initial_interval=timedelta(seconds=interval),
        backoff_coefficient=retry.backoff,
        maximum_interval=timedelta(seconds=retry.max_interval_seconds),
        maximum_attempts=max(1, retry.attempts - used) + ATTEMPTS_NOT_MADE,
    )
