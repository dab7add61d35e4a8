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


def to_plain(value: object) -> Any:  # noqa: PLR0911 - one line a type
    """The value as JSON data of its own (undefined is null); ValueError for what JSON cannot say."""
    if value is None or isinstance(value, (str, bool, int)):
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
    """About the number of characters of the value's JSON text."""
    if isinstance(plain, str):
        return len(plain) + 2
    if isinstance(plain, Mapping):
        return 2 + sum(len(name) + 4 + json_size(member) for name, member in plain.items())
    if isinstance(plain, list):
        return 2 + sum(1 + json_size(item) for item in plain)
    return 5
