"""An id for a destination that was created without one."""

from __future__ import annotations

import re
import secrets

MAX_STEM = 50  # leaves room for the suffix in a slug of 63 characters
SUFFIX_BYTES = 3  # two destinations of one name collide once in 16 million


def new_destination_id(name: str, connector: str) -> str:
    """Legible, and random at its end, so that nobody has to try names until one is free."""
    stem = re.sub(r"[^a-z0-9]+", "-", name.lower())[:MAX_STEM].strip("-")
    return f"{stem or connector[:MAX_STEM]}-{secrets.token_hex(SUFFIX_BYTES)}"
