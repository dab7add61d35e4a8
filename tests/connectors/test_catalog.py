from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib.metadata import EntryPoint, distributions
from pathlib import Path

import pytest

from connectors.catalog import BUILT_IN, ENTRY_POINT_GROUP, load_catalog
from connectors.description import describe
from domain.errors import NotFound

CONNECTOR = """
from dataclasses import replace
from connectors.webhook import WebhookConnector

class Pigeon(WebhookConnector):
    definition = replace(WebhookConnector.definition, slug="pigeon", name="Pigeon Post")

class Usurper(WebhookConnector):
    pass

ready_made = Pigeon()
no_connector = object()

def broken():
    raise RuntimeError("out of seed")
"""


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder on the path with an installed distribution `pigeon-post 1.2`."""
    (tmp_path / "pigeon_post.py").write_text(CONNECTOR)
    (tmp_path / "pigeon_post-1.2.dist-info").mkdir()
    (tmp_path / "pigeon_post-1.2.dist-info" / "METADATA").write_text("Name: pigeon-post\nVersion: 1.2\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    sys.modules.pop("pigeon_post", None)


def _declare(folder: Path, *targets: str) -> list[EntryPoint]:
    lines = [f"[{ENTRY_POINT_GROUP}]", *(f"n{number} = {target}" for number, target in enumerate(targets))]
    (folder / "pigeon_post-1.2.dist-info" / "entry_points.txt").write_text("\n".join(lines))
    [distribution] = distributions(path=[str(folder)])
    return list(distribution.entry_points)


def test_the_catalogue_holds_ours_and_names_them_built_in() -> None:
    catalog = load_catalog()
    assert catalog.get("webhook").definition.slug == "webhook"
    assert catalog.entry("webhook").origin == BUILT_IN
    assert catalog.problems == ()


def test_an_unknown_connector_is_not_found_and_the_known_ones_are_named() -> None:
    with pytest.raises(NotFound, match=r"no connector 'telegraph'.*webhook"):
        load_catalog().get("telegraph")


@pytest.mark.parametrize("target", ["pigeon_post:Pigeon", "pigeon_post:ready_made"])
def test_an_installed_package_adds_a_connector_and_is_named_as_its_origin(installed: Path, target: str) -> None:
    catalog = load_catalog(_declare(installed, target))
    assert catalog.problems == ()
    assert catalog.get("pigeon").definition.name == "Pigeon Post"
    assert catalog.entry("pigeon").origin == "pigeon-post 1.2"
    assert [entry.connector.definition.slug for entry in catalog.all()][:1] == ["pigeon"]


def test_packages_are_found_by_their_entry_point_group(installed: Path) -> None:
    _declare(installed, "pigeon_post:Pigeon")
    assert load_catalog().entry("pigeon").origin == "pigeon-post 1.2"


@pytest.mark.parametrize(
    ("target", "problem"),
    [
        ("pigeon_post:broken", "RuntimeError: out of seed"),
        ("pigeon_post:missing", "AttributeError"),
        ("no_such_module:Pigeon", "ModuleNotFoundError"),
        ("pigeon_post:no_connector", "not a connector"),
        ("pigeon_post:Usurper", "'webhook' is already taken by built-in"),
    ],
)
def test_a_broken_package_is_reported_and_the_others_work(installed: Path, target: str, problem: str) -> None:
    catalog = load_catalog(_declare(installed, target, "pigeon_post:Pigeon"))
    assert catalog.get("webhook") and catalog.get("pigeon")
    assert len(catalog.problems) == 1
    assert "pigeon-post 1.2" in catalog.problems[0] and problem in catalog.problems[0]


def test_a_description_shows_schemas_in_which_secrets_are_marked() -> None:
    shown = describe(load_catalog().entry("webhook"))
    header = shown["credentials"]["properties"]["secret_headers"]["additionalProperties"]
    assert header["writeOnly"] is True and header["secret"] is True
    assert shown["settings"]["properties"]["url"]["format"] == "liquid"
    assert shown["settings"]["required"] == ["url"]
    assert shown["origin"] == BUILT_IN
