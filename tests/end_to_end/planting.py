"""Distinctive secrets for one installation, and every spelling in which they might come to light."""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, quote_plus

HEADER = "X-Planted-Token"


class Planted:
    """`environment` starts a system with them; `credentials` are a webhook's."""

    def __init__(self, *, encrypted_payloads: bool) -> None:
        self.admin_key = f"planted-admin-{secrets.token_hex(12)}"
        self._signing_key = base64.b64encode(secrets.token_bytes(32)).decode()
        self._next_signing_key = base64.b64encode(secrets.token_bytes(32)).decode()
        self._header = f"planted/header+{secrets.token_hex(12)}=&?"
        self._bearer = f"planted-bearer-{secrets.token_hex(12)}"
        self._encryption_key = base64.b64encode(secrets.token_bytes(32)).decode()
        self._payload_key = base64.b64encode(secrets.token_bytes(32)).decode()
        self._made_later: list[str] = []
        self.environment = {
            "SLUICE_ADMIN_KEY": self.admin_key,
            "SLUICE_ENCRYPTION_KEYS": f"planted:{self._encryption_key}",
            **({"SLUICE_PAYLOAD_KEYS": f"planted:{self._payload_key}"} if encrypted_payloads else {}),
            "SLUICE_LOG_LEVEL": "debug",
        }

    @property
    def credentials(self) -> dict[str, Any]:
        headers = {HEADER: self._header, "Authorization": f"Bearer {self._bearer}"}
        return {"signing_secret": f"whsec_{self._signing_key}", "secret_headers": headers}

    @property
    def rotated(self) -> dict[str, Any]:
        return {**self.credentials, "signing_secret": f"whsec_{self._next_signing_key}"}

    def also(self, secret: str) -> None:
        """A secret that the product made: an API key."""
        self._made_later.append(secret)

    def forms(self) -> dict[bytes, str]:
        """Every spelling → whose it is."""
        own = {name.strip("_"): value for name, value in vars(self).items() if isinstance(value, str)}
        named = own | {f"API key {number}": key for number, key in enumerate(self._made_later)}
        return {form: name for name, secret in named.items() for form in _forms(secret)}


def echoes(value: str) -> str:
    """What a careless receiver may answer with."""
    return json.dumps([value, quote(value, safe=""), quote_plus(value), base64.b64encode(value.encode()).decode()])


def _forms(secret: str) -> Iterator[bytes]:
    raw = secret.encode()
    yield raw
    yield raw.hex().encode()
    yield json.dumps(secret)[1:-1].encode()
    yield json.dumps(secret).replace("/", "\\/")[1:-1].encode()
    for escaped in (quote(secret, safe=""), quote(secret), quote_plus(secret)):
        yield from (escaped.encode(), escaped.lower().encode())
    for offset in range(3):
        yield from _within_base64(raw, offset)
    if _is_key(secret):
        material = base64.b64decode(secret)
        yield from (material, material.hex().encode(), base64.urlsafe_b64encode(material).rstrip(b"="))


def _within_base64(raw: bytes, offset: int) -> Iterator[bytes]:
    """The characters of a base64 text that depend on the secret alone, when it starts at `offset` mod 3 in what is encoded."""
    encoded = base64.b64encode(bytes(offset) + raw)
    core = encoded[-(-8 * offset // 6) : 8 * (offset + len(raw)) // 6]
    yield from (core, core.replace(b"+", b"-").replace(b"/", b"_"))


def _is_key(secret: str) -> bool:
    return len(secret) == 44 and secret.endswith("=")
