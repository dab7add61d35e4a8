"""Keys and scopes: for every route there is, taken from the application itself."""

from __future__ import annotations

import re
from typing import Any

import pytest
from fastapi.routing import APIRoute, iter_route_contexts

from api.assembly import assemble
from api.auth import CACHED_KEYS, Authenticator
from api.metrics import Metrics
from api.routing import guard_of, open_router, router
from tests.api.conftest import Api

SCOPES = ("ingest", "operate", "admin")
OPEN = {"/healthz", "/readyz", "/metrics", "/codec/encode", "/codec/decode"}
DOCUMENTATION = {"/", "/openapi.json", "/docs", "/docs/{name}"}

# What a route needs is decided here and not read from the code, so that a change of it is noticed.
EXPECTED = {
    ("GET", "/v1/profiles/{id}/syncs"): "operate",
    ("PATCH", "/v1/profiles/{id}"): "ingest",
    ("PUT", "/v1/profiles/{id}"): "ingest",
    ("GET", "/v1/profiles/{id}"): "operate",
    ("DELETE", "/v1/profiles/{id}"): "ingest",
    ("POST", "/v1/track"): "ingest",
    ("POST", "/v1/batch"): "ingest",
    ("GET", "/v1/events"): "operate",
    ("GET", "/v1/events/{id}"): "operate",
    ("POST", "/v1/destinations"): "admin",
    ("GET", "/v1/destinations"): "operate",
    ("GET", "/v1/destinations/{id}"): "operate",
    ("DELETE", "/v1/destinations/{id}"): "admin",
    ("GET", "/v1/destinations/{id}/draft"): "operate",
    ("PUT", "/v1/destinations/{id}/draft"): "admin",
    ("DELETE", "/v1/destinations/{id}/draft"): "admin",
    ("POST", "/v1/destinations/{id}/publish"): "admin",
    ("GET", "/v1/destinations/{id}/revisions"): "operate",
    ("POST", "/v1/destinations/{id}/revisions/{n}/restore"): "admin",
    ("POST", "/v1/destinations/{id}/pause"): "operate",
    ("POST", "/v1/destinations/{id}/resume"): "operate",
    ("POST", "/v1/destinations/{id}/preview"): "operate",
    ("POST", "/v1/destinations/{id}/test"): "operate",
    ("POST", "/v1/conditions/validate"): "operate",
    ("POST", "/v1/templates/render"): "operate",
    ("GET", "/v1/deliveries"): "operate",
    ("GET", "/v1/deliveries/{id}"): "operate",
    ("POST", "/v1/deliveries/{id}/retry"): "operate",
    ("POST", "/v1/deliveries/{id}/skip"): "operate",
    ("POST", "/v1/deliveries/{id}/park"): "operate",
    ("POST", "/v1/credentials"): "admin",
    ("GET", "/v1/credentials"): "operate",
    ("GET", "/v1/credentials/{id}"): "operate",
    ("POST", "/v1/credentials/{id}/rotate"): "admin",
    ("DELETE", "/v1/credentials/{id}"): "admin",
    ("GET", "/v1/connectors"): "operate",
    ("GET", "/v1/connectors/{slug}"): "operate",
    ("POST", "/v1/keys"): "admin",
    ("GET", "/v1/keys"): "admin",
    ("DELETE", "/v1/keys/{id}"): "admin",
    ("GET", "/v1/reconciliation"): "operate",
}


def routes_of(app: Any) -> dict[tuple[str, str], Any]:
    found = {}
    for context in iter_route_contexts(app.routes):
        for method in context.methods or ():
            found[method, context.path_format] = context
    return found


ALL = routes_of(assemble(metrics=Metrics()))
GUARDED = [key for key in ALL if key[1] not in OPEN | DOCUMENTATION]


def address(path: str) -> str:
    """The path with ids of things that do not exist."""
    values = {"n": "1", "slug": "none", "id": "0198c6a0-7b5e-7c3a-8f00-5d1f0c2b7a11"}
    return re.sub(r"\{(\w+)\}", lambda match: values[match[1]], path)


def test_every_route_is_open_on_purpose_or_has_the_scope_it_should_have() -> None:
    guards = {key: guard_of(ALL[key].dependant) for key in GUARDED}
    assert {key: guard.scope if guard else None for key, guard in guards.items()} == EXPECTED


def test_a_route_without_a_scope_cannot_be_made() -> None:
    async def open_by_mistake() -> None: ...

    with pytest.raises(TypeError, match="names no scope"):
        router(tag="x").add_api_route("/v1/mistake", open_by_mistake)
    open_router(tag="x").add_api_route("/v1/on-purpose", open_by_mistake)


def test_nothing_but_api_routes_and_the_documentation_is_served() -> None:
    others = {key for key, context in ALL.items() if not isinstance(context.original_route, APIRoute)}
    assert {path for _, path in others} <= DOCUMENTATION


@pytest.mark.parametrize(("method", "path"), GUARDED)
async def test_no_key_no_entry(api: Api, method: str, path: str) -> None:
    for headers in ({}, {"Authorization": "Bearer sluice_wrong"}, {"Authorization": f"Basic {api.keys['admin']}"}):
        # A body that is not even JSON: the key is looked at before anything else.
        answer = await api.http.request(method, address(path), headers=headers, content=b"{")
        assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")
        assert answer.headers["www-authenticate"].startswith("Bearer")


@pytest.mark.parametrize(("method", "path"), GUARDED)
async def test_the_scope_decides(api: Api, method: str, path: str) -> None:
    needed = EXPECTED[method, path]
    for scope in SCOPES:
        answer = await api.call(method, address(path), key=scope)
        if scope in (needed, "admin"):
            assert answer.status_code not in (401, 403), answer.text
        else:
            assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
            assert repr(needed) in answer.json()["message"]


async def test_a_revoked_key_stops_working_at_once_here(api: Api) -> None:
    made = await api.post("/v1/keys", {"name": "n", "scopes": ["operate"]}, status=201)
    api.keys["made"] = made["key"]
    assert (await api.call("GET", "/v1/destinations", key="made")).status_code == 200
    assert (await api.call("DELETE", f"/v1/keys/{made['id']}")).status_code == 204
    assert (await api.call("GET", "/v1/destinations", key="made")).status_code == 401


async def test_a_verified_key_is_not_looked_up_each_time(api: Api) -> None:
    await api.get("/v1/connectors")
    known = api.services.authenticator._known
    (entry,) = known.values()
    await api.get("/v1/connectors")
    assert list(known.values()) == [entry]


async def test_the_memory_of_keys_is_bounded(api: Api) -> None:
    class Everything:
        async def find(self, secret_hash: bytes) -> Any:
            return secret_hash

    authenticator = Authenticator(Everything())  # type: ignore[arg-type]  # a thousand real keys would be slow
    for number in range(CACHED_KEYS + 10):
        await authenticator._find(str(number))
    assert len(authenticator._known) == CACHED_KEYS


async def test_an_unknown_key_is_not_remembered(api: Api) -> None:
    await api.http.get("/v1/connectors", headers={"Authorization": "Bearer sluice_no"})
    assert len(api.services.authenticator._known) == 0


async def test_an_enormous_key_is_only_refused(api: Api) -> None:
    answer = await api.http.get("/v1/connectors", headers={"Authorization": "Bearer " + "x" * 9_000})
    assert answer.status_code == 401
