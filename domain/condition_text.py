"""Reads the tokens of a condition that hold a value: fields and literals, with their canonical text."""

from __future__ import annotations

import json
import math
import re
import unicodedata
from typing import Final

from domain.condition_times import read_duration, write_duration
from domain.condition_values import ValueFault

NUMBER_LIMIT: Final = (
    300  # characters; longer ones cannot be floats, and Python refuses to read ints of some thousand digits
)
_STRING: Final = r'"(?:[^"\\]|\\.)*"|\'(?:[^\'\\]|\\.)*\''
_STEP: Final = re.compile(rf"\.?([^.\[]+)|\[({_STRING})\]")
_ESCAPE: Final = re.compile(r'\\(.)|"', re.DOTALL)


def read_literal(kind: str, text: str) -> tuple[object, str]:
    """The value of a literal token and its canonical text; ValueFault on a bad escape or an immense number."""
    match kind:
        case "string":
            value = read_string(text)
            return value, write_string(value)
        case "number":
            return _read_number(text)
        case "duration":
            length = read_duration(text)
            return length, write_duration(length)
        case _:
            return {"nothing": (None, "null"), "true": (True, "true"), "false": (False, "false")}[kind]


def read_field(text: str) -> tuple[str, tuple[str, ...], str]:
    """Source, segments and canonical text of `source@path`."""
    source, path = text.split("@", 1)
    segments = tuple(_read_segment(*step.groups()) for step in _STEP.finditer(path))
    return source.lower(), segments, f"{source.lower()}@{write_path(segments)}"


def write_path(segments: tuple[str, ...]) -> str:
    steps = (f".{name}" if _is_plain(name) else f"[{write_string(name)}]" for name in segments)
    return "".join(steps).removeprefix(".")


def _read_segment(plain: str | None, quoted: str | None) -> str:
    if plain is None:
        return read_string(quoted or "")
    if not _is_plain(plain):
        raise ValueFault(
            f'a path holds letters, digits, "_", "$" and "-"; write other names as [{write_string(plain)}]'
        )
    return plain


def _is_plain(name: str) -> bool:
    # Marks belong to the letters of many alphabets.
    return name != "" and all(c in "_$-" or unicodedata.category(c)[0] in "LMN" for c in name)


def read_string(text: str) -> str:
    """The value of a quoted string: JSON's escapes, and `\\'` in single quotes."""
    body = text[1:-1]
    if text[0] == "'":
        body = _ESCAPE.sub(_to_json_escape, body)
    try:
        value: str = json.loads(f'"{body}"', strict=False)
    except json.JSONDecodeError:
        raise ValueFault(
            'the string holds an escape that JSON does not have; a backslash itself is written "\\\\"'
        ) from None
    if any("\ud800" <= c <= "\udfff" for c in value):
        raise ValueFault("the string holds half of a surrogate pair, which is no character")
    return value


def _to_json_escape(found: re.Match[str]) -> str:
    return {"\\'": "'", '"': '\\"'}.get(found[0], found[0])


def write_string(value: str) -> str:
    return json.dumps(value, ensure_ascii=False)


def _read_number(text: str) -> tuple[int | float, str]:
    if len(text) > NUMBER_LIMIT:
        raise ValueFault(f"the number is longer than {NUMBER_LIMIT} characters")
    value = float(text) if set(text) & set(".eE") else int(text)
    if math.isinf(value):
        raise ValueFault("the number is too large")
    return value, repr(value)
