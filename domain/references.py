"""Object-template references: `profile@path`, `event@path`, `profile@...`, and back-ticks that cast text."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from domain.objects import Scope

MISSING: Any = object()

_SEGMENT = r"""(?:[\w$-]+|\["(?:[^"\\]|\\.)*"\])"""
_REFERENCE = re.compile(
    rf"(profile|event)@(\.\.\.|{_SEGMENT}(?:\.{_SEGMENT}|\[\"(?:[^\"\\]|\\.)*\"\])*)", re.IGNORECASE
)
_PATH_SEGMENT = re.compile(r"""([\w$-]+)|\["((?:[^"\\]|\\.)*)"\]""")
_NUMBER = re.compile(r"-?(?:0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?")
_WORDS: dict[str, bool | None] = {"true": True, "false": False, "null": None, "none": None}

MAX_NUMBER_CHARS = 64  # longer digits are an identifier, not a quantity


@dataclass(frozen=True, slots=True)
class Reference:
    """One leaf that is a reference or a cast. `look_up` gives the native value, or MISSING."""

    source: str
    path: tuple[str, ...]
    cast: bool = False

    def look_up(self, scope: Scope) -> Any:
        value: Any = scope.get(self.source)
        if value is None:
            return MISSING
        for segment in self.path:
            value = _member(value, segment)
            if value is MISSING:
                return MISSING
        return cast(value) if self.cast else value


def parse_reference(text: str) -> Reference | None:
    """The reference this whole text is, if it is one."""
    inner, ticked = _unticked(text)
    match = _REFERENCE.fullmatch(inner)
    if match is None:
        return None
    source, path = match.groups()
    return Reference(source.lower(), () if path == "..." else _segments(path), ticked)


def parse_literal(text: str) -> Any:
    """The value of a literal in back-ticks that reads as number, bool or null, else MISSING."""
    inner, ticked = _unticked(text)
    value = cast(inner) if ticked else inner
    return MISSING if value == inner else value


def cast(value: Any) -> Any:
    """Text that reads as a number, a bool or null becomes that; everything else stays."""
    if not isinstance(value, str):
        return value
    text = value.strip()
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    match = _NUMBER.fullmatch(text) if len(text) <= MAX_NUMBER_CHARS else None
    if match is None:
        return value
    number = float(text) if match[1] or match[2] else int(text)
    return number if abs(number) != float("inf") else value


def _unticked(text: str) -> tuple[str, bool]:
    text = text.strip()
    ticked = len(text) > 2 and text[0] == text[-1] == "`"
    return (text[1:-1].strip(), True) if ticked else (text, False)


def _segments(path: str) -> tuple[str, ...]:
    return tuple(word or re.sub(r"\\(.)", r"\1", quoted) for word, quoted in _PATH_SEGMENT.findall(path))


def _member(value: Any, segment: str) -> Any:
    if isinstance(value, Mapping):
        return value.get(segment, MISSING)
    if isinstance(value, list) and segment.isdecimal() and int(segment) < len(value):
        return value[int(segment)]
    return MISSING
