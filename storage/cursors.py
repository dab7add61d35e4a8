"""Cursors of lists: opaque to the caller, and only good for the list they came from."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar
from uuid import UUID

from domain.errors import ErrorDetail, InvalidInput

MAX_CURSOR_CHARS = 1024  # ours are shorter than 400; anything longer was not made here

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """One page of a list. `next_cursor` is None on the last one."""

    data: list[T]
    next_cursor: str | None


def page_of(kind: str, found: Sequence[T], limit: int, position: Callable[[T], str]) -> Page[T]:
    """Build a page from up to `limit + 1` items: the one too many only tells that there is a next page."""
    data = list(found[:limit])
    return Page(data, encode_cursor(kind, position(data[-1])) if len(found) > limit else None)


def encode_cursor(kind: str, position: str) -> str:
    return base64.urlsafe_b64encode(json.dumps([kind, position]).encode()).decode().rstrip("=")


def decode_cursor(kind: str, cursor: str | None) -> str | None:
    """Where the list goes on, None for its beginning. Raises InvalidInput for any that is not of this kind."""
    if cursor is None:
        return None
    if len(cursor) > MAX_CURSOR_CHARS:
        raise _not_ours()
    try:
        named, position = json.loads(base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True))
    except (binascii.Error, ValueError, TypeError, RecursionError):
        raise _not_ours() from None
    # Encoding it again also refuses the other spellings base64 and JSON have for the same thing.
    if not isinstance(position, str) or named != kind or encode_cursor(kind, position) != cursor or "\x00" in position:
        raise _not_ours()
    return position


def decode_id_cursor(kind: str, cursor: str | None) -> str | None:
    """The same where the position must be a UUID."""
    position = decode_cursor(kind, cursor)
    try:
        return str(UUID(position)) if position is not None else None
    except ValueError:
        raise _not_ours() from None


def decode_number_cursor(kind: str, cursor: str | None) -> int | None:
    """The same where the position must be a small whole number."""
    position = decode_cursor(kind, cursor)
    if position is not None and not (position.isascii() and position.isdigit() and len(position) < 10):
        raise _not_ours()
    return int(position) if position is not None else None


def _not_ours() -> InvalidInput:
    message = "is not a cursor of this list; pass next_cursor as it was returned"
    return InvalidInput(f"the cursor {message}", details=[ErrorDetail("cursor", message)])
