"""`make up`, as a person meets it: starting, stopping, dying, starting again."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.runtime.product import API, Product

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

READY = "Ctrl-C stops it."


@pytest.fixture
def product(home: Path) -> Iterator[Product]:
    product = Product(home)
    yield product
    _end_all(product)


def _end_all(product: Product) -> None:
    for process in product.processes():
        with suppress(psutil.NoSuchProcess):
            process.kill()
    if product.process:
        product.process.communicate()


def _ask(product: Product, method: str, path: str) -> Any:
    connection = http.client.HTTPConnection("127.0.0.1", product.api_port)
    connection.request(method, path)
    return json.loads(connection.getresponse().read())


def _pid(product: Product, name: str) -> int:
    return int(json.loads((product.home / "run" / f"{name}.json").read_text())["pid"])


@pytest.mark.parametrize("stop_signal", [signal.SIGINT, signal.SIGTERM])
def test_it_says_where_everything_is_and_stops_in_order_when_asked(
    product: Product, stop_signal: signal.Signals
) -> None:
    product.start()
    said = product.say_until(READY)
    assert f"http://localhost:{product.api_port}" in said
    assert f"http://localhost:{product.api_port}/docs" in said
    assert f"http://localhost:{product.ui_port}" in said
    assert json.loads((product.home / "keys.json").read_text())["admin_key"] in said

    product.signal(stop_signal)
    code, _ = product.end()
    assert code == 0
    order = (product.home / "order").read_text().splitlines()
    assert order == ["migrated", "API ended", "worker drained, both servers up"]
    assert product.processes() == []
    assert list((product.home / "run").glob("*.json")) == []


def test_it_can_be_stopped_from_a_script_whose_background_jobs_ignore_ctrl_c(product: Product) -> None:
    product.start(parent=["sh", "-c", 'trap "" INT; exec "$@"', "make"])
    product.say_until(READY)
    product.signal(signal.SIGINT)
    assert product.end()[0] == 0


def test_the_programs_are_told_of_our_servers_and_keys_and_that_loopback_is_allowed(product: Product) -> None:
    strangers = {"TEMPORAL_API_KEY": "for-another-server", "SLUICE_OUTBOUND_ALLOW": "crm.internal"}
    product.start(environment={**strangers, "SLUICE_ADMIN_KEY": "a-key-of-my-own-choice"})
    product.say_until(READY)
    told = _ask(product, "GET", "/told")
    assert told["hosts"] == ["crm.internal", "localhost"]
    assert told["networks"] == ["127.0.0.0/8", "::1/128"]
    assert told["keys"] == ["laptop"]
    assert told["temporal"] == f"127.0.0.1:{product.temporal_port}"
    assert told["database"].startswith("postgresql://sluice:")
    assert told["admin_key"] == "a-key-of-my-own-choice"
    assert told["profile"] == []


def test_a_second_start_keeps_keys_and_data(product: Product) -> None:
    product.start()
    first = product.say_until(READY)
    product.signal(signal.SIGINT)
    product.end()
    product.start()
    assert product.say_until(READY) == first
    product.signal(signal.SIGINT)
    assert product.end()[0] == 0


def test_a_child_that_dies_takes_it_down_with_its_name_exit_code_and_last_words(product: Product) -> None:
    product.start()
    product.say_until(READY)
    with pytest.raises(http.client.HTTPException):
        _ask(product, "POST", "/die")
    code, said = product.end()
    assert code == 1
    assert "API ended with exit code 7" in said
    assert "Application startup complete" in said
    assert product.processes() == []


@pytest.mark.parametrize("name", ["worker", "Temporal", "PostgreSQL"])
def test_any_killed_child_is_named_with_the_signal(product: Product, name: str) -> None:
    product.start()
    product.say_until(READY)
    os.kill(_pid(product, name), signal.SIGKILL)
    code, said = product.end()
    assert code == 1
    assert f"{name} was ended by SIGKILL" in said
    assert product.processes() == []


@pytest.mark.crash
@pytest.mark.parametrize("name", ["API", "worker", "Temporal", "PostgreSQL"])
def test_with_restart_a_killed_child_comes_back(product: Product, name: str) -> None:
    product.start("--restart")
    product.say_until(READY)
    killed = _pid(product, name)
    os.kill(killed, signal.SIGKILL)
    product.say_until(f"{name} is back.")
    assert _pid(product, name) != killed
    product.signal(signal.SIGINT)
    assert product.end()[0] == 0
    assert product.processes() == []


@pytest.mark.crash
def test_killing_the_supervisor_leaves_no_process_and_the_next_start_works(product: Product) -> None:
    product.start()
    product.say_until(READY)
    children = [process for process in product.processes() if product.process and process.pid != product.process.pid]
    assert len(children) >= 4
    product.signal(signal.SIGKILL)
    product.end()
    _, alive = psutil.wait_procs(children, timeout=30)
    assert alive == []
    product.start()
    product.say_until(READY)
    product.signal(signal.SIGTERM)
    assert product.end()[0] == 0


@pytest.mark.crash
def test_killing_the_make_that_started_it_stops_everything_in_order(product: Product) -> None:
    product.start("--follow-parent", parent=["sh", "-c", '"$@"; true', "make"])
    product.say_until(READY)
    supervisor = [process for process in product.processes() if "runtime.up" in process.cmdline()]
    product.signal(signal.SIGKILL)
    _, said = product.end()
    assert "Stopped." in said
    _, alive = psutil.wait_procs(supervisor, timeout=30)
    assert alive == []
    assert (product.home / "order").read_text().splitlines()[-1] == "worker drained, both servers up"
    assert product.processes() == []


@pytest.mark.crash
def test_a_child_too_stuck_to_notice_is_ended_by_the_next_start(product: Product) -> None:
    product.start()
    product.say_until(READY)
    stuck = psutil.Process(_pid(product, "worker"))
    stuck.suspend()
    product.signal(signal.SIGKILL)
    product.end()
    assert stuck.is_running()
    product.start()
    said = product.say_until(READY)
    assert "Ended worker, left over from a run that was killed." in said
    assert not stuck.is_running()


def test_a_second_one_in_the_same_home_is_refused(product: Product) -> None:
    product.start()
    product.say_until(READY)
    first = product.process
    product.start()
    code, said = product.end()
    assert code == 1
    assert f"already running from {product.home.resolve()}" in said
    assert first is not None
    assert f"pid {first.pid}" in said
    product.process = first
    product.signal(signal.SIGINT)
    assert product.end()[0] == 0


def test_ports_in_use_are_all_named_before_anything_starts(product: Product) -> None:
    with socket.create_server(("127.0.0.1", product.api_port)), socket.create_server(("127.0.0.1", product.ui_port)):
        product.start()
        code, said = product.end()
    assert code == 1
    assert f"port {product.api_port} is in use" in said
    assert "SLUICE_API_PORT" in said
    assert "SLUICE_TEMPORAL_UI_PORT" in said
    assert not (product.home / "logs").exists()


def test_a_bad_variable_is_named(product: Product) -> None:
    product.start(environment={"SLUICE_API_PORT": "many"})
    code, said = product.end()
    assert code == 1
    assert "SLUICE_API_PORT" in said
    assert "Traceback" not in said


def test_failing_migrations_stop_the_start_with_their_last_words(home: Path) -> None:
    product = Product(home, migrations="raise SystemExit('cannot migrate this')")
    try:
        product.start()
        code, said = product.end()
        assert code == 1
        assert "migrations ended with exit code 1" in said
        assert "cannot migrate this" in said
        assert product.processes() == []
    finally:
        _end_all(product)


def test_an_api_that_does_not_get_ready_is_reported_with_what_it_last_answered(home: Path) -> None:
    unready = API.replace(
        'app.get("/readyz")(lambda: {})',
        'app.get("/readyz", status_code=503)(lambda: {"worker": "nobody polls"})',
    )
    product = Product(home, api=unready)
    try:
        product.start(environment={"SLUICE_READY_SECONDS": "3"})
        code, said = product.end()
        assert code == 1
        assert "nobody polls" in said
        assert product.processes() == []
    finally:
        _end_all(product)


def test_ctrl_c_while_starting_stops_what_had_started(home: Path) -> None:
    product = Product(home, migrations="import signal; signal.pause()")
    try:
        product.start()
        product.say_until("Running migrations")
        product.signal(signal.SIGINT)
        assert product.end()[0] == 0
        assert product.processes() == []
    finally:
        _end_all(product)
