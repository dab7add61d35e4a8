"""Profiles over HTTP."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from urllib.parse import quote

import pytest

from storage.database import Database
from tests.api.conftest import Api, a_destination
from tests.storage.builders import a_delivery, a_sync, rows


async def test_a_patch_makes_merges_and_removes(api: Api) -> None:
    first = await api.call(
        "PATCH", "/v1/profiles/ada", {"email": "a@example.com", "properties": {"plan": "pro", "x": 1}}
    )
    assert first.status_code == 200
    assert (first.json()["id"], first.json()["version"], first.json()["changed"]) == ("ada", 1, True)
    second = await api.call("PATCH", "/v1/profiles/ada", {"properties": {"x": None, "y": {"z": [1]}}})
    assert second.json()["version"] == 2
    profile = await api.get("/v1/profiles/ada")
    assert (profile["email"], profile["properties"]) == ("a@example.com", {"plan": "pro", "y": {"z": [1]}})
    assert (profile["segments"], profile["computedProperties"], profile["anonymousId"]) == ([], {}, None)


async def test_what_changes_nothing_is_no_version(api: Api) -> None:
    await api.call("PATCH", "/v1/profiles/ada", {"email": "a@example.com"})
    again = await api.call("PATCH", "/v1/profiles/ada", {"email": "a@example.com"})
    assert (again.json()["version"], again.json()["changed"]) == (1, False)


async def test_null_removes_and_absence_leaves(api: Api) -> None:
    await api.call("PATCH", "/v1/profiles/ada", {"email": "a@example.com", "segments": ["trial"]})
    await api.call("PATCH", "/v1/profiles/ada", {"email": None})
    profile = await api.get("/v1/profiles/ada")
    assert (profile["email"], profile["segments"]) == (None, ["trial"])


async def test_merge_patch_may_be_called_by_its_name(api: Api) -> None:
    headers = {"Content-Type": "application/merge-patch+json", "Authorization": f"Bearer {api.keys['ingest']}"}
    answer = await api.http.patch("/v1/profiles/ada", content=b'{"email": "a@example.com"}', headers=headers)
    assert answer.status_code == 200


async def test_a_put_replaces(api: Api) -> None:
    await api.call("PATCH", "/v1/profiles/ada", {"email": "a@example.com", "properties": {"a": 1}})
    await api.call("PUT", "/v1/profiles/ada", {"properties": {"b": 2}})
    profile = await api.get("/v1/profiles/ada")
    assert (profile["email"], profile["properties"]) == (None, {"b": 2})


async def test_a_deleted_profile_is_gone(api: Api) -> None:
    await api.call("PATCH", "/v1/profiles/ada", {"email": "a@example.com"})
    answer = await api.call("DELETE", "/v1/profiles/ada")
    assert (answer.status_code, answer.json()) == (200, {"id": "ada", "deleted": True})
    assert (await api.call("GET", "/v1/profiles/ada")).status_code == 404
    assert (await api.call("DELETE", "/v1/profiles/ada")).status_code == 404


@pytest.mark.parametrize(
    "profile_id", ["a/b", "https://id.example/ada?x=1#y", "%2F", "ünï", "a b", "..", "auth0|1", "😀"]
)
async def test_any_printable_id_works(api: Api, profile_id: str) -> None:
    path = f"/v1/profiles/{quote(profile_id, safe='').replace('..', '%2E%2E')}"
    assert (await api.call("PATCH", path, {"email": "a@example.com"})).json()["id"] == profile_id
    assert (await api.get(path))["id"] == profile_id
    await api.post("/v1/destinations", a_destination(), status=201)
    await api.post("/v1/destinations/crm/publish")
    await api.call("PATCH", path, {"email": "b@example.com"})
    (sync,) = (await api.get(f"{path}/syncs"))["data"]
    assert sync["workflow"]["id"] == f"profile-sync/crm/{profile_id}"


async def test_only_an_encoded_slash_belongs_to_the_id(api: Api) -> None:
    assert (await api.call("PUT", "/v1/profiles/ada/syncs", {})).status_code == 405
    assert (await api.call("PUT", "/v1/profiles/a/b", {})).status_code == 404
    assert (await api.call("PUT", "/v1/profiles/ada%2fsyncs", {})).json()["id"] == "ada/syncs"
    assert (await api.call("GET", "/v1/profiles/a%00b")).status_code == 422
    assert (await api.call("GET", "/v1/destinations/a%2Fb")).status_code == 422


REFUSED: list[tuple[Any, str]] = [
    ({"colour": "red"}, "colour"),
    ({"email": 1}, "email"),
    ({"properties": []}, "properties"),
    ({"segments": ["a", 1]}, "segments.1"),
    ({"segments": ["x"] * 1001}, "segments"),
]


@pytest.mark.parametrize(("body", "path"), REFUSED)
async def test_a_patch_is_refused_with_the_path_at_fault(api: Api, body: Any, path: str) -> None:
    answer = await api.call("PATCH", "/v1/profiles/ada", body)
    assert answer.status_code == 422
    assert path in [error["path"] for error in answer.json()["errors"]]
    assert (await api.call("GET", "/v1/profiles/ada")).status_code == 404


async def test_a_sync_says_why_it_waits_and_when_it_goes_on(api: Api) -> None:
    await api.post("/v1/destinations", a_destination(), status=201)
    await api.post("/v1/destinations/crm/publish")
    await api.call("PATCH", "/v1/profiles/ada", {"email": "a@example.com"})
    (waiting,) = (await api.get("/v1/profiles/ada/syncs"))["data"]
    assert (waiting["state"], waiting["reason"], waiting["message"]) == (
        "waiting",
        "debouncing",
        "waits for the changes to settle",
    )
    assert waiting["due_at"] is not None
    await api.post("/v1/destinations/crm/pause", {"reason": "maintenance"})
    (held,) = (await api.get("/v1/profiles/ada/syncs"))["data"]
    assert (held["state"], held["reason"], held["message"]) == (
        "held",
        "paused",
        "the destination is paused: maintenance",
    )
    assert (held["due_at"], held["next_attempt_at"]) == (waiting["due_at"], None)


async def test_a_sync_shows_each_mapping_and_the_earliest_next_attempt(api: Api, database: Database) -> None:
    await api.post("/v1/destinations", a_destination(), status=201)
    await api.post("/v1/destinations/crm/publish")
    await api.call("PATCH", "/v1/profiles/ada", {"email": "a@example.com"})
    for mapping, status, reason, at in (
        ("contact", "retrying", "http_503", "2030-01-02T00:00:00+00:00"),
        ("early", "retrying", "http_500", "2030-01-01T00:00:00+00:00"),
        ("other", "skipped", "condition", None),
    ):
        delivery = await a_delivery(
            database,
            mapping_id=mapping,
            status=status,
            reason=reason,
            message=f"why {mapping}",
            next_attempt_at=datetime.fromisoformat(at) if at else None,
        )
        await rows(
            database,
            "insert into sync_mappings (destination_id, profile_id, mapping_id, settled_version, delivery_id, status)"
            " values ('crm', 'ada', :mapping, 0, :id, :status) returning 1",
            mapping=mapping,
            id=delivery,
            status=status,
        )
    await a_sync(database, "crm", "ada", state="delivering", reason=None)
    (sync,) = (await api.get("/v1/profiles/ada/syncs"))["data"]
    assert (sync["state"], sync["reason"], sync["message"]) == ("retrying", "http_500", "why early")
    assert sync["next_attempt_at"] == "2030-01-01T00:00:00Z"
    assert {each["mapping_id"]: (each["status"], each["message"]) for each in sync["mappings"]} == {
        "contact": ("retrying", "why contact"),
        "early": ("retrying", "why early"),
        "other": ("skipped", "why other"),
    }
    await api.post("/v1/destinations/crm/pause")
    (held,) = (await api.get("/v1/profiles/ada/syncs"))["data"]
    assert (held["state"], held["message"]) == ("held", "the destination is paused; the last attempt: why early")
    assert [each["next_attempt_at"] for each in [held, *held["mappings"]]] == [None] * 4
    listed = (await api.get("/v1/deliveries", params={"status": "held"}))["data"]
    assert {(each["reason"], each["next_attempt_at"]) for each in listed} == {("paused", None)}


async def test_syncs_of_a_profile_that_never_was_are_not_found(api: Api) -> None:
    assert (await api.call("GET", "/v1/profiles/none/syncs")).status_code == 404
