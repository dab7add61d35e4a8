"""`make demo`, as somebody sees it who has just started the system, or has not."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path

import pytest

from runtime.laptop.keys import LaptopKeys
from runtime.laptop.ports import free_port
from tests.running import ROOT, running_system


@pytest.fixture(scope="module")
def system() -> Iterator[dict[str, str]]:
    with running_system() as environment:
        yield environment


def _demo(environment: Mapping[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "runtime.demo", *arguments]
    return subprocess.run(
        command, cwd=ROOT, env=dict(environment), capture_output=True, text=True, timeout=60, check=False
    )


def _without_sluice(**ours: str) -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("SLUICE_")} | ours


def _call(system: Mapping[str, str], method: str, path: str, body: object = None) -> int:
    key = LaptopKeys.of(Path(system["SLUICE_HOME"])).admin_key
    with closing(http.client.HTTPConnection("127.0.0.1", int(system["SLUICE_API_PORT"]), timeout=10)) as connection:
        connection.request(method, path, json.dumps(body), {"Authorization": f"Bearer {key}"})
        return connection.getresponse().status


@pytest.mark.slow
def test_it_shows_a_working_sync_and_ends_by_itself(system: dict[str, str]) -> None:
    done = _demo(system)
    assert done.returncode == 0, done.stderr
    assert '"email":"ada@example.com"' in done.stdout and '"visits":10' in done.stdout
    assert "the prerequisite does not hold: profile@email EXISTS" in done.stdout
    attempts = re.findall(r"answered (\d+), Idempotency-Key (\S+)", done.stdout)
    assert [status for status, _ in attempts] == ["503", "503", "200"]
    assert len({key for _, key in attempts}) == 1
    orders = re.findall(r'"order":"(\w+-\d)","email":"ada@example.com"', done.stdout)
    assert orders == ["ada-1", "ada-2", "ada-3"]
    assert "Bob's event is skipped: the prerequisite does not hold: profile@email EXISTS" in done.stdout
    assert "changed 5 profiles: held 5, received 0." in done.stdout
    assert "Resumed: received 5." in done.stdout
    assert "accepted 12, delivered 10, skipped 2, failed 0, held 0, unaccounted 0" in done.stdout


@pytest.mark.slow
def test_a_second_run_does_not_disturb_the_first(system: dict[str, str]) -> None:
    assert _demo(system).returncode == 0
    done = _demo(system)
    assert done.returncode == 0, done.stderr
    assert "accepted 12, delivered 10, skipped 2, failed 0, held 0, unaccounted 0" in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("source", ["profile", "events"])
def test_it_sends_nothing_to_destinations_of_others(system: dict[str, str], source: str) -> None:
    mapping = {"id": "sync", "source": source, "action": "send"}
    name = f"crm-{source}"  # the id of one that was deleted is not given again
    real = {"id": name, "connector": "webhook", "name": "CRM", "settings": {"url": "https://crm.example.com/"}}
    assert _call(system, "POST", "/v1/destinations", {**real, "mappings": [mapping]}) == 201
    assert _call(system, "POST", f"/v1/destinations/{name}/publish") == 200
    try:
        done = _demo(system)
    finally:
        assert _call(system, "DELETE", f"/v1/destinations/{name}") == 200
    assert done.returncode == 1
    assert f"would also be sent to {name}" in done.stderr
    assert done.stdout == ""


@pytest.mark.slow
def test_a_wrong_key_is_reported_in_the_api_s_words(system: dict[str, str]) -> None:
    done = _demo({**system, "SLUICE_ADMIN_KEY": "not-a-key-of-this-system"})
    assert done.returncode == 1
    assert "the API key is not known" in done.stderr


def test_without_a_running_system_it_says_how_to_start_one(tmp_path: Path) -> None:
    LaptopKeys.of(tmp_path)
    port = str(free_port())
    done = _demo(_without_sluice(SLUICE_HOME=str(tmp_path), SLUICE_API_PORT=port))
    assert done.returncode == 1
    assert f"http://localhost:{port}" in done.stderr
    assert "make up" in done.stderr
    assert "Traceback" not in done.stderr


def test_without_a_key_it_says_where_it_looked_and_makes_none(tmp_path: Path) -> None:
    done = _demo(_without_sluice(SLUICE_HOME=str(tmp_path)))
    assert done.returncode == 1
    assert str(tmp_path / "keys.json") in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_the_receiver_alone_prints_what_arrives_until_it_is_stopped() -> None:
    port = free_port()
    command = [sys.executable, "-m", "runtime.demo", "--receive", str(port), "--answer", "503"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as receiver:
        assert receiver.stdout is not None
        assert f"127.0.0.1:{port}" in receiver.stdout.readline()
        with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=10)) as connection:
            connection.request("POST", "/contacts", '{"id": "ada"}')
            assert connection.getresponse().status == 503
        assert receiver.stdout.readline() == '503 /contacts {"id": "ada"}\n'
        receiver.send_signal(signal.SIGINT)
        try:
            assert receiver.wait(timeout=30) == 0
        finally:
            receiver.kill()


def test_a_receiver_whose_port_is_in_use_says_so() -> None:
    port = str(free_port())
    command = [sys.executable, "-m", "runtime.demo", "--receive", port]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as first:
        assert first.stdout is not None
        first.stdout.readline()
        second = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=30, check=False)
        first.terminate()
    assert second.returncode == 1
    assert "in use" in second.stderr
    assert "Traceback" not in second.stderr
