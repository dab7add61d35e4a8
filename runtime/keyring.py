"""Named AES-256 keys as operators write them: `key_id:base64,key_id:base64`, the first one writes, all of them read."""

from __future__ import annotations

import base64
import binascii
import re

_KEY_BYTES = 32  # AES-256
_KEY_ID = re.compile(r"[A-Za-z0-9._-]{1,64}\Z")


def parse_key_ring(text: str) -> dict[str, bytes]:
    """Return key id → 32 bytes in the order written. Its ValueError names the key id at fault, never key material."""
    ring: dict[str, bytes] = {}
    for position, entry in enumerate(filter(None, (part.strip() for part in text.split(","))), start=1):
        key_id, separator, encoded = entry.partition(":")
        if not separator or not _KEY_ID.match(key_id):
            raise ValueError(f"entry {position} is not `key_id:base64`")
        if key_id in ring:
            raise ValueError(f"key id {key_id!r} appears twice")
        ring[key_id] = _key_bytes(key_id, encoded)
    return ring


def _key_bytes(key_id: str, encoded: str) -> bytes:
    try:
        # Both base64 alphabets are in use where keys are made; openssl writes one, Python's Fernet the other.
        key = base64.b64decode(encoded.translate(str.maketrans("-_", "+/")), validate=True)
    except binascii.Error:
        raise ValueError(f"key {key_id!r} is not base64") from None
    if len(key) != _KEY_BYTES:
        raise ValueError(f"key {key_id!r} has {len(key)} bytes; AES-256 needs {_KEY_BYTES}: `openssl rand -base64 32`")
    return key
