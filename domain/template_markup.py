"""Brackets, checked before the lexer sees them: its patterns take quadratic time over what is never closed."""

from __future__ import annotations

import re

MAX_SPACES = 200  # in a row, inside one tag or output: the lexer goes back over them for each one

_OPENING = re.compile(r"\{\{|\{%")
_VERBATIM = re.compile(r"\{%-?\s*(raw|doc)\s*-?%\}")
_ENDS = {name: re.compile(rf"\{{%-?\s*end{name}\s*-?%\}}") for name in ("raw", "doc")}
_SPACES = re.compile(rf"\s{{{MAX_SPACES}}}")


def find_fault(text: str) -> tuple[str, int] | None:
    """The first bracket that cannot be read, as a message and an index into the text."""
    position = 0
    while opening := _OPENING.search(text, position):
        start = opening.start()
        end, fault = _close(text, start, opening.group())
        if fault:
            return fault, start
        if _SPACES.search(text, start, end):
            return f"more than {MAX_SPACES} spaces in a row inside one tag", start
        position = end
    return None


def _close(text: str, start: int, opening: str) -> tuple[int, str]:
    """Where what opens at `start` ends, or what is wrong with it."""
    closing = "}}" if opening == "{{" else "%}"
    end = text.find(closing, start + 2)
    if end < 0:
        return start, f"expected '{closing}', found the end of the text"
    verbatim = _VERBATIM.match(text, start) if opening == "{%" else None
    if verbatim is None:
        return end + 2, ""
    last = _ENDS[verbatim[1]].search(text, verbatim.end())
    return (last.end(), "") if last else (start, f"the tag '{verbatim[1]}' is never closed")
