"""What values are to a condition: which kind, when two are the same, which comes first, what a path leads to."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final, Literal, Protocol

Kind = Literal["missing", "null", "number", "string", "time", "duration", "list", "object", "unknown"]

DEPTH_LIMIT: Final = 200  # of two lists or objects that are compared; stays far below Python's own recursion limit
ITEM_WORK: Final = 60  # of comparing two items: 0.4 µs, in the steps that Meter counts


class ValueFault(Exception):
    """A value that an operator or a function cannot take; a ConditionEvaluationError where the position is known."""


class _Missing:
    def __repr__(self) -> str:
        return "MISSING"


MISSING: Final = _Missing()

_KINDS: dict[type, Kind] = {
    _Missing: "missing",
    type(None): "null",
    bool: "number",
    int: "number",
    float: "number",
    str: "string",
    datetime: "time",
    date: "time",
    timedelta: "duration",
    list: "list",
    tuple: "list",
    dict: "object",
}
_ORDERED: Final = frozenset({"number", "string", "time", "duration"})
_ORDERS: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def kind_of(value: object) -> Kind:
    return _KINDS.get(type(value)) or _kind_of_subclass(value)


def _kind_of_subclass(value: object) -> Kind:
    for known, kind in _KINDS.items():
        if isinstance(value, known):
            return kind
    if isinstance(value, Mapping):
        return "object"
    if isinstance(value, Sequence) and not isinstance(value, bytes | bytearray | memoryview):
        return "list"
    return "unknown"


def called(value: object) -> str:
    """The kind of a value in an error message. Never the value itself: it may be personal."""
    if isinstance(value, bool):
        return "a bool"
    kind = kind_of(value)
    return {"missing": "missing", "null": "null", "object": "an object", "unknown": f"a {type(value).__name__}"}.get(
        kind, f"a {kind}"
    )


def lookup(value: object, steps: Sequence[tuple[str, int | None]]) -> object:
    """What the steps (name, index if the name is one) lead to from `value`, else MISSING."""
    for name, index in steps:
        if type(value) is dict or isinstance(value, Mapping):
            if name not in value:
                return MISSING
            value = value[name]
        elif index is not None and kind_of(value) == "list" and isinstance(value, Sequence) and index < len(value):
            value = value[index]
        else:
            return MISSING
    return value


class Meter(Protocol):
    """What comparing long values is paid from; `spend` raises ValueFault when it is too much."""

    def spend(self, work: int) -> None: ...


def same(left: object, right: object, meter: Meter, depth: int = 0) -> bool:
    """Equality by kind: numbers as numbers (true is 1), times as instants, lists and objects by content.

    Missing is the same as nothing, not even as missing."""
    kind = kind_of(left)
    if kind != kind_of(right) or kind in ("missing", "unknown"):
        return False
    if kind == "time":
        return instant(left) == instant(right)
    if kind in ("list", "object"):
        return _same_content(left, right, meter, depth)
    return bool(left == right)


def _same_content(left: object, right: object, meter: Meter, depth: int) -> bool:
    if depth >= DEPTH_LIMIT:
        raise ValueFault(f"cannot compare values nested deeper than {DEPTH_LIMIT}")
    if isinstance(left, Mapping) and isinstance(right, Mapping):
        if len(left) != len(right):
            return False
        meter.spend(len(left) * ITEM_WORK)
        return all(k in right and same(v, right[k], meter, depth + 1) for k, v in left.items())
    assert isinstance(left, Sequence)  # noqa: S101 - kind_of said so
    assert isinstance(right, Sequence)  # noqa: S101
    if len(left) != len(right):
        return False
    meter.spend(len(left) * ITEM_WORK)
    return all(same(a, b, meter, depth + 1) for a, b in zip(left, right, strict=True))


def ordered(left: object, order: str, right: object) -> bool:
    """`left order right`, false if either is missing or null; ValueFault unless they are of one kind with an order."""
    kind, other = kind_of(left), kind_of(right)
    if kind == other and kind in _ORDERED:
        if kind == "time":
            left, right = instant(left), instant(right)
        return _ORDERS[order](left, right)
    if {kind, other} & {"missing", "null"}:
        return False
    raise ValueFault(f"{called(left)} and {called(right)} cannot be ordered{_advice(kind, other)}")


def _advice(kind: Kind, other: Kind) -> str:
    return "; datetime() makes a time of a string or a number" if "time" in (kind, other) else ""


def instant(value: object) -> datetime:
    """A date or time as an instant in UTC. Without a zone it is UTC; a date is its midnight."""
    if not isinstance(value, datetime):
        assert isinstance(value, date)  # noqa: S101 - kind_of said so
        return datetime(value.year, value.month, value.day, tzinfo=UTC)
    if value.utcoffset() is None:
        return value.replace(tzinfo=UTC)
    try:
        return value.astimezone(UTC)
    except OverflowError:
        raise ValueFault("the time is outside the years 1 to 9999") from None


def contains(whole: object, part: object, meter: Meter) -> bool:
    if isinstance(whole, str) and isinstance(part, str):
        return part in whole
    items = _items(whole, "CONTAINS", part)
    meter.spend(len(items) * ITEM_WORK)
    return any(same(item, part, meter) for item in items)


def starts_with(whole: object, part: object, meter: Meter) -> bool:
    if isinstance(whole, str) and isinstance(part, str):
        return whole.startswith(part)
    items = _items(whole, "STARTS WITH", part)
    return len(items) > 0 and same(items[0], part, meter)


def ends_with(whole: object, part: object, meter: Meter) -> bool:
    if isinstance(whole, str) and isinstance(part, str):
        return whole.endswith(part)
    items = _items(whole, "ENDS WITH", part)
    return len(items) > 0 and same(items[-1], part, meter)


def _items(whole: object, operation: str, part: object) -> Sequence[object]:
    """The items to look among: none if either side is missing; a fault unless `whole` is a list."""
    kinds = kind_of(whole), kind_of(part)
    if "missing" in kinds:
        return ()
    if kinds[0] == "list" and isinstance(whole, Sequence):
        return whole
    if kinds[0] == "string":
        raise ValueFault(f"{operation} on a string needs a string, not {called(part)}")
    raise ValueFault(f"{operation} needs a string or a list, not {called(whole)}")


def is_empty(value: object) -> bool:
    """Missing, null, and strings, lists and objects without content; never a number, a bool or a blank."""
    kind = kind_of(value)
    if kind in ("missing", "null"):
        return True
    return kind in ("string", "list", "object") and len(value) == 0  # type: ignore[arg-type]
