"""The connector of docs/adding-a-connector.md: its own tests pass, and a running system sends with it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from runtime.demo.client import DemoClient, address_and_key
from runtime.demo.receiver import DemoReceiver
from runtime.settings import LaptopSettings
from tests.markdown import ROOT
from tests.running import running_system

EXAMPLE = ROOT / "docs" / "examples" / "ntfy"


@pytest.fixture
def installed(tmp_path: Path) -> Iterator[Path]:
    """A folder that holds the package as an installer leaves it."""
    declared = tomllib.loads((EXAMPLE / "pyproject.toml").read_text())["project"]
    for module in ("sluice_ntfy.py",):
        shutil.copy(EXAMPLE / module, tmp_path)
    information = tmp_path / f"sluice_ntfy-{declared['version']}.dist-info"
    information.mkdir()
    (information / "METADATA").write_text(f"Name: {declared['name']}\nVersion: {declared['version']}\n")
    [(group, points)] = declared["entry-points"].items()
    lines = [f"[{group}]", *(f"{name} = {target}" for name, target in points.items())]
    (information / "entry_points.txt").write_text("\n".join(lines))
    yield tmp_path


@pytest.mark.slow
def test_its_own_tests_pass_once_it_is_installed(installed: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(EXAMPLE)]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout
    assert "passed" in done.stdout


@pytest.mark.slow
def test_a_running_system_offers_it_and_sends_with_it(installed: Path) -> None:
    with running_system(PYTHONPATH=str(installed)) as environment, DemoReceiver() as receiver:
        settings = LaptopSettings.model_validate(
            {"home": environment["SLUICE_HOME"], "api_port": environment["SLUICE_API_PORT"]}
        )
        with DemoClient(*address_and_key(settings, None)) as api:
            offered = api.call("GET", "/v1/connectors/ntfy")
            assert offered["origin"] == "sluice-ntfy 0.1.0"
            api.call("POST", "/v1/destinations", _destination(receiver.url, offered))
            api.call("POST", "/v1/destinations/push/publish")
            api.call("PATCH", "/v1/profiles/ada", {"email": "ada@example.com"})
            received = receiver.received.get(timeout=30)
    assert received.body == '{"topic":"sign-ups","message":"ada@example.com","title":"New email","priority":3}'


def _destination(server: str, offered: dict[str, Any]) -> dict[str, Any]:
    [action] = offered["actions"]
    return {
        "id": "push",
        "name": "Push",
        "connector": "ntfy",
        "settings": {"server": f"{server}/", "topic": "sign-ups"},
        "debounce": {"quiet_seconds": 0, "max_wait_seconds": 0},
        "mappings": [{**action["default_mapping"], "action": action["slug"]}],
    }
