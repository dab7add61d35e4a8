"""Credentials over HTTP: secrets go in, get used, and never come out."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import text

from storage.database import Database
from tests.api.conftest import Api, a_destination, a_draft
from tests.storage.builders import a_delivery, an_attempt

PLANTED = "planted-secret-9f8e7d"
NEWER = "planted-secret-newer-1a2b"
SECRETS = {"secret_headers": {"Authorization": f"Bearer {PLANTED}"}}


def a_credential(**changes: Any) -> dict[str, Any]:
    return {"id": "crm-prod", "name": "CRM", "connector": "webhook", "secrets": SECRETS, **changes}


async def test_credentials_are_made_and_shown_without_secrets(api: Api) -> None:
    made = await api.post("/v1/credentials", a_credential(), status=201)
    assert (made["id"], made["environment"], made["version"], made["previous_until"]) == (
        "crm-prod",
        "production",
        1,
        None,
    )
    assert await api.get("/v1/credentials/crm-prod") == made
    assert (await api.get("/v1/credentials"))["data"] == [made]


async def test_an_id_is_made_if_none_is_given(api: Api) -> None:
    body = {name: value for name, value in a_credential().items() if name != "id"}
    made = await api.post("/v1/credentials", body, status=201)
    assert (await api.post("/v1/destinations", a_destination(credentials=made["id"]), status=201))[
        "credentials"
    ] == made["id"]


async def test_a_taken_id_is_refused(api: Api) -> None:
    await api.post("/v1/credentials", a_credential(), status=201)
    assert (await api.call("POST", "/v1/credentials", a_credential())).status_code == 409


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"secrets": {"x": "y"}}, "secrets.x"),
        ({"secrets": {"signing_secret": "too short"}}, "secrets.signing_secret"),
        ({"connector": "nonesuch"}, "connector"),
        ({"environment": "staging"}, "environment"),
        ({"colour": "red"}, "colour"),
    ],
)
async def test_credentials_that_do_not_fit_are_refused(api: Api, changes: dict[str, Any], path: str) -> None:
    answer = await api.call("POST", "/v1/credentials", a_credential(**changes))
    assert (answer.status_code, [error["path"] for error in answer.json()["errors"]]) == (422, [path])


async def test_a_rotation_keeps_the_old_secrets_for_a_while(api: Api) -> None:
    await api.post("/v1/credentials", a_credential(), status=201)
    newer = {"secret_headers": {"Authorization": f"Bearer {NEWER}"}}
    rotated = await api.post("/v1/credentials/crm-prod/rotate", {"secrets": newer})
    assert (rotated["version"], rotated["previous_until"] is not None) == (2, True)
    opened = await api.services.credentials.secrets("crm-prod")
    assert opened.current["secret_headers"] == newer["secret_headers"]
    assert opened.previous is not None
    assert opened.previous["secret_headers"] == SECRETS["secret_headers"]


async def test_a_rotation_without_grace_forgets_the_old_secrets(api: Api) -> None:
    await api.post("/v1/credentials", a_credential(), status=201)
    rotated = await api.post("/v1/credentials/crm-prod/rotate", {"secrets": SECRETS, "grace_seconds": 0})
    assert rotated["previous_until"] is None
    assert (await api.services.credentials.secrets("crm-prod")).previous is None


@pytest.mark.parametrize("grace", [-1, False, "60", 40 * 86_400])
async def test_a_grace_that_is_no_such_time_is_refused(api: Api, grace: Any) -> None:
    await api.post("/v1/credentials", a_credential(), status=201)
    answer = await api.call("POST", "/v1/credentials/crm-prod/rotate", {"secrets": SECRETS, "grace_seconds": grace})
    assert (answer.status_code, answer.json()["errors"][0]["path"]) == (422, "grace_seconds")


async def test_credentials_in_use_cannot_be_deleted(api: Api) -> None:
    await api.post("/v1/credentials", a_credential(), status=201)
    await api.post("/v1/destinations", a_destination(credentials="crm-prod"), status=201)
    in_a_draft = await api.call("DELETE", "/v1/credentials/crm-prod")
    await api.post("/v1/destinations/crm/publish")
    published = await api.call("DELETE", "/v1/credentials/crm-prod")
    assert (in_a_draft.status_code, published.status_code) == (409, 409)
    assert "crm" in published.json()["message"]
    await api.call("DELETE", "/v1/destinations/crm")
    assert (await api.call("DELETE", "/v1/credentials/crm-prod")).status_code == 204
    assert (await api.call("GET", "/v1/credentials/crm-prod")).status_code == 404


async def test_a_revision_whose_credentials_are_gone_cannot_be_restored(api: Api) -> None:
    await api.post("/v1/credentials", a_credential(), status=201)
    await api.post("/v1/destinations", a_destination(credentials="crm-prod"), status=201)
    await api.post("/v1/destinations/crm/publish")
    await api.call("PUT", "/v1/destinations/crm/draft", a_draft())
    await api.post("/v1/destinations/crm/publish")
    await api.call("DELETE", "/v1/credentials/crm-prod")
    answer = await api.call("POST", "/v1/destinations/crm/revisions/1/restore")
    assert (answer.status_code, answer.json()["errors"][0]["path"]) == (422, "credentials")


async def test_no_answer_holds_a_secret(api: Api, database: Database) -> None:
    """Planted through every way in, then looked for in every answer there is."""
    answers = [
        await api.call("POST", "/v1/credentials", a_credential()),
        await api.call("POST", "/v1/destinations", a_destination(credentials={"secrets": SECRETS})),
        await api.call("POST", "/v1/credentials/crm-prod/rotate", {"secrets": {"secret_headers": {"X-Key": NEWER}}}),
        await api.call("PUT", "/v1/destinations/crm/draft", a_draft(credentials={"secrets": SECRETS})),
        await api.call("POST", "/v1/destinations/crm/publish"),
        await api.call("POST", "/v1/destinations/crm/pause"),
        await api.call("POST", "/v1/credentials", a_credential(colour=PLANTED)),
        await api.call("POST", "/v1/credentials", a_credential()),
        await api.call("PATCH", "/v1/profiles/ada", {"email": "a@example.com"}),
    ]
    delivery = await a_delivery(database, destination_id="crm", profile_id="ada", mapping_id="contact")
    await an_attempt(database, delivery)
    reads = [
        "/v1/credentials",
        "/v1/credentials/crm-prod",
        "/v1/destinations",
        "/v1/destinations/crm",
        "/v1/destinations/crm/draft",
        "/v1/destinations/crm/revisions",
        "/v1/connectors",
        "/v1/connectors/webhook",
        "/v1/deliveries",
        f"/v1/deliveries/{delivery}",
        "/v1/profiles/ada",
        "/v1/profiles/ada/syncs",
        "/v1/keys",
        "/v1/reconciliation",
        "/readyz",
        "/metrics",
        "/openapi.json",
    ]
    answers += [await api.call("GET", path) for path in reads]
    assert {answer.status_code for answer in answers} <= {200, 201, 404, 409, 422}
    for answer in answers:
        assert PLANTED not in answer.text
        assert NEWER not in answer.text
        assert not any(key in answer.text for key in api.keys.values())


async def test_no_table_holds_a_secret_in_clear(api: Api, database: Database) -> None:
    await api.post("/v1/credentials", a_credential(), status=201)
    await api.post("/v1/destinations", a_destination(credentials={"secrets": SECRETS}), status=201)
    await api.post("/v1/destinations/crm/publish")
    async with database.statement() as connection:
        tables = await connection.execute(text("select tablename from pg_tables where schemaname = 'public'"))
        for table in tables.scalars().all():
            rows = (await connection.execute(text(f'select * from "{table}"'))).all()
            for secret in (PLANTED, *api.keys.values()):
                assert not any(
                    secret in str(bytes(cell) if isinstance(cell, memoryview) else cell) for row in rows for cell in row
                )
