"""Advice about conditions that are well-formed and yet cannot be meant."""

from __future__ import annotations

import pytest

from domain.advice import advise, paths_to_look_up
from domain.conditions import parse
from domain.errors import ConditionSyntaxError
from domain.mappings import CONDITION_SOURCES
from domain.objects import scope
from domain.profiles import Profile
from tests.domain.test_sync_explanations import NOW

SOUND = [
    "profile@email exists",
    "profile@anonymousId exists",
    'profile@plan == "pro"',
    "profile@age > 30",
    'profile@email != "a@example.com"',
    "profile@segments not empty",
    "profile@properties not empty",
    "event@properties.total > 100",
    'profile@segments contains "trial"',
    "profile@id == null",
    'profile@createdAt < now.offset("-1d")',
]
CONSTANT = [
    ("profile@id exists", "never_false", 1, 1),
    ("user@segments EXISTS", "never_false", 1, 1),
    ("profile@id not exists", "never_true", 1, 1),
    ("profile@createdAt is not null", "never_false", 1, 1),
    ("profile@userId empty", "never_true", 1, 1),
    ("profile@userId not empty", "never_false", 1, 1),
    ("profile@plan in []", "never_true", 1, 1),
    ("profile@plan not in []", "never_false", 1, 1),
    ("NOT (profile@id exists)", "never_true", 1, 1),
    ("profile@plan exists OR profile@id exists", "never_false", 1, 1),
    ("profile@id exists AND profile@segments exists", "never_false", 1, 1),
    ("profile@email exists\nAND profile@id exists", "never_false", 2, 5),
    ("profile@email exists AND\n (profile@plan exists OR profile@properties exists)", "never_false", 2, 3),
]
MISMATCHED = [
    "profile@email == 1",
    "profile@id > 5",
    "profile@id between 1 and 5",
    'profile@id in ["a", 2]',
    "event@name != 3",
    "profile@userId == true",
]


def codes(text: str) -> list[str]:
    return [each.code for each in advise(text, CONDITION_SOURCES)]


@pytest.mark.parametrize("text", SOUND)
def test_what_may_be_meant_is_not_remarked_upon(text: str) -> None:
    assert codes(text) == []


@pytest.mark.parametrize(("text", "code", "line", "column"), CONSTANT)
def test_the_part_that_is_always_the_same_is_named_with_its_place(text: str, code: str, line: int, column: int) -> None:
    (advice,) = advise(text, CONDITION_SOURCES)
    assert (advice.code, advice.line, advice.column) == (code, line, column)


@pytest.mark.parametrize(("text", "code"), [(text, code) for text, code, line, _ in CONSTANT if line == 1])
@pytest.mark.parametrize("document", [{}, {"email": "a@example.com", "properties": {"plan": "pro"}, "segments": ["x"]}])
def test_what_is_said_to_be_always_the_same_is(text: str, code: str, document: dict[str, object]) -> None:
    profile = Profile(id="ada", version=1, document=document, created_at=NOW, updated_at=NOW)
    view = scope(user=profile.as_user())
    held = parse(text, CONDITION_SOURCES).evaluate({"profile": view["user"], "user": view["user"]}, now=NOW)
    assert held is (code == "never_false")


@pytest.mark.parametrize("text", MISMATCHED)
def test_a_text_compared_with_a_number_is_remarked_upon(text: str) -> None:
    assert codes(text) == ["type_mismatch"]


def test_what_the_stored_profiles_show_to_be_text_counts_as_text() -> None:
    path = ("properties", "age")
    assert [each.code for each in advise("profile@age > 30", CONDITION_SOURCES, {path: frozenset({"string"})})] == [
        "type_mismatch"
    ]
    assert advise("profile@age > 30", CONDITION_SOURCES, {path: frozenset({"string", "number"})}) == []


def test_a_path_that_was_looked_for_and_not_found_is_remarked_upon_once() -> None:
    text = "profile@paln exists OR profile@paln.tier exists OR profile@paln empty"
    seen = {path: frozenset[str]() for path in paths_to_look_up(text, CONDITION_SOURCES)}
    assert [(each.code, each.path) for each in advise(text, CONDITION_SOURCES, seen)] == [
        ("unknown_path", "profile@paln"),
        ("unknown_path", "profile@paln.tier"),
    ]
    assert advise(text, CONDITION_SOURCES, None) == []


def test_paths_are_looked_up_where_profiles_keep_them() -> None:
    text = 'profile@email exists AND user@data.0.x == 1 AND profile@properties.a == 1 AND profile@id == "a"'
    assert paths_to_look_up(text, CONDITION_SOURCES) == {
        ("email",),
        ("properties", "email"),
        ("properties", "data", "0", "x"),
        ("properties", "a"),
    }
    assert paths_to_look_up("event@properties.x exists", CONDITION_SOURCES) == set()


def test_a_malformed_condition_is_not_advised_upon() -> None:
    with pytest.raises(ConditionSyntaxError):
        advise("profile@", CONDITION_SOURCES)
