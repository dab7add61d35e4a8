"""Whether this process could do its work right now: each part it needs, by name."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime, timedelta

from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest, GetSystemInfoRequest
from temporalio.client import Client

from domain.errors import Unavailable

CHECK_SECONDS = 3.0  # probes usually give up after five
CACHE_SECONDS = 1.0  # anybody may ask, so asking must be cheap
POLLED_WITHIN = timedelta(
    seconds=90
)  # a poll lasts up to 60 s; Temporal lists pollers for five minutes after their death

Check = Callable[[], Awaitable[None]]
"""Raises when its part is not ready; the error's words are shown."""


class Readiness:
    def __init__(self, checks: Mapping[str, Check]) -> None:
        self._checks = dict(checks)
        self._lock = asyncio.Lock()
        self._found: dict[str, str | None] = {}
        self._until = 0.0

    async def complaints(self) -> dict[str, str | None]:
        """By part: None when it is ready, else what is wrong with it."""
        async with self._lock:
            if time.monotonic() >= self._until:
                answers = await asyncio.gather(*(_complaint(check) for check in self._checks.values()))
                self._found = dict(zip(self._checks, answers, strict=True))
                self._until = time.monotonic() + CACHE_SECONDS
            return self._found


async def _complaint(check: Check) -> str | None:
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            await check()
    except TimeoutError:
        return f"no answer within {CHECK_SECONDS:g} seconds"
    except Unavailable as error:
        return error.message
    except Exception as error:  # whatever a driver raises, the part is not ready
        # Its words may hold addresses and names that are nobody's business here; the log has them.
        return f"failed: {type(error).__name__}"
    return None


def temporal_answers(client: Client) -> Check:
    async def check() -> None:
        await client.workflow_service.get_system_info(GetSystemInfoRequest(), timeout=timedelta(seconds=CHECK_SECONDS))

    return check


def worker_polls(client: Client, task_queue: str) -> Check:
    """Some worker has asked for work of both kinds lately."""

    async def check() -> None:
        for kind in (TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW, TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY):
            request = DescribeTaskQueueRequest(
                namespace=client.namespace, task_queue=TaskQueue(name=task_queue), task_queue_type=kind
            )
            answer = await client.workflow_service.describe_task_queue(
                request, timeout=timedelta(seconds=CHECK_SECONDS)
            )
            since = datetime.now(UTC) - POLLED_WITHIN
            if not any(poller.last_access_time.ToDatetime(UTC) > since for poller in answer.pollers):
                raise Unavailable(f"no worker polls the task queue {task_queue!r}")

    return check
