"""Who calls, and whether they may. Every guarded route names its one scope: `dependencies=[requires("operate")]`."""

from __future__ import annotations

import time
from collections import OrderedDict
from typing import Annotated, Any, Literal

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from domain.errors import Forbidden, Unauthenticated
from storage.keys import ApiKey, Keys, key_hash

Scope = Literal["ingest", "operate", "admin"]

CACHE_SECONDS = 5.0  # so long may a revoked key still work at other replicas
CACHED_KEYS = 1_000  # a few hundred bytes each
MAX_KEY_CHARS = 512  # ours have 50; nothing longer is worth hashing

_bearer = HTTPBearer(auto_error=False, scheme_name="key", description="An API key: `Authorization: Bearer sluice_…`")


class Authenticator:
    """Finds the key of a request, remembering verified ones for a moment."""

    def __init__(self, keys: Keys) -> None:
        self._keys = keys
        self._known: OrderedDict[bytes, tuple[ApiKey, float]] = OrderedDict()

    async def key_of(self, request: Request) -> ApiKey:
        """Raises Unauthenticated."""
        scheme, _, secret = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not secret.strip():
            raise Unauthenticated("an API key is needed: Authorization: Bearer <key>")
        key = await self._find(secret.strip()) if len(secret) <= MAX_KEY_CHARS else None
        if key is None:
            raise Unauthenticated("the API key is not known or has been revoked")
        return key

    def forget(self, key_id: str) -> None:
        for secret_hash in [hash_ for hash_, (key, _) in self._known.items() if key.id == key_id]:
            del self._known[secret_hash]

    async def _find(self, secret: str) -> ApiKey | None:
        # Only the hash is looked up or compared, so nothing that can be timed depends on the secret's own characters.
        secret_hash = key_hash(secret)
        key, until = self._known.get(secret_hash, (None, 0.0))
        if until > time.monotonic():
            return key
        key = await self._keys.find(secret_hash)
        if key is None:
            self._known.pop(secret_hash, None)
            return None
        self._known[secret_hash] = (key, time.monotonic() + CACHE_SECONDS)
        self._known.move_to_end(secret_hash)
        if len(self._known) > CACHED_KEYS:
            self._known.popitem(last=False)
        return key


class Guard:
    """Lets those keys pass that have the scope; `admin` implies all."""

    def __init__(self, scope: Scope) -> None:
        self.scope = scope

    async def check(self, request: Request) -> ApiKey:
        """Raises Unauthenticated, Forbidden."""
        key: ApiKey = await request.app.state.services.authenticator.key_of(request)
        if self.scope not in key.scopes and "admin" not in key.scopes:
            raise Forbidden(f"this key lacks the scope {self.scope!r}; it has: {', '.join(key.scopes)}")
        request.state.key = key
        return key

    async def __call__(
        self, request: Request, _: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)] = None
    ) -> ApiKey:
        key: ApiKey | None = getattr(request.state, "key", None)
        return key or await self.check(request)


def requires(scope: Scope) -> Any:
    return Depends(Guard(scope))


async def caller(request: Request) -> ApiKey:
    """The key that a guarded route was called with."""
    key: ApiKey = request.state.key
    return key


Caller = Annotated[ApiKey, Depends(caller)]
