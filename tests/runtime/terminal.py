"""A program at a terminal of its own, as a person runs it: what is typed reaches whatever is in its foreground."""

from __future__ import annotations

import fcntl
import os
import pty
import subprocess
import termios
from collections.abc import Mapping, Sequence
from pathlib import Path

__all__ = ["CTRL_C", "CTRL_Z", "Terminal"]

CTRL_C, CTRL_Z = "\x03", "\x1a"


class Terminal:
    """`argv` becomes the leader of a new session with this terminal, as a login shell is."""

    def __init__(self, argv: Sequence[str], *, folder: Path, environment: Mapping[str, str]) -> None:
        self._ours, its = pty.openpty()
        self.process = subprocess.Popen(
            argv,
            cwd=folder,
            env=environment,
            stdin=its,
            stdout=its,
            stderr=its,
            start_new_session=True,
            preexec_fn=_adopt_terminal,  # noqa: PLW1509  (the only way to do it before exec)
        )
        os.close(its)
        self._unread = ""

    def type(self, keys: str) -> None:
        os.write(self._ours, keys.encode())

    def read_until(self, words: str) -> str:
        """What was written up to and including `words`. Raises AssertionError when it ends before."""
        while words not in self._unread:
            if not (more := self._read()):
                raise AssertionError(f"ended without saying {words!r}:\n{self._unread}")
            self._unread += more
        before, _, self._unread = self._unread.partition(words)
        return before + words

    def end(self) -> tuple[int, str]:
        """Wait for its end: exit code and the rest of what was written."""
        while more := self._read():
            self._unread += more
        return self.process.wait(timeout=60), self._unread

    def foreground(self) -> int:
        """The process group that Ctrl-C reaches now."""
        return os.tcgetpgrp(self._ours)

    def close(self) -> None:
        """As when its window is closed: who is in it gets SIGHUP."""
        os.close(self._ours)

    def _read(self) -> str:
        try:
            return os.read(self._ours, 65536).decode(errors="replace")
        except OSError:  # how Linux says that nobody has it open any more
            return ""


def _adopt_terminal() -> None:
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
