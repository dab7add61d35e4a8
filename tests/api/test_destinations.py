"""Destinations over HTTP: declared, staged, published, rolled back, paused, deleted."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from storage.database import Database
from tests.api.conftest import A_MAPPING, Api, a_destination, a_draft


async def published(api: Api, **changes: Any) -> None:
    await api.post("/v1/destinations", a_destination(**changes), status=201)
    await api.post(f"/v1/destinations/{changes.get('id', 'crm')}/publish")


async def test_a_new_destination_is_a_draft_and_nothing_flows(api: Api) -> None:
    made = await api.post("/v1/destinations", a_destination(), status=201)
    assert (made["id"], made["connector"], made["status"]) == ("crm", "webhook", "running")
    assert (made["published_revision"], made["has_draft"], made["held"]) == (None, True, 0)
    assert made["data_scope"] == "profile"
    assert made["icon"] == api.services.catalog.get("webhook").definition.icon
    await api.call("PATCH", "/v1/profiles/ada", {"email": "ada@example.com"})
    assert (await api.get("/v1/profiles/ada/syncs"))["data"] == []


async def test_an_id_is_made_from_the_name(api: Api) -> None:
    body = {name: value for name, value in a_destination(name="Größe & Co").items() if name != "id"}
    first = await api.post("/v1/destinations", body, status=201)
    second = await api.post("/v1/destinations", body, status=201)
    assert first["id"].startswith("gr-e-co-")
    assert first["id"] != second["id"]


async def test_publishing_makes_changes_flow(api: Api) -> None:
    await published(api)
    await api.call("PATCH", "/v1/profiles/ada", {"email": "ada@example.com"})
    syncs = (await api.get("/v1/profiles/ada/syncs"))["data"]
    assert [(sync["destination_id"], sync["state"]) for sync in syncs] == [("crm", "waiting")]
    assert syncs[0]["workflow"] == {
        "id": "profile-sync/crm/ada",
        "run_id": None,
        "url": "http://temporal.example:8233/namespaces/default/workflows/profile-sync%2Fcrm%2Fada",
    }


async def test_editing_a_draft_does_not_touch_what_is_live(api: Api) -> None:
    await published(api)
    answer = await api.call("PUT", "/v1/destinations/crm/draft", a_draft(name="Renamed", mappings=[]))
    assert answer.status_code == 200
    live = await api.get("/v1/destinations/crm")
    assert (live["name"], live["has_draft"], len(live["mappings"])) == ("CRM", True, 1)
    assert (await api.get("/v1/destinations/crm/draft"))["name"] == "Renamed"


async def test_a_discarded_draft_is_gone_and_the_live_one_stays(api: Api) -> None:
    await published(api)
    await api.call("PUT", "/v1/destinations/crm/draft", a_draft(name="Renamed"))
    answer = await api.call("DELETE", "/v1/destinations/crm/draft")
    assert (answer.status_code, answer.json()["has_draft"]) == (200, False)
    assert (await api.call("GET", "/v1/destinations/crm/draft")).status_code == 404


async def test_the_only_draft_cannot_be_discarded(api: Api) -> None:
    await api.post("/v1/destinations", a_destination(), status=201)
    answer = await api.call("DELETE", "/v1/destinations/crm/draft")
    assert (answer.status_code, answer.json()["code"]) == (409, "never_published")


async def test_publishing_without_a_draft_is_refused(api: Api) -> None:
    await published(api)
    answer = await api.call("POST", "/v1/destinations/crm/publish")
    assert (answer.status_code, answer.json()["code"]) == (409, "nothing_to_publish")


async def test_of_publishers_who_race_one_wins(api: Api) -> None:
    await api.post("/v1/destinations", a_destination(), status=201)
    answers = await asyncio.gather(*(api.call("POST", "/v1/destinations/crm/publish") for _ in range(8)))
    assert sorted(answer.status_code for answer in answers) == [200] + [409] * 7
    assert len((await api.get("/v1/destinations/crm/revisions"))["data"]) == 1


async def test_editors_and_publishers_who_race_leave_whole_revisions(api: Api) -> None:
    await published(api, name="0")
    edits = [api.call("PUT", "/v1/destinations/crm/draft", a_draft(name=str(number))) for number in range(1, 9)]
    publications = [api.call("POST", "/v1/destinations/crm/publish") for _ in range(8)]
    answers = await asyncio.gather(*(call for pair in zip(edits, publications, strict=True) for call in pair))
    numbers = sorted(answer.json()["revision"] for answer in answers if "revision" in answer.json())
    revisions = (await api.get("/v1/destinations/crm/revisions"))["data"]
    assert [revision["number"] for revision in revisions] == list(range(len(numbers) + 1, 0, -1))
    assert numbers == list(range(2, len(numbers) + 2))


async def test_revisions_tell_who_published_what_and_why(api: Api) -> None:
    await api.post("/v1/destinations", a_destination(), status=201)
    await api.post("/v1/destinations/crm/publish", {"note": "first"})
    (revision,) = (await api.get("/v1/destinations/crm/revisions"))["data"]
    assert (revision["number"], revision["note"], revision["published_by"]) == (1, "first", "admin")
    assert revision["spec"]["name"] == "CRM"


async def test_restoring_rolls_back_at_once_and_leaves_the_draft(api: Api) -> None:
    await published(api)
    await api.call("PUT", "/v1/destinations/crm/draft", a_draft(name="Second"))
    await api.post("/v1/destinations/crm/publish")
    await api.call("PUT", "/v1/destinations/crm/draft", a_draft(name="Third"))
    assert await api.post("/v1/destinations/crm/revisions/1/restore") == {"revision": 3}
    live = await api.get("/v1/destinations/crm")
    assert (live["name"], live["published_revision"], live["has_draft"]) == ("CRM", 3, True)
    assert (await api.get("/v1/destinations/crm/draft"))["name"] == "Third"


async def test_restoring_what_never_was_is_not_found(api: Api) -> None:
    await published(api)
    assert (await api.call("POST", "/v1/destinations/crm/revisions/9/restore")).status_code == 404


async def test_a_pause_holds_and_counts_and_a_resume_releases(api: Api) -> None:
    await published(api)
    for name in ("ada", "bob"):
        await api.call("PATCH", f"/v1/profiles/{name}", {"email": f"{name}@example.com"})
    paused = await api.post("/v1/destinations/crm/pause", {"reason": "maintenance"}, key="operate")
    assert (paused["status"], paused["pause_reason"], paused["held"]) == ("paused", "maintenance", 2)
    assert paused["paused_at"] is not None
    (sync,) = (await api.get("/v1/profiles/ada/syncs"))["data"]
    assert (sync["state"], sync["reason"]) == ("held", "paused")
    resumed = await api.post("/v1/destinations/crm/resume", key="operate")
    assert (resumed["status"], resumed["pause_reason"], resumed["paused_at"], resumed["held"]) == (
        "running",
        None,
        None,
        0,
    )
    assert (await api.get("/v1/profiles/ada/syncs"))["data"][0]["state"] == "waiting"


async def test_publishing_does_not_end_a_pause(api: Api) -> None:
    await published(api)
    await api.post("/v1/destinations/crm/pause")
    await api.call("PUT", "/v1/destinations/crm/draft", a_draft(name="Second"))
    await api.post("/v1/destinations/crm/publish")
    assert (await api.get("/v1/destinations/crm"))["status"] == "paused"


async def test_pausing_again_keeps_the_time_and_takes_a_new_reason(api: Api) -> None:
    await published(api)
    first = await api.post("/v1/destinations/crm/pause", {"reason": "one"})
    second = await api.post("/v1/destinations/crm/pause", {"reason": "two"})
    third = await api.post("/v1/destinations/crm/pause")
    assert second["paused_at"] == first["paused_at"]
    assert (second["pause_reason"], third["pause_reason"]) == ("two", "two")


async def test_a_deleted_destination_is_gone_and_its_id_stays_taken(api: Api) -> None:
    await published(api)
    await api.call("PATCH", "/v1/profiles/ada", {"email": "ada@example.com"})
    answer = await api.call("DELETE", "/v1/destinations/crm")
    assert (answer.status_code, answer.json()) == (200, {"id": "crm", "status": "deleted"})
    assert (await api.call("GET", "/v1/destinations/crm")).status_code == 404
    assert (await api.get("/v1/destinations"))["data"] == []
    (sync,) = (await api.get("/v1/profiles/ada/syncs"))["data"]
    assert (sync["state"], sync["reason"]) == ("discarded", "destination_deleted")
    assert (await api.call("POST", "/v1/destinations", a_destination())).status_code == 409


GONE = [
    ("GET", "/v1/destinations/none", None),
    ("DELETE", "/v1/destinations/none", None),
    ("GET", "/v1/destinations/none/draft", None),
    ("PUT", "/v1/destinations/none/draft", a_draft()),
    ("DELETE", "/v1/destinations/none/draft", None),
    ("POST", "/v1/destinations/none/publish", None),
    ("GET", "/v1/destinations/none/revisions", None),
    ("POST", "/v1/destinations/none/revisions/1/restore", None),
    ("POST", "/v1/destinations/none/pause", None),
    ("POST", "/v1/destinations/none/resume", None),
]


@pytest.mark.parametrize(("method", "path", "body"), GONE)
async def test_what_does_not_exist_is_not_found(api: Api, method: str, path: str, body: Any) -> None:
    answer = await api.call(method, path, body)
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


def mapping(**changes: Any) -> list[dict[str, Any]]:
    return [{**A_MAPPING, **changes}]


REFUSED = {
    "an unknown field": (a_destination(colour="red"), "colour"),
    "an unknown field of a mapping": (a_destination(mappings=mapping(colour="red")), "mappings.0.colour"),
    "a missing action": (
        a_destination(mappings=[{k: v for k, v in A_MAPPING.items() if k != "action"}]),
        "mappings.0.action",
    ),
    "an action the connector lacks": (a_destination(mappings=mapping(action="dance")), "mappings.0.action"),
    "a template that does not compile": (
        a_destination(mappings=mapping(body={"format": "json", "template": {"text": "{{ user. }}"}})),
        "mappings.0.body.template.text",
    ),
    "a condition that does not parse": (
        a_destination(mappings=mapping(condition="profile@a ==")),
        "mappings.0.condition",
    ),
    "a prerequisite that does not parse": (a_destination(prerequisite="profile@a =="), "prerequisite"),
    "a setting the connector lacks": (a_destination(settings={"url": "https://a.example", "x": 1}), "settings.x"),
    "a missing setting": (a_destination(settings={}), "settings.url"),
    "an unknown connector": (a_destination(connector="nonesuch"), "connector"),
    "unknown credentials": (a_destination(credentials="nonesuch"), "credentials"),
    "inline credentials that do not fit": (a_destination(credentials={"secrets": {"x": "y"}}), "credentials.secrets.x"),
    "a debounce that contradicts itself": (
        a_destination(debounce={"quiet_seconds": 20, "max_wait_seconds": 10}),
        "debounce",
    ),
    "an id that is no slug": (a_destination(id="No Slug"), "id"),
}


@pytest.mark.parametrize("case", REFUSED)
async def test_a_destination_is_refused_for(api: Api, case: str) -> None:
    body, path = REFUSED[case]
    answer = await api.call("POST", "/v1/destinations", body)
    assert answer.status_code == 422, answer.text
    assert path in [error["path"] for error in answer.json()["errors"]]
    assert (await api.get("/v1/destinations"))["data"] == []
    assert (await api.get("/v1/credentials"))["data"] == []


async def test_a_template_error_has_line_and_column(api: Api) -> None:
    body = a_destination(mappings=mapping(body={"format": "text", "template": "one\n{{ user | nonesuch }}"}))
    (error,) = (await api.call("POST", "/v1/destinations", body)).json()["errors"]
    assert error["path"].startswith("mappings.0.body.template")
    assert error["line"] == 2
    assert error["column"] is not None


async def test_a_draft_that_does_not_compile_is_refused_and_the_old_one_stays(api: Api) -> None:
    await published(api)
    await api.call("PUT", "/v1/destinations/crm/draft", a_draft(name="Good"))
    answer = await api.call("PUT", "/v1/destinations/crm/draft", a_draft(prerequisite="profile@a =="))
    assert answer.status_code == 422
    assert (await api.get("/v1/destinations/crm/draft"))["name"] == "Good"


async def test_credentials_of_another_connector_are_refused(api: Api, database: Database) -> None:
    sealed = api.services.credentials.seal(
        credentials_id="slack-one", name="S", connector="slack", secrets={}, environment="test"
    )
    await api.services.credentials.create(sealed)
    answer = await api.call("POST", "/v1/destinations", a_destination(credentials="slack-one"))
    assert (answer.status_code, answer.json()["errors"][0]["path"]) == (422, "credentials")


async def test_inline_credentials_become_credentials_of_their_own(api: Api) -> None:
    inline = {"secrets": {"secret_headers": {"X-Api-Key": "hunter2-hunter2"}}, "environment": "test"}
    made = await api.post("/v1/destinations", a_destination(credentials=inline), status=201)
    (stored,) = (await api.get("/v1/credentials"))["data"]
    assert made["credentials"] == stored["id"]
    assert (stored["name"], stored["connector"], stored["environment"]) == ("CRM", "webhook", "test")
    opened = await api.services.credentials.secrets(stored["id"])
    assert opened.current["secret_headers"] == {"X-Api-Key": "hunter2-hunter2"}


async def test_destinations_are_listed_page_by_page(api: Api) -> None:
    for number in range(5):
        await api.post("/v1/destinations", a_destination(id=f"d{number}"), status=201)
    seen: list[str] = []
    cursor = None
    while True:
        query = {"limit": 2, **({"cursor": cursor} if cursor else {})}
        page = await api.get("/v1/destinations", params=query)
        seen += [each["id"] for each in page["data"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert seen == ["d0", "d1", "d2", "d3", "d4"]
