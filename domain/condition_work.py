"""How much one evaluation may do: a condition has hundreds of tests at most, but each may run over a quarter of a megabyte."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from domain.condition_values import ValueFault

# In steps of a regular expression over one byte of text; RE2's slowest engine takes about 6 ns for each, so 0.4 s.
WORK_LIMIT: Final = 64_000_000


class Turn:
    """One evaluation: its moment, and what is left of the work it may do."""

    __slots__ = ("_left", "now")

    def __init__(self, now: datetime) -> None:
        self.now = now
        self._left = WORK_LIMIT

    def spend(self, work: int) -> None:
        """Raises ValueFault when it is too much."""
        self._left -= work
        if self._left < 0:
            raise ValueFault("the condition has too much to do on values this long")
