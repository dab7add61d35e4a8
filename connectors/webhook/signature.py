"""Signatures as https://github.com/standard-webhooks/standard-webhooks specifies them, over the exact bytes sent."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Iterable
from datetime import datetime

__all__ = ["signature_headers", "signing_key"]

PREFIX = "whsec_"
MIN_KEY_BYTES, MAX_KEY_BYTES = 24, 64  # what the specification asks of a symmetric secret


def signature_headers(
    secrets: Iterable[str], *, message_id: str, now: datetime, content: bytes
) -> tuple[tuple[str, str], ...]:
    """`webhook-id`, `webhook-timestamp` and `webhook-signature` with one signature for each secret."""
    timestamp = str(int(now.timestamp()))
    signed = f"{message_id}.{timestamp}.".encode() + content
    signatures = " ".join(_signature(signing_key(secret), signed) for secret in secrets)
    return ("webhook-id", message_id), ("webhook-timestamp", timestamp), ("webhook-signature", signatures)


def signing_key(secret: str) -> bytes:
    """The key in `whsec_<base64>`; ValueError, which does not quote the secret, if it holds none."""
    if not secret.startswith(PREFIX):
        raise ValueError(f"a signing secret starts with {PREFIX}")
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except binascii.Error:
        raise ValueError(f"a signing secret is base64 after {PREFIX}") from None
    if not MIN_KEY_BYTES <= len(key) <= MAX_KEY_BYTES:
        raise ValueError(f"a signing secret holds {MIN_KEY_BYTES} to {MAX_KEY_BYTES} bytes, not {len(key)}")
    return key


def _signature(key: bytes, signed: bytes) -> str:
    return "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
