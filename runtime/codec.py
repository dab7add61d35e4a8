"""Encryption of Temporal payloads, so that neither its database nor its operators read what we store there.

An encrypted payload holds `nonce (12 bytes) ‖ ciphertext ‖ tag (16 bytes)` of the serialised original; its metadata
names the key. The key id is authenticated too, so that a payload cannot be passed off as written under another key.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from google.protobuf.json_format import MessageToDict, ParseDict, ParseError
from temporalio.api.common.v1 import Payload, Payloads
from temporalio.converter import PayloadCodec

from domain.errors import BadRequest, InvalidInput

__all__ = ["AesGcmCodec", "PayloadKeyUnknown", "PayloadUnreadable", "decode_json", "encode_json"]

_ENCODING = b"binary/encrypted"  # the name the Temporal samples gave it; the Web UI shows it where there is no codec
_KEY_ID = "encryption-key-id"
_NONCE_BYTES = 12  # what GCM is specified for


class PayloadKeyUnknown(InvalidInput):
    code = "payload_key_unknown"


class PayloadUnreadable(InvalidInput):
    code = "payload_unreadable"


class AesGcmCodec(PayloadCodec):
    """Encrypts with the first key of the ring (key id → 32 bytes), decrypts with any of them."""

    def __init__(self, key_ring: Mapping[str, bytes]) -> None:
        if not key_ring:
            raise ValueError("the payload codec needs at least one key")
        self._ciphers = {key_id: AESGCM(key) for key_id, key in key_ring.items()}
        self._writing_key_id = next(iter(key_ring))

    async def encode(self, payloads: Sequence[Payload]) -> list[Payload]:
        return [self.encrypt(payload) for payload in payloads]

    async def decode(self, payloads: Sequence[Payload]) -> list[Payload]:
        return [self.decrypt(payload) for payload in payloads]

    def encrypt(self, payload: Payload) -> Payload:
        key_id = self._writing_key_id.encode()
        nonce = os.urandom(_NONCE_BYTES)
        sealed = self._ciphers[self._writing_key_id].encrypt(nonce, payload.SerializeToString(), key_id)
        return Payload(metadata={"encoding": _ENCODING, _KEY_ID: key_id}, data=nonce + sealed)

    def decrypt(self, payload: Payload) -> Payload:
        """Raises PayloadKeyUnknown, PayloadUnreadable. A payload that is not encrypted passes: older runs go on."""
        if payload.metadata.get("encoding") != _ENCODING:
            return payload
        key_id = payload.metadata.get(_KEY_ID, b"")
        cipher = self._ciphers.get(key_id.decode(errors="replace"))
        if cipher is None:
            known = ", ".join(sorted(self._ciphers))
            raise PayloadKeyUnknown(
                f"payload was encrypted with key {key_id.decode(errors='replace')!r}; known: {known}"
            )
        try:
            plain = cipher.decrypt(payload.data[:_NONCE_BYTES], payload.data[_NONCE_BYTES:], key_id)
        except (InvalidTag, ValueError):
            raise PayloadUnreadable("payload is damaged or was not encrypted with the key it names") from None
        return Payload.FromString(plain)


def encode_json(codec: AesGcmCodec, body: Any) -> dict[str, Any]:
    """Encrypt the `{"payloads": […]}` a Temporal tool posts (protobuf JSON). Raises BadRequest when it is not that."""
    return _to_json([codec.encrypt(payload) for payload in _payloads(body)])


def decode_json(codec: AesGcmCodec, body: Any) -> dict[str, Any]:
    """Decrypt what the Temporal Web UI posts, in the same shape. Raises BadRequest and what `decrypt` raises."""
    return _to_json([codec.decrypt(payload) for payload in _payloads(body)])


def _payloads(body: Any) -> Sequence[Payload]:
    try:
        if not isinstance(body, dict):
            raise TypeError
        return ParseDict(body, Payloads(), ignore_unknown_fields=True).payloads
    except (ParseError, TypeError, ValueError, AttributeError):
        raise BadRequest('the body must be {"payloads": […]} in protobuf JSON') from None


def _to_json(payloads: Sequence[Payload]) -> dict[str, Any]:
    # MessageToDict leaves out an empty list, but the Web UI looks for the key.
    return {"payloads": [], **MessageToDict(Payloads(payloads=payloads))}
