"""The Python API of conditions: parse, evaluate, explain, paths, canonical text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta, timezone

import pytest

from domain import conditions
from domain.conditions import ConditionEvaluationError, ConditionSyntaxError, parse
from domain.errors import InvalidInput

NOW = datetime(2024, 5, 1, 12, 0, tzinfo=UTC)
BUSINESS = {"data": {"contact": {"email": {"business": "ada@example.com"}}}}


def holds(text: str, profile: object = None, **others: object) -> bool:
    context = {"profile": profile, **others}
    return parse(text).evaluate(context, now=NOW)


def test_the_published_example_holds_for_a_profile_with_a_business_address() -> None:
    condition = parse("profile@data.contact.email.business exists")

    assert condition.evaluate({"profile": BUSINESS}, now=NOW) is True
    assert condition.evaluate({"profile": {"data": {}}}, now=NOW) is False
    assert condition.paths == ("profile@data.contact.email.business",)
    assert str(condition) == "profile@data.contact.email.business EXISTS"


def test_the_public_names_are_the_documented_ones() -> None:
    assert set(conditions.__all__) == {"parse", "Condition", "ConditionSyntaxError", "ConditionEvaluationError"}
    assert all(hasattr(conditions, name) for name in conditions.__all__)


def test_profile_and_event_are_the_sources_unless_others_are_named() -> None:
    assert parse("profile@a == event@a").evaluate({"profile": {"a": 1}, "event": {"a": 1}}, now=NOW)
    with pytest.raises(ConditionSyntaxError, match='no source "session"'):
        parse("session@a == 1")


@pytest.mark.parametrize("source", ["payload", "session", "flow", "memory", "user"])
def test_any_tuple_of_sources_can_be_read(source: str) -> None:
    condition = parse(f"{source}@a.b == 1", sources=(source,))

    assert condition.evaluate({source: {"a": {"b": 1}}}, now=NOW)
    with pytest.raises(ConditionSyntaxError):
        parse("profile@a == 1", sources=(source,))


def test_source_names_are_case_insensitive_and_paths_are_not() -> None:
    assert holds("PROFILE@a == 1", {"a": 1})
    assert parse("Flow@a == 1", sources=("FLOW",)).evaluate({"flow": {"a": 1}}, now=NOW)
    assert not holds("profile@A == 1", {"a": 1})


def test_sources_may_be_given_as_a_list() -> None:
    assert parse("memory@a EXISTS", sources=["memory"]).paths == ("memory@a",)


def test_a_source_that_is_absent_or_null_has_only_missing_fields() -> None:
    condition = parse("event@name EXISTS")

    assert condition.evaluate({}, now=NOW) is False
    assert condition.evaluate({"event": None}, now=NOW) is False


def test_the_same_text_is_parsed_once() -> None:
    assert parse("profile@once == 1") is parse("profile@once == 1")
    assert parse("profile@once == 1", sources=("profile",)) is not parse("profile@once == 1")


def test_a_malformed_text_is_refused_every_time() -> None:
    for _ in range(2):
        with pytest.raises(ConditionSyntaxError):
            parse("profile@a ==")


def test_conditions_that_say_the_same_are_equal_however_they_are_written() -> None:
    one = parse("profile@a = 1 and ( ( profile@b => 'x' ) )")
    other = parse('PROFILE@a == 1\n\tAND profile@["b"] >= "x"')

    assert one == other
    assert hash(one) == hash(other)
    assert str(one) == str(other) == 'profile@a == 1 AND profile@b >= "x"'
    assert repr(one) == "parse('profile@a == 1 AND profile@b >= \"x\"')"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("profile@a == 1", "profile@a == 2"),
        ("profile@a == 1", "profile@a == 1.0"),
        ("profile@a == 1", "profile@a == true"),
        ("profile@a == 1", "profile@a != 1"),
        ("profile@a == 1", "event@a == 1"),
        ("profile@a IN [1]", "profile@a == [1]"),
        (
            "profile@a EMPTY AND (profile@b EMPTY AND profile@c EMPTY)",
            "profile@a EMPTY AND profile@b EMPTY AND profile@c EMPTY",
        ),
    ],
)
def test_conditions_that_are_written_to_differ_are_not_equal(one: str, other: str) -> None:
    assert parse(one) != parse(other)


def test_a_condition_is_not_equal_to_its_text() -> None:
    assert parse("profile@a == 1") != "profile@a == 1"


def test_paths_are_in_reading_order_and_each_once() -> None:
    condition = parse(
        "(profile@b == event@a OR lowercase(profile@c) IN [profile@d, profile@b]) "
        "AND NOT (profile@e BETWEEN profile@f AND now() - datetime(profile@g))"
    )

    expected = ["profile@b", "event@a", "profile@c", "profile@d", "profile@e", "profile@f", "profile@g"]
    assert list(condition.paths) == expected


def test_a_path_is_written_canonically() -> None:
    assert parse("PROFILE@['a'][\"b c\"].0 EXISTS").paths == ('profile@a["b c"].0',)


class PropertiesToo(Mapping[str, object]):
    """A user whose fields are looked up in its properties as well."""

    def __init__(self, root: dict[str, object], properties: dict[str, object]) -> None:
        self._all = {**properties, **root}

    def __getitem__(self, name: str) -> object:
        return self._all[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._all)

    def __len__(self) -> int:
        return len(self._all)


def test_any_mapping_is_an_object_and_any_sequence_a_list() -> None:
    user = PropertiesToo({"id": "u1", "roles": ("admin", "owner")}, {**BUSINESS})

    assert holds("profile@data.contact.email.business exists", user)
    assert holds('profile@roles.1 == "owner" AND profile@roles CONTAINS "admin"', user)
    assert holds("length(profile@roles) == 2 AND profile@roles NOT EMPTY", user)
    assert holds(
        "profile@me == event@me",
        {"me": user},
        event={"me": PropertiesToo({"id": "u1", "roles": ["admin", "owner"]}, BUSINESS)},
    )


@pytest.mark.parametrize(
    ("text", "refused"),
    [
        ("profile@a == 1", None),
        ("profile@a == 1 AND profile@b == 2", None),
        ("profile@a == 2", "profile@a == 2"),
        ("profile@a == 1 AND  profile@b  =  3 AND profile@c == 3", "profile@b  =  3"),
        ("profile@a == 1 AND (profile@b == 2 AND (profile@c == 4 AND profile@a == 7))", "profile@c == 4"),
        ("profile@a == 1 AND ( profile@b == 5 OR profile@c == 6 )", "profile@b == 5 OR profile@c == 6"),
        (
            "profile@a == 9 OR (profile@b == 2 AND profile@c == 9)",
            "profile@a == 9 OR (profile@b == 2 AND profile@c == 9)",
        ),
        ("profile@a == 1 AND not ( profile@b == 2 )", "not ( profile@b == 2 )"),
        ("profile@a NOT IN [1, 2]", "profile@a NOT IN [1, 2]"),
        ("(profile@a == 2)", "profile@a == 2"),
        ("profile@a == 1 AND\nprofile@b\n== 1", "profile@b\n== 1"),
    ],
)
def test_explain_names_the_smallest_part_that_refused(text: str, refused: str | None) -> None:
    context = {"profile": {"a": 1, "b": 2, "c": 3}}

    assert parse(text).explain(context, now=NOW) == refused
    assert parse(text).evaluate(context, now=NOW) is (refused is None)


def test_explain_short_circuits_and_fails_as_evaluate_does() -> None:
    context = {"profile": {"a": "x"}}

    assert parse("profile@b EXISTS AND profile@a > 1").explain(context, now=NOW) == "profile@b EXISTS"
    with pytest.raises(ConditionEvaluationError):
        parse("profile@a EXISTS AND profile@a > 1").explain(context, now=NOW)


def test_now_without_a_zone_is_utc_and_any_zone_is_taken() -> None:
    condition = parse('datetime("2024-05-01T12:00:00Z") == now()')

    assert condition.evaluate({}, now=NOW.replace(tzinfo=None))
    assert condition.evaluate({}, now=NOW.astimezone(timezone(timedelta(hours=5))))
    assert not condition.evaluate({}, now=NOW + timedelta(seconds=1))


def test_evaluation_changes_neither_the_context_nor_the_condition() -> None:
    context = {"profile": {"a": [1, {"b": 2}]}}
    condition = parse("profile@a.1.b == 2 AND profile@a CONTAINS 1")

    assert [condition.evaluate(context, now=NOW) for _ in range(2)] == [True, True]
    assert context == {"profile": {"a": [1, {"b": 2}]}}
    with pytest.raises(AttributeError):
        condition.other = 1  # type: ignore[attr-defined]


def test_errors_carry_line_column_code_and_one_detail() -> None:
    with pytest.raises(ConditionSyntaxError) as syntax:
        parse("profile@a == 1\n  AND profile@b ~ 2")
    with pytest.raises(ConditionEvaluationError) as evaluation:
        holds("profile@a == 1\n  AND profile@b > 2", {"a": 1, "b": "x"})

    assert (syntax.value.line, syntax.value.column, syntax.value.code) == (2, 17, "condition_syntax_error")
    assert (evaluation.value.line, evaluation.value.column, evaluation.value.code) == (2, 7, "condition_error")
    assert isinstance(syntax.value, InvalidInput)
    assert [(d.line, d.column) for d in evaluation.value.details] == [(2, 7)]


def test_an_evaluation_error_names_the_field_but_never_its_value() -> None:
    with pytest.raises(ConditionEvaluationError) as error:
        holds("profile@card > 1", {"card": "4111-1111"})

    assert "profile@card" in error.value.message
    assert "4111" not in error.value.message


def test_a_field_is_compared_with_the_other_field_and_not_with_itself() -> None:
    assert not holds("profile@a == event@a", {"a": 1}, event={"a": 2})
    assert holds("profile@a != event@a", {"a": 1}, event={"a": 2})
    assert holds("profile@a < event@a", {"a": 1}, event={"a": 2})
