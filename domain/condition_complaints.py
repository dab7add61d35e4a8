"""What to tell people about a condition that the grammar does not take."""

from __future__ import annotations

import re
from typing import Final

from lark import Token
from lark.exceptions import UnexpectedCharacters, UnexpectedInput, UnexpectedToken

_NAME_BEFORE: Final = re.compile(r"[A-Za-z_][\w.]*\s*\Z")
_LOOK_BACK: Final = 200  # characters; names are shorter, and the search must not grow with the text
_EXCERPT: Final = re.compile(r"\w{1,30}|\S")
_VALUES: Final = {"STRING", "NUMBER", "DURATION", "_NULL", "_TRUE", "_FALSE", "_LSQB"}
_OPERATORS: Final = {"COMPARE", "_BETWEEN", "_IS", "_CONTAINS", "_IN", "_MATCHES"}
_NAMES: Final = {
    "_LPAR": '"("',
    "_RPAR": '")"',
    "_RSQB": '"]"',
    "_COMMA": '","',
    "$END": "the end",
    "NAME": "a function",
    "FIELD": "a field",
}


def complaint_about(unexpected: UnexpectedInput, text: str) -> tuple[int, str]:
    """The offset at which `text` goes wrong, and what is wrong there in words."""
    expected = _expected(unexpected)
    token = unexpected.token if isinstance(unexpected, UnexpectedToken) else None
    at_the_end = token is not None and token.type == "$END"
    offset = len(text) if at_the_end else _offset(unexpected)
    if expected == {"_LPAR"}:
        return _after_name(text, offset)
    if at_the_end:
        return _at_the_end(text, expected)
    message = _about_token(token, expected) if token else _about_text(text, offset)
    return offset, message or f"expected {_in_words(expected)}, found {_excerpt(text, offset)}"


def _offset(unexpected: UnexpectedInput) -> int:
    place = unexpected.token.start_pos if isinstance(unexpected, UnexpectedToken) else unexpected.pos_in_stream
    return place or 0


def _expected(unexpected: UnexpectedInput) -> set[str]:
    if isinstance(unexpected, UnexpectedToken):
        return set(unexpected.accepts or unexpected.expected)
    return set(unexpected.allowed or ()) if isinstance(unexpected, UnexpectedCharacters) else set()


def _at_the_end(text: str, expected: set[str]) -> tuple[int, str]:
    if not text.strip():
        return 0, "the condition is empty"
    return len(text), f"the condition ends too early; expected {_in_words(expected)}"


def _about_token(token: Token, expected: set[str]) -> str | None:
    mixed = {"_AND", "_OR"}
    if token.type in mixed and expected & mixed and expected & {"$END", "_RPAR"}:
        return "AND and OR cannot be mixed without parentheses; put one of them in ( … )"
    if expected >= {"NOT", "FIELD"} and token.type in _VALUES:
        return "a test begins with a field or a function call, not with a literal"
    return None


def _after_name(text: str, offset: int) -> tuple[int, str]:
    """Only a parenthesis may follow: NOT, or a name that is no field and so should call a function."""
    name = _NAME_BEFORE.search(text, max(0, offset - _LOOK_BACK), offset)
    start, word = (name.start(), name[0].strip()) if name else (offset, "")
    if word.lower() == "not":
        return offset, "NOT stands before parentheses, as in NOT ( … )"
    if word.lower() in ("and", "or"):
        return start, f"{word} joins two tests, and there is none before it"
    if text.startswith("@...", offset):
        return start, "a whole object cannot be tested; name one of its fields, as in profile@email"
    return start, "a field is written source@path, as in profile@email, and a function call name(…), as in now()"


def _excerpt(text: str, offset: int) -> str:
    found = _EXCERPT.match(text, offset)
    return repr(found[0]) if found else "nothing"


def _about_text(text: str, offset: int) -> str | None:
    if text[offset] in "\"'":
        return "the string is not closed on its line"
    if text[offset] == ".":
        return "a path is names with one dot between them"
    if text[offset] in "“”„‘’«»":
        return "a string stands in straight quotes, \" or '"
    return None


def _in_words(expected: set[str]) -> str:
    words = [name for terminal, name in _NAMES.items() if terminal in expected]
    words += ["an operator"] if expected & _OPERATORS else []
    words += ["a value"] if len(expected & _VALUES) > 1 else []
    rest = expected - _NAMES.keys() - _VALUES - _OPERATORS if not expected & _OPERATORS else set()
    return " or ".join(words + sorted(terminal.strip("_") for terminal in rest))
