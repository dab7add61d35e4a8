"""The page at /docs works with no way out to the internet."""

from __future__ import annotations

import re

import pytest

from api.documentation import FILES
from tests.api.conftest import Api


async def test_the_page_names_no_other_host_and_all_it_needs_is_here(api: Api) -> None:
    page = await api.http.get("/docs")
    assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert "://" not in page.text
    needed = re.findall(r"""(?:src|href)="([^"]+)\"""", page.text)
    assert sorted(needed) == sorted(f"docs/{name}" for name in FILES)
    for path in needed:
        assert (await api.http.get(f"/{path}")).status_code == 200
    assert "openapi.json" in page.text


@pytest.mark.parametrize("name", FILES)
async def test_each_file_says_what_it_is(api: Api, name: str) -> None:
    answer = await api.http.get(f"/docs/{name}")
    assert answer.headers["content-type"].partition(";")[0] == FILES[name]
    assert "max-age" in answer.headers["cache-control"]
    assert len(answer.content) > 1000


async def test_nothing_else_of_the_package_is_served(api: Api) -> None:
    for name in ("redoc.standalone.js", "..%2F__init__.py", "nonesuch"):
        answer = await api.http.get(f"/docs/{name}")
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    assert (await api.http.get("/redoc")).status_code == 404


async def test_the_address_itself_leads_to_the_page(api: Api) -> None:
    answer = await api.http.get("/", follow_redirects=True)
    assert (answer.status_code, answer.url.path) == (200, "/docs")
