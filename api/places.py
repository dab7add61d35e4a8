"""A bound on how many callers may be somewhere at once; who finds no place is told when to come back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from domain.errors import TooManyRequests


class Places:
    def __init__(self, count: int, *, full: str, retry_after_seconds: float) -> None:
        self._free = count
        self._full = full
        self._retry_after_seconds = retry_after_seconds

    @contextmanager
    def take(self) -> Iterator[None]:
        """Raises TooManyRequests, at once."""
        if self._free <= 0:
            raise TooManyRequests(self._full, self._retry_after_seconds)
        self._free -= 1
        try:
            yield
        finally:
            self._free += 1
