"""Every error has one shape, whoever raised it."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from api.assembly import assemble
from api.metrics import Metrics
from storage.database import Database
from tests.api.conftest import Api, a_destination, client_of, services_over

MEMBERS = {"type", "title", "status", "code", "message", "errors"}


def assert_problem(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    assert answer.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = answer.json()
    assert set(body) == MEMBERS
    assert (answer.status_code, body["status"], body["code"]) == (status, status, code)
    assert body["type"] == f"urn:sluice:problem:{code}"
    assert body["title"]
    assert body["message"]
    assert all(set(error) == {"path", "message", "line", "column"} for error in body["errors"])
    return body


REQUESTS: dict[str, tuple[dict[str, Any], int, str]] = {
    "no such address": ({"method": "GET", "url": "/nowhere"}, 404, "not_found"),
    "a trailing slash": ({"method": "GET", "url": "/v1/destinations/"}, 404, "not_found"),
    "a method that is not there": ({"method": "PUT", "url": "/v1/destinations"}, 405, "method_not_allowed"),
    "nothing of that id": ({"method": "GET", "url": "/v1/destinations/none"}, 404, "not_found"),
    "not JSON": ({"method": "POST", "url": "/v1/keys", "content": b"{"}, 400, "bad_request"),
    "another content type": (
        {"method": "POST", "url": "/v1/keys", "content": b"a=b", "headers": {"Content-Type": "text/plain"}},
        415,
        "unsupported_media_type",
    ),
    "no body": ({"method": "POST", "url": "/v1/keys"}, 422, "invalid_input"),
    "a body that is no object": ({"method": "POST", "url": "/v1/keys", "json": []}, 422, "invalid_input"),
    "an unknown field": (
        {"method": "POST", "url": "/v1/keys", "json": {"name": "n", "scopes": ["admin"], "x": 1}},
        422,
        "invalid_input",
    ),
    "an unknown query parameter": (
        {"method": "GET", "url": "/v1/deliveries?destinatoin=crm"},
        422,
        "invalid_input",
    ),
    "a limit out of bounds": ({"method": "GET", "url": "/v1/deliveries?limit=501"}, 422, "invalid_input"),
    "a status that is none": ({"method": "GET", "url": "/v1/deliveries?status=lost"}, 422, "invalid_input"),
    "a time without a zone": (
        {"method": "GET", "url": "/v1/deliveries?since=2026-01-01T00:00:00"},
        422,
        "invalid_input",
    ),
    "a time at the end of the calendar": (
        {"method": "GET", "url": "/v1/deliveries?since=0001-01-01T00:00:00%2B14:00"},
        422,
        "invalid_input",
    ),
    "an id that is no UUID": ({"method": "GET", "url": "/v1/deliveries/1"}, 422, "invalid_input"),
    "an id that is no slug": ({"method": "GET", "url": "/v1/destinations/No%20Slug"}, 422, "invalid_input"),
    "a revision too large": (
        {"method": "POST", "url": "/v1/destinations/x/revisions/99999999999/restore"},
        422,
        "invalid_input",
    ),
    "NUL in an address": ({"method": "GET", "url": "/v1/profiles/a%00b"}, 422, "invalid_input"),
    "NUL in a filter": ({"method": "GET", "url": "/v1/deliveries?profile=a%00b"}, 422, "invalid_input"),
    "a profile id too long": ({"method": "GET", "url": f"/v1/profiles/{'x' * 201}"}, 422, "invalid_input"),
    "an address too long": ({"method": "GET", "url": f"/v1/profiles/{'x' * 9000}"}, 414, "url_too_long"),
    "headers too large": (
        {"method": "GET", "url": "/v1/keys", "headers": {"X-Large": "x" * 40_000}},
        431,
        "headers_too_large",
    ),
}


@pytest.mark.parametrize("case", REQUESTS)
async def test_a_problem_is_answered_for(api: Api, case: str) -> None:
    request, status, code = REQUESTS[case]
    headers = {"Authorization": f"Bearer {api.keys['admin']}", **request.get("headers", {})}
    answer = await api.http.request(**{**request, "headers": headers})
    assert_problem(answer, status, code)


async def test_the_allowed_methods_are_told(api: Api) -> None:
    for path, allowed in (("/v1/keys", "GET, POST"), ("/v1/profiles/ada", "DELETE, GET, PATCH, PUT")):
        answer = await api.call("OPTIONS", path)
        assert_problem(answer, 405, "method_not_allowed")
        assert answer.headers["allow"] == allowed


async def test_paths_are_dotted_and_hold_no_names_of_ours(api: Api) -> None:
    body = a_destination(
        mappings=[{"id": "m", "source": "profile", "action": "send", "body": {"format": "smoke", "template": ""}}]
    )
    problem = assert_problem(await api.call("POST", "/v1/destinations", body), 422, "invalid_input")
    assert {error["path"] for error in problem["errors"]} == {"mappings.0.body.format"}


async def test_what_the_caller_sent_is_not_sent_back(api: Api) -> None:
    secret = "a-secret-that-was-put-into-the-wrong-field"
    for body in (
        a_destination(debounce=secret),
        a_destination(credentials={"secrets": secret}),
        a_destination(credentials={"secrets": {"signing_secret": secret}}),
        a_destination(credentials={"secrets": {"secret_headers": {"A": [secret]}}}),
    ):
        answer = await api.call("POST", "/v1/destinations", body)
        assert_problem(answer, 422, "invalid_input")
        assert secret not in answer.text


async def test_a_fault_of_ours_is_a_500_that_tells_nothing(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError("internal detail")

    monkeypatch.setattr(type(api.services.destinations), "get", broken)
    answer = await api.call("GET", "/v1/destinations/crm")
    assert_problem(answer, 500, "internal_error")
    assert "internal detail" not in answer.text
    assert answer.headers["x-request-id"]


async def test_a_database_that_is_away_is_a_503() -> None:
    away = Database("postgresql://postgres@127.0.0.1:1/none", pool_size=1)
    app = assemble(metrics=Metrics(), services=services_over(away))
    async with client_of(app) as http:
        answer = await http.get("/v1/destinations", headers={"Authorization": "Bearer sluice_x"})
    assert_problem(answer, 503, "unavailable")
    assert answer.headers["retry-after"] == "1"
    await away.close()


async def test_an_id_of_the_caller_comes_back_and_another_is_made(api: Api) -> None:
    mine = await api.call("GET", "/healthz", headers={"X-Request-Id": "mine-1"})
    assert mine.headers["x-request-id"] == "mine-1"
    for forged in ("two\tfields", "x" * 129, ""):
        answer = await api.call("GET", "/nowhere", headers={"X-Request-Id": forged})
        assert answer.headers["x-request-id"] not in (forged, "")
