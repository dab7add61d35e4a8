"""The image: what it copies exists, what it needs is copied, and it does not run as root."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "Dockerfile").read_text()
COPIED = [line.split()[1] for line in TEXT.splitlines() if re.match(r"COPY (?!--from)", line)]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def test_everything_copied_exists() -> None:
    assert COPIED
    assert [path for path in COPIED if not (ROOT / path).exists()] == []


def test_every_package_of_the_product_is_copied_and_no_test() -> None:
    packages = {*PROJECT["tool"]["importlinter"]["root_packages"], "worker"}
    copied = {path.removesuffix(".py") for path in COPIED} - {"requirements.lock"}
    console = {"console"} if (ROOT / "console").is_dir() else set()
    assert copied == packages | console


def test_the_builder_is_sent_what_is_copied_and_nothing_else() -> None:
    rules = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    assert rules[0] == "*"
    assert {rule.removeprefix("!") for rule in rules if rule.startswith("!")} == set(COPIED)


def test_dependencies_are_installed_by_hash() -> None:
    install = next(line for line in TEXT.splitlines() if "pip install" in line)
    assert "--require-hashes" in install
    assert "requirements.lock" in install


def test_it_does_not_run_as_root() -> None:
    user = re.findall(r"^USER (\d+)$", TEXT, flags=re.MULTILINE)[-1]
    assert int(user) > 0
    assert TEXT.rindex("USER") < TEXT.rindex("CMD")


def test_both_stages_use_the_same_pinned_python_that_the_project_names() -> None:
    images = re.findall(r"^FROM (\S+)", TEXT, flags=re.MULTILINE)
    assert len(set(images)) == 1
    version = (ROOT / ".python-version").read_text().strip()
    assert re.fullmatch(rf"python:{re.escape(version)}\.\d+-slim-bookworm", images[0])


def test_the_command_starts_the_api_as_the_laptop_does() -> None:
    command = json.loads(TEXT.rpartition("CMD ")[2])
    assert command[:3] == ["uvicorn", "api.app:create_app", "--factory"]
    assert command[command.index("--port") + 1] == "8000"
    assert command[command.index("--host") + 1] == "0.0.0.0"
    installed = (ROOT / "requirements.lock").read_text()
    for part in ("uvicorn", "uvloop", "httptools"):
        assert re.search(rf"^{part}==", installed, flags=re.MULTILINE)
