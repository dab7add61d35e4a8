"""Waiting for servers, in a way that Ctrl-C and a dying child both end."""

from __future__ import annotations

import time
from collections.abc import Callable

__all__ = ["POLL_SECONDS", "StartError", "StopFlag", "StopRequestedError", "wait_until"]

POLL_SECONDS = 0.05  # a start has about five waits; none should add a noticeable pause


class StartError(Exception):
    """The system cannot start or go on; the message is for the person at the terminal."""


class StopRequestedError(Exception):
    """Ctrl-C or SIGTERM arrived while starting."""


class StopFlag:
    """Set by the signal handler. A plain attribute, because a handler must not take locks its own thread may hold."""

    def __init__(self) -> None:
        self.requested = False

    def raise_if_requested(self) -> None:
        if self.requested:
            raise StopRequestedError


def wait_until(
    condition: Callable[[], bool], what: str, *, seconds: float, gone: Callable[[], str | None], stop: StopFlag
) -> None:
    """Return once `condition()` holds. Raises StartError when `gone()` names a reason or the time is up."""
    deadline = time.monotonic() + seconds
    while not condition():
        stop.raise_if_requested()
        if reason := gone():
            raise StartError(reason)
        if time.monotonic() > deadline:
            raise StartError(f"{what} was not ready after {seconds:g} s")
        time.sleep(POLL_SECONDS)
