"""The functions a condition can call."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from domain.condition_times import find_zone, from_timestamp, read_duration, read_time, shift
from domain.condition_values import ValueFault, called, kind_of


@dataclass(frozen=True, slots=True)
class Function:
    """`run(now, *arguments)` takes `fewest` to `most` arguments, none of them missing, and may raise ValueFault."""

    fewest: int
    most: int
    run: Callable[..., object]


def _now(now: datetime, zone: Any = "UTC") -> datetime:
    return _in_zone(now, zone)


def _in_zone(time: datetime, zone: object) -> datetime:
    # Every time is an instant, so a zone changes no comparison; it is still checked, because a wrong one is a mistake.
    find_zone(zone)
    return time


def _lower(_: datetime, value: object) -> str | None:
    return None if value is None else _text("lowercase", value).lower()


def _upper(_: datetime, value: object) -> str | None:
    return None if value is None else _text("uppercase", value).upper()


def _text(function: str, value: object) -> str:
    if not isinstance(value, str):
        raise ValueFault(f"{function}() needs a string, not {called(value)}")
    return value


def _length(_: datetime, value: Any) -> int:
    if kind_of(value) not in ("string", "list", "object"):
        raise ValueFault(f"length() needs a string, a list or an object, not {called(value)}")
    return len(value)


FUNCTIONS: Final[dict[str, Function]] = {
    "now": Function(0, 1, _now),
    "utcnow": Function(0, 0, _now),
    "now.offset": Function(1, 1, lambda now, offset: shift(now, read_duration(offset))),
    "now.timezone": Function(1, 1, _now),
    "now.timezone.offset": Function(2, 2, lambda now, zone, offset: shift(_in_zone(now, zone), read_duration(offset))),
    "datetime": Function(1, 1, lambda now, value: read_time(value, now)),
    "datetime.offset": Function(2, 2, lambda now, value, offset: shift(read_time(value, now), read_duration(offset))),
    "datetime.timezone": Function(2, 2, lambda now, value, zone: _in_zone(read_time(value, now), zone)),
    "datetime.from_timestamp": Function(1, 1, lambda _, value: from_timestamp(value)),
    "lowercase": Function(1, 1, _lower),
    "uppercase": Function(1, 1, _upper),
    "length": Function(1, 1, _length),
}
