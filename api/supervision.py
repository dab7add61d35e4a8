"""Keeping a background task running: it is started again when it crashes, and its state shows."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from domain.errors import Unavailable

FIRST_RESTART_SECONDS = 0.5
MAX_RESTART_SECONDS = 30.0  # a fault that stays must not fill the log
STEADY_SECONDS = 60.0  # having run that long, a crash counts as the first again

_log = structlog.get_logger("api.supervision")


class Supervised:
    """`run` is expected to run until it is cancelled; returning counts as a crash."""

    def __init__(
        self, name: str, run: Callable[[], Awaitable[None]], *, restart_seconds: float = FIRST_RESTART_SECONDS
    ) -> None:
        self.name = name
        self.alive = False
        self.crashes = 0
        self._run = run
        self._restart_seconds = restart_seconds

    async def check(self) -> None:
        """Raises Unavailable while it is not running."""
        if not self.alive:
            raise Unavailable(f"the {self.name} is not running; it has crashed {self.crashes} times")

    async def run(self) -> None:
        """Until cancelled."""
        loop = asyncio.get_running_loop()
        delay = self._restart_seconds
        while True:
            started = loop.time()
            await self._run_once()
            self.crashes += 1
            if loop.time() - started > STEADY_SECONDS:
                delay = self._restart_seconds
            await asyncio.sleep(delay)
            delay = min(2 * delay, MAX_RESTART_SECONDS)

    async def _run_once(self) -> None:
        self.alive = True
        try:
            await self._run()
            _log.error("background_task_ended", task=self.name)
        except Exception:  # whatever it was, the task must come back
            _log.exception("background_task_crashed", task=self.name)
        finally:
            self.alive = False
