"""PostgreSQL and Temporal on one machine: what they hold survives their being killed."""

from __future__ import annotations

import os
import signal
import stat
from pathlib import Path

import asyncpg
import psutil
import pytest
from temporalio.client import Client

from runtime.laptop.ports import is_free
from runtime.laptop.postgres import LaptopPostgres
from runtime.laptop.temporal_server import LaptopTemporal


async def _write(url: str, value: int) -> None:
    connection = await asyncpg.connect(url)
    await connection.execute("create table if not exists kept (value int)")
    await connection.execute("insert into kept values ($1)", value)
    await connection.close()


async def _read(url: str) -> list[int]:
    connection = await asyncpg.connect(url)
    try:
        return [row["value"] for row in await connection.fetch("select value from kept order by value")]
    finally:
        await connection.close()


async def test_what_was_committed_survives_a_stop_and_a_kill(home: Path) -> None:
    postgres = LaptopPostgres(home)
    try:
        postgres.start()
        url = postgres.url
        await _write(url, 1)
        postgres.stop()
        postgres.start()
        await _write(url, 2)
        postgres.kill()
        postgres.start()
        assert await _read(url) == [1, 2]
    finally:
        postgres.stop()
    assert postgres.child.exit_code == 0
    assert is_free(postgres.port)


async def test_another_object_on_the_same_home_finds_the_same_data_at_the_same_address(home: Path) -> None:
    first = LaptopPostgres(home)
    first.start()
    await _write(first.url, 1)
    first.kill()  # with its postmaster.pid left lying
    second = LaptopPostgres(home)
    second.start()
    try:
        assert second.url == first.url
        assert await _read(second.url) == [1]
    finally:
        second.stop()


@pytest.mark.slow
async def test_a_killed_server_leaves_no_backend_to_stand_in_the_way(home: Path) -> None:
    postgres = LaptopPostgres(home)
    postgres.start()
    connection = await asyncpg.connect(postgres.url)
    backend = psutil.Process(await connection.fetchval("select pg_backend_pid()"))
    backend.suspend()  # so that it cannot notice that its postmaster has died
    postgres.kill()
    postgres.start()
    try:
        assert not backend.is_running() or backend.status() == psutil.STATUS_ZOMBIE
    finally:
        postgres.stop()
        connection.terminate()


async def test_a_pid_file_that_names_a_living_stranger_does_not_prevent_the_start(home: Path) -> None:
    postgres = LaptopPostgres(home)
    postgres.start()
    postgres.kill()
    pid_file = home / "postgres" / "data" / "postmaster.pid"
    lines = pid_file.read_text().splitlines()
    pid_file.write_text("\n".join([str(os.getppid()), *lines[1:]]))
    postgres.start()
    postgres.stop()


async def test_nobody_without_the_password_gets_in(home: Path) -> None:
    postgres = LaptopPostgres(home)
    postgres.start()
    try:
        with pytest.raises(asyncpg.InvalidPasswordError):
            await asyncpg.connect(
                host="127.0.0.1", port=postgres.port, user="sluice", password="guess", database="sluice"
            )
        assert stat.S_IMODE((home / "keys.json").stat().st_mode) == 0o600
    finally:
        postgres.stop()


async def test_databases_can_be_made_beside_the_first(home: Path) -> None:
    postgres = LaptopPostgres(home, options={"fsync": "off"})
    postgres.start()
    try:
        await _write(postgres.create_database("another"), 7)
        connection = await asyncpg.connect(postgres.url)
        assert await connection.fetchval("show fsync") == "off"
        assert await connection.fetchval("select to_regclass('kept')") is None
        await connection.close()
    finally:
        postgres.stop()


def test_a_start_that_was_interrupted_half_way_is_begun_anew(home: Path) -> None:
    draft = home / "postgres" / "draft"
    draft.mkdir(parents=True)
    (draft / "PG_VERSION").write_text("18")
    postgres = LaptopPostgres(home)
    postgres.start()
    postgres.stop()


async def test_temporal_comes_back_on_the_same_ports_with_its_runs_after_a_kill(home: Path) -> None:
    temporal = LaptopTemporal(home)
    try:
        temporal.start()
        client = await Client.connect(temporal.address)
        await client.start_workflow("Any", id="kept", task_queue="nobody")
        os.kill(temporal.child.pid, signal.SIGKILL)
        temporal.kill()
        temporal.start()
        client = await Client.connect(temporal.address)
        described = await client.get_workflow_handle("kept").describe()
        assert described.workflow_type == "Any"
    finally:
        temporal.stop()
    assert is_free(temporal.port)
    assert is_free(temporal.ui_port)


async def test_a_persons_own_profile_does_not_lead_the_laptop_server_astray(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEMPORAL_API_KEY", "for-another-server")
    monkeypatch.setenv("TEMPORAL_NAMESPACE", "elsewhere")
    monkeypatch.setenv("PGSSLMODE", "require")
    temporal, postgres = LaptopTemporal(home), LaptopPostgres(home)
    temporal.start()
    postgres.start()
    postgres.stop()
    temporal.stop()
