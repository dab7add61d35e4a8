"""Starts units together, watches them, and takes them down in the reverse order."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from typing import Protocol

from runtime.laptop.children import ChildProcess
from runtime.laptop.waiting import StartError, StopFlag

__all__ = ["Supervisor", "Unit"]

_WATCH_SECONDS = 0.2  # a dead child is noticed, and a Ctrl-C obeyed, before a person wonders
_TRIM_EVERY = 50  # watches; a log is looked at every ten seconds
_RESTART_PAUSE_SECONDS = 1.0  # a child that cannot start must not use up the machine


class Unit(Protocol):
    """A server or program, with the child process that carries it."""

    @property
    def child(self) -> ChildProcess: ...
    def launch(self) -> None: ...
    def wait_ready(self) -> None: ...
    def stop(self) -> None: ...


class Supervisor:
    """With `restart`, a unit that dies is started again; without, its death ends everything."""

    def __init__(self, stop: StopFlag, say: Callable[[str], None], *, restart: bool = False) -> None:
        self._stop = stop
        self._say = say
        self._restart = restart
        self._units: list[Unit] = []

    def bring_up(self, *units: Unit) -> None:
        """Launch all, then wait for all. Raises StartError, StopRequestedError."""
        for unit in units:
            self._stop.raise_if_requested()
            self._units.append(unit)
            unit.launch()
        for unit in units:
            unit.wait_ready()

    def obituary(self) -> str | None:
        """What is to be said about the first unit found dead."""
        return next((words for unit in self._units if (words := unit.child.obituary())), None)

    def watch(self, meanwhile: Callable[[], None]) -> None:
        """Return when a stop is requested; `meanwhile` is called at every look.

        Raises StartError when a unit dies and is not to be restarted.
        """
        watches = 0
        while not self._stop.requested:
            time.sleep(_WATCH_SECONDS)
            watches += 1
            meanwhile()
            for unit in self._units:
                if words := unit.child.obituary():
                    self._bury(unit, words)
                if watches % _TRIM_EVERY == 0:
                    unit.child.log.trim()

    def take_down(self) -> None:
        with contextlib.ExitStack() as stack:  # last in, first out, and one that fails does not spare the others
            for unit in self._units:
                stack.callback(unit.stop)
        self._units.clear()

    def _bury(self, unit: Unit, words: str) -> None:
        if self._stop.requested:
            return
        if not self._restart:
            raise StartError(words)
        self._say(f"{words}\nStarting {unit.child.name} again.")
        unit.child.kill()  # what it had started must not stay beside the new one
        time.sleep(_RESTART_PAUSE_SECONDS)
        unit.launch()
        unit.wait_ready()
        self._say(f"{unit.child.name} is back.")
