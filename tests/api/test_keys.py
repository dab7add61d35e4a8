"""API keys over HTTP."""

from __future__ import annotations

from tests.api.conftest import Api


async def test_a_key_is_shown_once(api: Api) -> None:
    made = await api.post("/v1/keys", {"name": "billing", "scopes": ["ingest"]}, status=201)
    assert made["key"].startswith("sluice_")
    assert len(made["key"]) >= len("sluice_") + 43  # 32 bytes in base64
    listed = await api.call("GET", "/v1/keys")
    assert made["key"] not in listed.text
    (entry,) = [each for each in listed.json()["data"] if each["id"] == made["id"]]
    assert (entry["name"], entry["scopes"], entry["revoked_at"]) == ("billing", ["ingest"], None)
    assert made["key"].startswith(entry["prefix"])


async def test_a_revoked_key_stays_in_the_list(api: Api) -> None:
    made = await api.post("/v1/keys", {"name": "billing", "scopes": ["ingest"]}, status=201)
    await api.call("DELETE", f"/v1/keys/{made['id']}")
    newest = (await api.get("/v1/keys"))["data"][0]
    assert (newest["id"], newest["revoked_at"] is not None) == (made["id"], True)


async def test_what_is_no_scope_is_refused(api: Api) -> None:
    for scopes in ([], ["everything"], "admin"):
        answer = await api.call("POST", "/v1/keys", {"name": "n", "scopes": scopes})
        assert answer.status_code == 422


async def test_revoking_what_does_not_exist_is_not_found(api: Api) -> None:
    answer = await api.call("DELETE", "/v1/keys/0198c6a0-7b5e-7c3a-8f00-5d1f0c2b7a11")
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


async def test_the_configured_key_cannot_be_revoked_over_http(api: Api) -> None:
    await api.services.keys.bootstrap("a-configured-admin-key")
    configured = next(each for each in (await api.get("/v1/keys"))["data"] if each["name"] == "configured admin key")
    answer = await api.call("DELETE", f"/v1/keys/{configured['id']}")
    assert (answer.status_code, answer.json()["code"]) == (409, "conflict")


async def test_keys_are_listed_page_by_page(api: Api) -> None:
    first = await api.get("/v1/keys", params={"limit": 2})
    second = await api.get("/v1/keys", params={"limit": 2, "cursor": first["next_cursor"]})
    assert [each["name"] for each in first["data"] + second["data"]] == ["admin", "operate", "ingest"]
    assert second["next_cursor"] is None
