"""From rendered data to what goes over the wire."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlencode

from pydantic_core import PydanticSerializationError, to_json

from domain.template_values import to_text

Pairs = tuple[tuple[str, str], ...]

_EMPTY: tuple[Any, ...] = (None, "", [], {})


def to_json_bytes(value: Any) -> bytes:
    """Compact JSON of plain data, in UTF-8; half a surrogate pair, which UTF-8 cannot hold, is escaped."""
    try:
        return to_json(value)
    except PydanticSerializationError:
        return json.dumps(value, allow_nan=False, separators=(",", ":")).encode()


def to_form_bytes(pairs: Pairs) -> bytes:
    """`application/x-www-form-urlencoded`."""
    return urlencode(pairs, errors="replace").encode()


def to_text_bytes(text: str) -> bytes:
    """UTF-8; half a surrogate pair becomes a question mark."""
    return text.encode(errors="replace")


def to_pairs(data: dict[str, Any]) -> Pairs:
    """Names and values of a form or query: nested names as `a[b]`, lists as repeated names, null as empty text."""
    return tuple(pair for name, value in data.items() for pair in _pairs(name, value))


def omit_members(value: Any, rule: str) -> Any:
    """Without object members that are null (rule `null`), or also `""`, `[]` and `{}` (`empty`); 0 and false stay."""
    if rule == "none":
        return value
    if isinstance(value, list):
        return [omit_members(item, rule) for item in value]
    if not isinstance(value, dict):
        return value
    members = {name: omit_members(member, rule) for name, member in value.items()}
    return {name: member for name, member in members.items() if not _is_omitted(member, rule)}


def _is_omitted(value: Any, rule: str) -> bool:
    if isinstance(value, (bool, int, float)):
        return False
    return value is None if rule == "null" else value in _EMPTY


def _pairs(name: str, value: Any) -> list[tuple[str, str]]:
    if isinstance(value, dict):
        return [pair for key, member in value.items() for pair in _pairs(f"{name}[{key}]", member)]
    if isinstance(value, list):
        return [pair for item in value for pair in _pairs(name, item)]
    return [(name, to_text(value))]
