"""Header names and values that cannot change the shape of the request they are in."""

from __future__ import annotations

import re

from domain.errors import DeliveryError

__all__ = ["is_header_name", "is_header_value", "raw_header"]

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}")  # RFC 9110, section 5.6.2
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")  # tab is allowed


def is_header_name(name: str) -> bool:
    return _TOKEN.fullmatch(name) is not None


def is_header_value(value: str) -> bool:
    return _CONTROL.search(value) is None


def raw_header(name: str, value: str) -> tuple[bytes, bytes]:
    """As sent, the value in UTF-8; raises DeliveryError for what would break out of its line."""
    if not is_header_name(name):
        raise DeliveryError(f"{name!r} is not a header name")
    if not is_header_value(value):
        raise DeliveryError(f"the value of the header {name} holds a line break or a control character")
    return name.encode(), value.encode(errors="replace")
