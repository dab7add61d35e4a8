"""The limits people's templates run under, and the budget one rendering spends."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Sizes are in characters, which for JSON text is at most a quarter of the bytes."""

    template_chars: int = (
        32_768  # python-liquid's lexer is quadratic in unclosed raw blocks: 32 K costs it well under a second
    )
    leaves: int = 2_000  # string leaves of one body; a body that large is generated, not written
    nesting: int = 32  # levels of a JSON template; no receiver in the catalogue goes beyond ten
    output_chars: int = 1_048_576  # the common limit of receivers' request bodies is 1 MB
    items: int = 10_000  # members of one list that a filter makes or reads, or of one range
    steps: int = 500_000  # loop turns × nodes in the loop + filter work; about one second of one core
    integer_bits: int = 2_048  # no receiver reads longer integers, and Python refuses to print them beyond 4,300 digits


LIMITS = Limits()
_WITHOUT_BULK = frozenset({int, float, bool, type(None)})


class LimitReached(Exception):
    """A template wanted more than its limits allow; the message says which."""


class Budget:
    """What is left of the limits for one rendering; all the leaves of one body spend from one budget."""

    __slots__ = ("context", "limits", "output_left", "steps_left")

    def __init__(self, limits: Limits = LIMITS) -> None:
        self.limits = limits
        self.context: object = None  # where the engine keeps what leaves without tags can share: making it costs most
        self.steps_left = limits.steps
        self.output_left = limits.output_chars

    def spend_steps(self, count: int) -> None:
        self.steps_left -= count
        if self.steps_left < 0:
            raise LimitReached(f"the template does too much work (limit {self.limits.steps:,} steps)")

    def spend_output(self, characters: int) -> None:
        self.output_left -= characters
        if self.output_left < 0:
            raise LimitReached(f"the template renders too much text (limit {self.limits.output_chars:,} characters)")

    def check_value(self, value: object) -> None:
        """Refuse what a filter made before anything copies it again."""
        if isinstance(value, str):
            self._check(len(value), self.limits.output_chars, "characters in one text")
        elif isinstance(value, (list, tuple, range)):
            self._check(_length(value), self.limits.items, "items in one list")
        elif isinstance(value, int):
            self._check(value.bit_length(), self.limits.integer_bits, "bits in one integer")

    @staticmethod
    def _check(size: int, limit: int, what: str) -> None:
        if size > limit:
            raise LimitReached(f"the template makes too many {what} (limit {limit:,})")


def _length(value: list[object] | tuple[object, ...] | range) -> int:
    # len() of a range beyond sys.maxsize raises OverflowError
    return max(0, value.stop - value.start) if isinstance(value, range) else len(value)


def bulk_of(value: object, enough: int) -> int:
    """How many members at any depth, and hundreds of characters, running through the value meets; counts to `enough` only."""
    bulk, waiting = 0, [value]
    while waiting and bulk <= enough:
        one = waiting.pop()
        kind = type(one)
        if kind is str:
            bulk += len(one) // 100  # type: ignore[arg-type]
        elif kind in _WITHOUT_BULK:
            continue
        elif isinstance(one, (dict, Mapping)):  # a dict is told from others without asking the abstract class
            bulk += len(one)
            waiting.extend(one.values())
        elif isinstance(one, (list, tuple)):
            bulk += len(one)
            waiting.extend(one)
        elif isinstance(one, range):
            bulk += _length(one)
        elif isinstance(one, str):
            bulk += len(one) // 100
    return bulk
