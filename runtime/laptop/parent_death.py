"""Linux can tell a process that its parent has died, however it died."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Callable

__all__ = ["die_with_parent", "follow_parent"]

_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def die_with_parent(death_signal: signal.Signals) -> Callable[[], None] | None:
    """What a child runs before exec, so that it gets `death_signal` when we die. None where there is no such thing.

    It must run after the change of user, which clears the setting; `subprocess` does so. It is tied to the thread that
    starts the child: start children from the main thread.
    """
    if _libc is None:
        return None
    libc, parent = _libc, os.getpid()

    def before_exec() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, int(death_signal))
        if os.getppid() != parent:  # it died between fork and prctl
            os._exit(1)

    return before_exec


def follow_parent(death_signal: signal.Signals = signal.SIGTERM) -> None:
    """Have `death_signal` sent to ourselves when our parent dies."""
    if _libc is not None:
        _libc.prctl(_PR_SET_PDEATHSIG, int(death_signal))
