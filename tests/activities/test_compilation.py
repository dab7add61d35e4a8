"""What a draft is refused by: every mistake at once, each with its place."""

from __future__ import annotations

from typing import Any

import pytest

from activities.compilation import compile_destination
from connectors.catalog import load_catalog
from domain.destinations import DestinationSpec
from domain.errors import InvalidInput
from tests.builders import a_mapping, a_spec

WEBHOOK = load_catalog().get("webhook")


def mistakes(**changes: Any) -> list[tuple[str, int | None, int | None]]:
    with pytest.raises(InvalidInput) as refused:
        compile_destination(DestinationSpec.model_validate(a_spec(**changes)), WEBHOOK)
    return [(detail.path, detail.line, detail.column) for detail in refused.value.details]


def test_a_sound_destination_compiles() -> None:
    compiled = compile_destination(
        DestinationSpec.model_validate(a_spec(prerequisite="profile@email exists", mappings=[a_mapping()])), WEBHOOK
    )
    assert list(compiled.mappings) == ["sync"]
    assert compiled.prerequisite is not None


def test_every_mistake_is_named_with_its_place() -> None:
    bad = a_mapping(
        id="bad",
        condition="profile@a ==\n  ==",
        body={"format": "json", "template": {"a": {"b": "{{ user.id | nope }}"}}},
    )
    assert mistakes(
        settings={"url": "ftp://x", "nonsense": 1}, prerequisite="profile@", mappings=[a_mapping(), bad]
    ) == [
        ("settings.url", None, None),
        ("settings.nonsense", None, None),
        ("prerequisite", 1, 1),
        ("mappings.1.condition", 2, 3),
        ("mappings.1.body.template.a.b", 1, 14),
    ]


def test_an_unknown_action_is_refused() -> None:
    assert mistakes(mappings=[a_mapping(action="call")]) == [("mappings.0.action", None, None)]


def test_named_inputs_are_refused_where_an_action_takes_a_body() -> None:
    assert mistakes(mappings=[a_mapping(body={"inputs": {"nope": "x"}})]) == [("mappings.0.body.inputs", None, None)]
