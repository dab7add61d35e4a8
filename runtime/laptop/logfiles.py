"""A child's log: appended to by the child itself, so that it needs no reader, and kept bounded by us."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import BinaryIO

__all__ = ["LogFile"]

_LARGEST_BYTES = 20 * 1024 * 1024  # with the one older file it keeps, a laptop never holds more than 40 MB a child
_TAIL_BYTES = 64 * 1024
_LINE_HEAD, _LINE_TAIL = 150, 700


class LogFile:
    def __init__(self, path: Path, *, largest_bytes: int = _LARGEST_BYTES) -> None:
        self.path = path
        self._largest_bytes = largest_bytes
        self._older = path.with_suffix(".log.1")

    def opened(self) -> BinaryIO:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        return self.path.open("ab")

    def trim(self) -> None:
        """Move the content aside when there is too much of it. The child goes on: it appends, wherever the end is."""
        if self.path.exists() and self.path.stat().st_size > self._largest_bytes:
            shutil.copyfile(self.path, self._older)
            with self.path.open("rb+") as file:
                file.truncate(0)

    def tail(self, lines: int = 20) -> str:
        if not self.path.exists():
            return "(empty)"
        with self.path.open("rb") as file:
            file.seek(max(0, self.path.stat().st_size - _TAIL_BYTES))
            text = file.read().decode(errors="replace")
        return "\n".join(f"  {_shortened(line)}" for line in text.splitlines()[-lines:]) or "(empty)"


def _shortened(line: str) -> str:
    # A traceback is one line of JSON, and what went wrong stands at its end.
    return line if len(line) <= _LINE_HEAD + _LINE_TAIL else f"{line[:_LINE_HEAD]} … {line[-_LINE_TAIL:]}"
