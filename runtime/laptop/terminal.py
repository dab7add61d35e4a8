"""Ctrl-C for us alone: make, in the same process group, would report its own interruption in place of our exit code."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from types import FrameType

__all__ = ["Foreground"]

_TTY = 0  # standard input


class Foreground:
    """While held, we are a process group of our own in the terminal's foreground, so that its keys signal nobody else.

    Nothing happens where there is no terminal, where another job has it, or where the group is ours already.
    """

    def __init__(self) -> None:
        self._home: int | None = None  # the group we came from, while we are away from it

    def __enter__(self) -> Foreground:
        self.take()
        return self

    def __exit__(self, *_: object) -> None:
        self.give_back()

    def take(self) -> None:
        """Also to be called now and then: a shell's `fg` puts our job back into the foreground without telling it."""
        group = os.getpgrp()
        if group == os.getpid() or _foreground() != group:
            return
        os.setpgid(0, 0)
        self._home = group
        signal.signal(signal.SIGTSTP, self._suspend)
        _set_foreground(os.getpid())

    def give_back(self) -> None:
        if self._home is None:
            return
        home, self._home = self._home, None
        signal.signal(signal.SIGTSTP, signal.SIG_DFL)
        if _foreground() == os.getpid():  # when make was killed, the shell has it by now
            _set_foreground(home)
        with contextlib.suppress(OSError):  # everybody else in it has ended
            os.setpgid(0, home)

    def _suspend(self, _number: int, _frame: FrameType | None) -> None:
        # The shell waits for make to stop, and continues make's group, so we stop as part of it.
        self.give_back()
        os.killpg(os.getpgrp(), signal.SIGTSTP)
        self.take()


def _foreground() -> int | None:
    """The group in the foreground of our terminal; None without one."""
    with contextlib.suppress(OSError):
        return os.tcgetpgrp(_TTY)
    return None


def _set_foreground(group: int) -> None:
    with _may_write_from_the_background(), contextlib.suppress(OSError):  # the terminal was closed
        os.tcsetpgrp(_TTY, group)


@contextlib.contextmanager
def _may_write_from_the_background() -> Iterator[None]:
    # Changing the foreground from outside it would stop us; handing it over is just what we mean.
    before = signal.signal(signal.SIGTTOU, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGTTOU, before)
