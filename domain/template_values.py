"""How a value looks as text and as JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from typing import Any

from liquid import is_undefined
from liquid.builtin.expressions.primitive import Blank, Empty

_AS_IT_IS = frozenset({str, int, bool, type(None)})


def to_text(value: object) -> str:  # noqa: PLR0911 - one line a type
    """What an output writes: nothing for null and undefined, a list's items in a row, objects as JSON."""
    if isinstance(value, str):
        return value
    if value is None or is_undefined(value):
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (list, tuple)):
        return "".join(map(to_text, value))
    if isinstance(value, range):
        return f"{value.start}..{value.stop - 1}"
    if isinstance(value, Mapping):
        return to_json(value)
    return value.isoformat() if isinstance(value, date) else str(value)


def to_plain(value: object) -> Any:
    """The value as JSON data of its own (undefined is null); ValueError for what JSON cannot say."""
    kind = type(value)
    if kind in _AS_IT_IS:
        return value
    if kind is dict:  # as nearly everything is: data that came as JSON
        members: dict[Any, Any] = value  # type: ignore[assignment]
        return {
            name if type(name) is str else str(name): member if type(member) in _AS_IT_IS else to_plain(member)
            for name, member in members.items()
        }
    if kind is list:
        items: list[Any] = value  # type: ignore[assignment]
        return [item if type(item) in _AS_IT_IS else to_plain(item) for item in items]
    return _other_to_plain(value)


def _other_to_plain(value: object) -> Any:  # noqa: PLR0911 - one line a type
    if isinstance(value, (str, int)):
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"{value} is not a number that JSON can hold")
        return value
    if isinstance(value, (Empty, Blank)) or value == None:  # noqa: E711 - undefined and the nulls of `map` equal null
        return None
    if isinstance(value, Mapping):
        return {str(name): to_plain(member) for name, member in value.items()}
    if isinstance(value, (list, tuple, range)):
        return [to_plain(item) for item in value]
    if isinstance(value, Decimal):
        return to_plain(float(value))
    if isinstance(value, date):
        return value.isoformat()
    raise ValueError(f"a {type(value).__name__} has no JSON form")


def to_json(value: object, *, indent: int | None = None) -> str:
    """JSON text of any value a template can hold; ValueError as `to_plain`."""
    return json.dumps(to_plain(value), ensure_ascii=False, allow_nan=False, indent=indent)


def json_size(plain: Any) -> int:
    """About the number of characters of the JSON text of what `to_plain` made."""
    size, waiting = 0, [plain]
    while waiting:
        one = waiting.pop()
        kind = type(one)
        if kind is str:
            size += len(one) + 3
        elif kind is dict:
            size += 3 + sum(map(len, one)) + 4 * len(one)
            waiting += one.values()
        elif kind is list:
            size += 3
            waiting += one
        else:
            size += 5
    return size
