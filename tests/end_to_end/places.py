"""Every place where something of a system can be read: its files, its tables, its API, its histories."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import asyncpg

from tests.end_to_end.services import Services
from tests.end_to_end.system import System

# What is kept in the home to be secret: the keys themselves, for their owner only, and the password's hash within PostgreSQL.
KEPT_SECRET = ("keys.json",)

TABLES = (
    "select format('%I.%I', table_schema, table_name) from information_schema.tables where table_type = 'BASE TABLE'"
)


def files(system: System) -> Iterator[tuple[str, bytes]]:
    """Everything in the home, byte by byte: logs, pid files, Temporal's database, PostgreSQL's tables and write-ahead log."""
    for path in sorted(system.home.rglob("*")):
        if path.is_file() and path.name not in KEPT_SECRET:
            yield f"file {path.relative_to(system.home)}", path.read_bytes()


async def tables(system: System) -> list[tuple[str, bytes]]:
    """Every row of every table that is ours, each column as text."""
    connection = await asyncpg.connect(_database_url(system))
    try:
        names = [row[0] for row in await connection.fetch(f"{TABLES} and table_schema = 'public'")]
        rows = {name: await connection.fetch(f"select t::text from {name} t") for name in names}
    finally:
        await connection.close()
    return [(f"table {name}", str(row[0]).encode()) for name, found in rows.items() for row in found]


async def answers(services: Services) -> list[tuple[str, bytes]]:
    """Of every GET route there is, with every id there is."""
    ids = await _ids(services)
    templates = [path for path, item in (await services.get("/openapi.json"))["paths"].items() if "get" in item]
    urls = ["/docs", "/openapi.json", *(url for template in templates for url in _filled(template, ids))]
    return [(f"GET {url}", await _body(services, url)) for url in urls]


def payloads(history: Any) -> Iterator[bytes]:
    """The data of every payload in a history, decoded, outside the search attributes."""
    if isinstance(history, dict):
        if isinstance(history.get("data"), str) and "metadata" in history:
            yield base64.b64decode(history["data"])
        for name, value in history.items():
            if name != "searchAttributes":
                yield from payloads(value)
    elif isinstance(history, list):
        for value in history:
            yield from payloads(value)


def texts(history: Any) -> Iterator[str]:
    """Every other text in a history, but for workflow ids and search attributes."""
    if isinstance(history, str):
        yield history
    for name, value in history.items() if isinstance(history, dict) else ():
        if name not in ("searchAttributes", "workflowId", "data"):
            yield from texts(value)
    for value in history if isinstance(history, list) else ():
        yield from texts(value)


async def _body(services: Services, url: str) -> bytes:
    answer = await services.http.get(url)
    assert answer.status_code < 500, url
    return answer.content + repr(answer.headers.raw).encode()


async def _ids(services: Services) -> dict[str, list[str]]:
    """The first part of a route → the ids that may follow it."""
    found = {}
    for part in ("connectors", "credentials", "destinations", "deliveries", "events"):
        found[part] = [str(each.get("id") or each["slug"]) for each in (await services.get(f"/v1/{part}"))["data"]]
    profiles = {each["profile_id"] for each in await services.deliveries() if each["profile_id"]}
    return {**found, "profiles": sorted(profiles)}


def _filled(template: str, ids: dict[str, list[str]]) -> list[str]:
    """The route with each id in its place. A route whose ids are not known here fails the test: it must be searched too."""
    before, brace, after = template.partition("{")
    if not brace:
        return [template]
    kind = before.strip("/").split("/")[-1]
    assert kind in ids, f"{template}: name where its ids come from"
    rest = after.partition("}")[2].replace("{n}", "1")
    return [before + quote(each, safe="") + rest for each in ids[kind]]


def _database_url(system: System) -> str:
    keys = json.loads((system.home / "keys.json").read_text())
    port = Path(system.home / "postgres" / "port").read_text()
    return f"postgresql://sluice:{keys['postgres_password']}@127.0.0.1:{port}/sluice"
