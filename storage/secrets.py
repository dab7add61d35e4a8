"""Secrets at rest: AES-256-GCM under a ring of named keys. The first key writes, all of them read.

A sealed value is: format byte, length of the key id, key id, 12 bytes of nonce, ciphertext with tag. The key id and
the owner (the id of the credentials) are authenticated: a sealed value copied to another row does not open there.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from domain.errors import SluiceError

FORMAT = 1
NONCE_BYTES = 12  # what GCM is specified for; random, which is safe for 2^32 values under one key


class SecretsUnreadable(SluiceError):
    """The key is not in the ring any more, or the value was damaged or moved. An operator must bring the key back."""

    code = "secrets_unreadable"


class SecretBox:
    """`key_ring` is key id → 32 bytes, the writing key first."""

    def __init__(self, key_ring: Mapping[str, bytes]) -> None:
        if not key_ring:
            raise ValueError("at least one encryption key is needed")
        self._ciphers = {key_id: AESGCM(key) for key_id, key in key_ring.items()}
        self._writing_key_id = next(iter(key_ring))

    def seal(self, secrets: Mapping[str, Any], *, owner: str) -> bytes:
        key_id = self._writing_key_id.encode()
        nonce = os.urandom(NONCE_BYTES)
        plain = json.dumps(secrets, ensure_ascii=False).encode()
        sealed = self._ciphers[self._writing_key_id].encrypt(nonce, plain, _bound_to(key_id, owner))
        return bytes([FORMAT, len(key_id)]) + key_id + nonce + sealed

    def open(self, sealed: bytes, *, owner: str) -> dict[str, Any]:
        """Raises SecretsUnreadable."""
        key_id, nonce, ciphertext = _take_apart(sealed)
        cipher = self._ciphers.get(key_id.decode(errors="replace"))
        if cipher is None:
            raise SecretsUnreadable(
                f"the secrets of {owner!r} are encrypted with key {key_id.decode(errors='replace')!r}"
            )
        try:
            opened: dict[str, Any] = json.loads(cipher.decrypt(nonce, ciphertext, _bound_to(key_id, owner)))
        except (InvalidTag, ValueError):
            raise SecretsUnreadable(f"the secrets of {owner!r} are damaged or belong to something else") from None
        return opened

    def is_current(self, sealed: bytes) -> bool:
        """Whether it is sealed with the key that writes now."""
        return _take_apart(sealed)[0] == self._writing_key_id.encode()


def _bound_to(key_id: bytes, owner: str) -> bytes:
    return key_id + b"\x00" + owner.encode()


def _take_apart(sealed: bytes) -> tuple[bytes, bytes, bytes]:
    if len(sealed) < 2 or sealed[0] != FORMAT:
        raise SecretsUnreadable("the stored secrets are in a format this version does not know")
    start = 2 + sealed[1]
    return sealed[2:start], sealed[start : start + NONCE_BYTES], sealed[start + NONCE_BYTES :]
