"""What every operator means for every kind of value, missing and null included: the tables of the notation as cases."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from uuid import UUID

import pytest

from domain.conditions import ConditionEvaluationError, parse

NOW = datetime(2024, 5, 1, 12, 0, tzinfo=UTC)
PROFILE: dict[str, object] = {
    "null": None,
    "zero": 0,
    "one": 1,
    "float": 1.0,
    "big": 10**400,
    "nan": float("nan"),
    "yes": True,
    "no": False,
    "text": "hello",
    "digits": "1",
    "empty": "",
    "blank": " ",
    "list": [1, "a", None, {"k": 1}],
    "pair": ["a", "b"],
    "nolist": [],
    "object": {"k": {"deep": [10, 20]}, "0": "zeroth", "a b": 1},
    "noobject": {},
    "time": datetime(2024, 5, 1, 10, 0, tzinfo=UTC),
    "naive": datetime(2024, 5, 1, 10, 0),  # noqa: DTZ001
    "berlin": datetime(2024, 5, 1, 12, 0, tzinfo=timezone(timedelta(hours=2))),
    "date": date(2024, 5, 1),
    "hour": timedelta(hours=1),
    "uuid": UUID(int=1),
    "_id": "u",
    "$set": "s",
    "naïve": "n",
    "имя": "i",
    "नाम": "h",
    "with-dash": "d",
}


def holds(text: str) -> bool:
    return parse(text).evaluate({"profile": PROFILE}, now=NOW)


def check(text: str, expected: bool | str) -> None:
    if isinstance(expected, bool):
        assert holds(text) is expected
    else:
        with pytest.raises(ConditionEvaluationError, match=expected):
            holds(text)


# (test of a field f, when f is missing, when f is null); a string is the evaluation error's message
MISSING_AND_NULL: list[tuple[str, bool | str, bool | str]] = [
    ("f == 1", False, False),
    ("f == null", False, True),
    ("f = null", False, True),
    ("f == [1, null]", False, True),
    ("f == [1]", False, False),
    ("f == profile@null", False, True),
    ("f == profile@nothere", False, False),
    ("f < 1", False, False),
    ("f <= 1", False, False),
    ("f =< 1", False, False),
    ("f > 1", False, False),
    ("f >= 1", False, False),
    ("f => 1", False, False),
    ("f <= null", False, False),
    ("f >= null", False, False),
    ('f < "a"', False, False),
    ("f < now()", False, False),
    ("f < 15m", False, False),
    ("f BETWEEN 0 AND 2", False, False),
    ("f BETWEEN null AND null", False, False),
    ("f IN [1, 2]", False, False),
    ("f IN [1, null]", False, True),
    ("f IN []", False, False),
    ('f CONTAINS "a"', False, "CONTAINS needs a string or a list, not null"),
    ('f STARTS WITH "a"', False, "STARTS WITH needs a string or a list, not null"),
    ('f ENDS WITH "a"', False, "ENDS WITH needs a string or a list, not null"),
    ('f MATCHES "a"', False, "MATCHES needs a string, not null"),
    ("f != 1", True, True),
    ("f != null", True, False),
    ("f != profile@nothere", True, True),
    ("f NOT BETWEEN 0 AND 2", True, True),
    ("f NOT IN [1]", True, True),
    ("f NOT IN [null]", True, False),
    ('f NOT CONTAINS "a"', True, "CONTAINS needs"),
    ('f NOT STARTS WITH "a"', True, "STARTS WITH needs"),
    ('f NOT ENDS WITH "a"', True, "ENDS WITH needs"),
    ('f NOT MATCHES "a"', True, "MATCHES needs"),
    ("f IS NULL", False, True),
    ("f IS NOT NULL", True, False),
    ("f EXISTS", False, True),
    ("f NOT EXISTS", True, False),
    ("f EMPTY", True, True),
    ("f NOT EMPTY", False, False),
]


@pytest.mark.parametrize(("test", "missing", "null"), MISSING_AND_NULL)
def test_missing_and_null_mean_what_the_table_says(test: str, missing: bool | str, null: bool | str) -> None:
    check(test.replace("f ", "profile@absent ", 1), missing)
    check(test.replace("f ", "profile@null ", 1), null)


@pytest.mark.parametrize("order", ["<", "<=", ">", ">="])
def test_a_missing_or_null_right_side_has_no_order(order: str) -> None:
    check(f"profile@one {order} profile@absent", False)
    check(f"profile@one {order} null", False)
    check(f"profile@text {order} profile@null", False)


@pytest.mark.parametrize(
    ("test", "expected"),
    [
        ("profile@one BETWEEN profile@absent AND 2", False),
        ("profile@one NOT BETWEEN profile@absent AND 2", True),
        ("profile@one BETWEEN 0 AND null", False),
        ("profile@text CONTAINS profile@absent", False),
        ("profile@text NOT CONTAINS profile@absent", True),
        ("profile@list STARTS WITH profile@absent", False),
        ("profile@text CONTAINS null", "needs a string, not null"),
        ("profile@list CONTAINS null", True),
        ("profile@pair CONTAINS null", False),
        ("profile@one IN [profile@absent, 1]", True),
        ("profile@one IN [profile@absent]", False),
        ("profile@absent IN [profile@absent]", False),
    ],
)
def test_a_missing_or_null_value_on_the_right_is_nothing_to_find(test: str, expected: bool | str) -> None:
    check(test, expected)


EQUAL = [
    ("profile@one", "1"),
    ("profile@one", "1.0"),
    ("profile@float", "1"),
    ("profile@yes", "1"),
    ("profile@yes", "true"),
    ("profile@one", "true"),
    ("profile@no", "0"),
    ("profile@zero", "false"),
    ("profile@zero", "-0"),
    ("profile@text", '"hello"'),
    ("profile@text", "'hello'"),
    ("profile@empty", '""'),
    ("profile@null", "null"),
    ("profile@nolist", "[]"),
    ("profile@pair", '["a", "b"]'),
    ("profile@hour", "1h"),
    ("profile@hour", "60m"),
    ("profile@hour", "59m 60s"),
    ("profile@time", "profile@naive"),
    ("profile@time", "profile@berlin"),
    ("profile@list", "profile@list"),
    ("profile@object", "profile@object"),
    ("profile@big", "profile@big"),
]
UNEQUAL = [
    ("profile@digits", "1"),
    ("profile@one", '"1"'),
    ("profile@yes", '"true"'),
    ("profile@zero", "null"),
    ("profile@empty", "null"),
    ("profile@no", "null"),
    ("profile@text", '"Hello"'),
    ("profile@pair", '["b", "a"]'),
    ("profile@pair", '["a"]'),
    ("profile@pair", '"a"'),
    ("profile@nolist", "profile@noobject"),
    ("profile@object", "profile@noobject"),
    ("profile@list", "profile@pair"),
    ("profile@hour", "61m"),
    ("profile@hour", "3600"),
    ("profile@time", "profile@date"),
    ("profile@time", '"2024-05-01T10:00:00Z"'),
    ("profile@nan", "profile@nan"),
    ("profile@uuid", "profile@uuid"),
    ("profile@uuid", '"00000000-0000-0000-0000-000000000001"'),
]


@pytest.mark.parametrize(("left", "right"), EQUAL)
def test_equal_values_are_equal_and_not_unequal(left: str, right: str) -> None:
    assert holds(f"{left} == {right}")
    assert holds(f"{left} = {right}")
    assert not holds(f"{left} != {right}")


@pytest.mark.parametrize(("left", "right"), UNEQUAL)
def test_unequal_values_are_unequal_and_not_equal(left: str, right: str) -> None:
    assert not holds(f"{left} == {right}")
    assert not holds(f"{left} = {right}")
    assert holds(f"{left} != {right}")


@pytest.mark.parametrize(
    ("test", "expected"),
    [
        ('profile@text == ["hello", 2]', True),
        ('profile@text == ["other", 2]', False),
        ('profile@text != ["hello"]', False),
        ("profile@one == [true]", True),
        ('profile@one == ["1"]', False),
        ("profile@text == []", False),
        ("profile@pair == ['a', 'b']", True),
        ("profile@pair == [['a', 'b']]", False),
        ("profile@object == [1]", False),
        ("profile@text == profile@pair", False),
    ],
)
def test_equality_with_a_list_is_membership_unless_the_field_is_a_list(test: str, expected: bool) -> None:
    check(test, expected)


# (smaller, larger) of one kind
ASCENDING = [
    ("profile@zero", "1"),
    ("profile@zero", "0.5"),
    ("profile@zero", ".5"),
    ("profile@no", "1"),
    ("profile@zero", "true"),
    ("profile@one", "profile@big"),
    ("profile@float", "profile@big"),
    ("profile@text", '"hellp"'),
    ("profile@text", '"hello "'),
    ("profile@empty", '"a"'),
    ("profile@text", '"é"'),
    ("profile@digits", '"10"'),
    ("profile@digits", '"2"'),
    ("uppercase(profile@text)", "profile@text"),
    ("profile@time", "now()"),
    ("profile@naive", "now()"),
    ("profile@berlin", "now()"),
    ("profile@date", "profile@time"),
    ("profile@hour", "61m"),
    ("profile@hour", "1d"),
    ("profile@hour", "now() - profile@time"),
]


@pytest.mark.parametrize(("small", "large"), ASCENDING)
def test_order_operators_agree_with_the_order(small: str, large: str) -> None:
    assert holds(f"{small} < {large} AND {small} <= {large} AND {small} =< {large} AND {small} != {large}")
    assert holds(f"NOT ({small} > {large} OR {small} >= {large} OR {small} => {large} OR {small} == {large})")
    assert holds(f"{small} BETWEEN {small} AND {large}")


@pytest.mark.parametrize(("left", "right"), [pair for pair in EQUAL if pair[0] in {"profile@one", "profile@time"}])
def test_equal_values_are_at_most_and_at_least_each_other(left: str, right: str) -> None:
    assert holds(f"{left} <= {right} AND {left} >= {right} AND {left} BETWEEN {right} AND {right}")
    assert not holds(f"{left} < {right} OR {left} > {right} OR {left} NOT BETWEEN {right} AND {right}")


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("profile@text", "1"),
        ("profile@one", '"1"'),
        ("profile@digits", "1"),
        ("profile@yes", '"true"'),
        ("profile@time", '"2024-05-01"'),
        ("profile@time", "1714557600"),
        ("profile@hour", "3600"),
        ("profile@hour", '"1h"'),
        ("profile@hour", "now()"),
        ("profile@list", "1"),
        ("profile@list", "[1]"),
        ("profile@list", "profile@list"),
        ("profile@object", "profile@object"),
        ("profile@object", "1"),
        ("profile@uuid", "profile@uuid"),
    ],
)
@pytest.mark.parametrize("order", ["<", "<=", "=<", ">", ">=", "=>"])
def test_values_that_have_no_common_order_are_an_evaluation_error(left: str, order: str, right: str) -> None:
    check(f"{left} {order} {right}", "cannot be ordered")


def test_nan_has_no_order_and_is_no_error() -> None:
    assert not holds("profile@nan < 1 OR profile@nan >= 1 OR profile@nan BETWEEN 0 AND 2")


@pytest.mark.parametrize(
    ("test", "expected"),
    [
        ("profile@one BETWEEN 1 AND 2", True),
        ("profile@one BETWEEN 0 AND 1", True),
        ("profile@one BETWEEN 1.5 AND 2", False),
        ("profile@one BETWEEN 2 AND 0", False),
        ("profile@one NOT BETWEEN 1 AND 2", False),
        ("profile@one NOT BETWEEN 2 AND 3", True),
        ('profile@text BETWEEN "a" AND "z"', True),
        ("profile@hour BETWEEN 15m 5s AND 2h", True),
        ('profile@time BETWEEN now.offset("-3h") AND now()', True),
        ("profile@one BETWEEN profile@zero AND profile@one", True),
        ('profile@one BETWEEN 0 AND "2"', "cannot be ordered"),
        ('profile@one BETWEEN 5 AND "2"', "cannot be ordered"),
        ('profile@one NOT BETWEEN "0" AND 2', "cannot be ordered"),
    ],
)
def test_between_includes_both_bounds_and_checks_both(test: str, expected: bool | str) -> None:
    check(test, expected)


@pytest.mark.parametrize(
    ("test", "expected"),
    [
        ('profile@text CONTAINS "ell"', True),
        ('profile@text CONTAINS ""', True),
        ('profile@text CONTAINS "ELL"', False),
        ('profile@text NOT CONTAINS "ell"', False),
        ('profile@text NOT CONTAINS "xyz"', True),
        ('profile@list CONTAINS "a"', True),
        ("profile@list CONTAINS true", True),
        ('profile@list CONTAINS "1"', False),
        ("profile@list CONTAINS 2", False),
        ("profile@list NOT CONTAINS 2", True),
        ("profile@nolist CONTAINS 1", False),
        ("profile@pair CONTAINS profile@pair.1", True),
        ('profile@text STARTS WITH "he"', True),
        ('profile@text STARTS WITH "lo"', False),
        ('profile@text NOT STARTS WITH "lo"', True),
        ('profile@text ENDS WITH "lo"', True),
        ('profile@text ENDS WITH "he"', False),
        ('profile@text NOT ENDS WITH "lo"', False),
        ('profile@pair STARTS WITH "a"', True),
        ('profile@pair STARTS WITH "b"', False),
        ('profile@pair ENDS WITH "b"', True),
        ('profile@nolist STARTS WITH "a"', False),
        ('profile@nolist ENDS WITH "a"', False),
        ("profile@text CONTAINS 1", "needs a string, not a number"),
        ("profile@text STARTS WITH true", "needs a string, not a bool"),
        ("profile@text ENDS WITH ['o']", "needs a string, not a list"),
    ],
)
def test_contains_and_its_kin_look_into_strings_and_lists(test: str, expected: bool | str) -> None:
    check(test, expected)


@pytest.mark.parametrize("operator", ["CONTAINS", "STARTS WITH", "ENDS WITH", "MATCHES"])
@pytest.mark.parametrize("field", ["one", "float", "yes", "no", "null", "object", "noobject", "time", "hour", "uuid"])
def test_looking_into_anything_else_is_an_evaluation_error(operator: str, field: str) -> None:
    check(f'profile@{field} {operator} "a"', f"{operator} needs")
    check(f'profile@{field} NOT {operator} "a"', f"{operator} needs")


@pytest.mark.parametrize(
    ("test", "expected"),
    [
        ("profile@one IN [1, 2]", True),
        ("profile@one IN [2, 3]", False),
        ("profile@one NOT IN [2, 3]", True),
        ("profile@one NOT IN [1]", False),
        ("profile@one IN [true]", True),
        ('profile@one IN ["1"]', False),
        ('profile@text IN [profile@one, lowercase("HELLO")]', True),
        ("profile@pair IN [['a', 'b']]", True),
        ("profile@pair IN ['a', 'b']", False),
        ("profile@one IN []", False),
        ("profile@one NOT IN []", True),
        ("lowercase(profile@text) IN ['hello']", True),
    ],
)
def test_in_is_membership_of_the_bracketed_values(test: str, expected: bool) -> None:
    check(test, expected)


@pytest.mark.parametrize(
    ("test", "expected"),
    [
        ('profile@text MATCHES "ell"', True),
        ('profile@text MATCHES "^ell"', False),
        ('profile@text MATCHES "^h.*o$"', True),
        ('profile@text MATCHES "^H"', False),
        ('profile@text MATCHES "(?i)^H"', True),
        (r'profile@text MATCHES "^\\w+$"', True),
        (r"profile@text MATCHES '^\\w{5}$'", True),
        ('profile@text NOT MATCHES "z"', True),
        ('profile@empty MATCHES "^$"', True),
        ("profile@имя MATCHES 'i'", True),
        ('profile@list MATCHES "a"', "MATCHES needs a string, not a list"),
    ],
)
def test_matches_finds_the_pattern_anywhere_unless_anchored(test: str, expected: bool | str) -> None:
    check(test, expected)


@pytest.mark.parametrize(
    ("field", "empty"),
    [
        ("absent", True),
        ("null", True),
        ("empty", True),
        ("nolist", True),
        ("noobject", True),
        ("zero", False),
        ("no", False),
        ("nan", False),
        ("blank", False),
        ("text", False),
        ("list", False),
        ("object", False),
        ("time", False),
        ("uuid", False),
    ],
)
def test_empty_is_nothing_to_see_and_never_a_value(field: str, empty: bool) -> None:
    assert holds(f"profile@{field} EMPTY") is empty
    assert holds(f"profile@{field} NOT EMPTY") is not empty


def test_empty_and_null_can_be_asked_of_a_function() -> None:
    assert holds("lowercase(profile@empty) EMPTY AND lowercase(profile@text) NOT EMPTY")
    assert holds("lowercase(profile@null) IS NULL AND lowercase(profile@text) IS NOT NULL")


@pytest.mark.parametrize("field", ["null", "zero", "no", "empty", "nolist", "noobject", "text"])
def test_a_field_exists_when_its_key_is_there_whatever_the_value(field: str) -> None:
    assert holds(f"profile@{field} EXISTS")
    assert not holds(f"profile@{field} NOT EXISTS")


@pytest.mark.parametrize(
    ("test", "expected"),
    [
        ("profile@object.k.deep.1 == 20", True),
        ("profile@object.k.deep.2 EXISTS", False),
        ("profile@object.k.deep.01 EXISTS", False),
        ("profile@object.k.deep.-1 EXISTS", False),
        ("profile@object.k.deep.x EXISTS", False),
        ("profile@object.k.deep.99999999999999999999999999 EXISTS", False),
        ("profile@object.0 == 'zeroth'", True),
        ("profile@list.3.k == 1", True),
        ("profile@text.0 EXISTS", False),
        ("profile@one.real EXISTS", False),
        ("profile@null.a EXISTS", False),
        ("profile@time.year EXISTS", False),
        ('profile@object["a b"] == 1', True),
        ("profile@object['a b'] == 1", True),
        ('profile@object["k"]["deep"].0 == 10', True),
        ('profile@object["k.deep"] EXISTS', False),
        ('profile@["text"] == "hello"', True),
        ("profile@_id == 'u' AND profile@$set == 's'", True),
        ("profile@naïve == 'n' AND profile@имя == 'i' AND profile@नाम == 'h'", True),
        ("profile@with-dash == 'd'", True),
        ("profile@__class__ EXISTS", False),
    ],
)
def test_a_path_leads_through_objects_by_name_and_lists_by_index(test: str, expected: bool) -> None:
    check(test, expected)


@pytest.mark.parametrize(
    ("test", "expected"),
    [
        ("profile@null IS NOT NULL AND profile@null > 1", False),
        ("profile@absent EXISTS AND lowercase(profile@absent) == 'a'", False),
        ("profile@absent NOT EXISTS OR lowercase(profile@absent) == 'a'", True),
        ("profile@one == 2 AND profile@text > 1", False),
        ("profile@one == 1 OR profile@text > 1", True),
        ("profile@one == 1 AND profile@text > 1", "cannot be ordered"),
        ("profile@one == 2 OR profile@text > 1", "cannot be ordered"),
        ("profile@text > 1 AND profile@one == 2", "cannot be ordered"),
        ("profile@text > 1 OR profile@one == 1", "cannot be ordered"),
        ("profile@one == 2 AND (profile@text > 1 OR profile@text > 2)", False),
        ("NOT (profile@text > 1)", "cannot be ordered"),
        ("profile@one == 1 OR profile@one == 2 OR profile@text > 1", True),
    ],
)
def test_and_and_or_short_circuit_from_the_left_for_errors_too(test: str, expected: bool | str) -> None:
    check(test, expected)


@pytest.mark.parametrize("left", [True, False])
@pytest.mark.parametrize("right", [True, False])
def test_and_or_and_not_are_the_logical_ones(left: bool, right: bool) -> None:
    a, b = f"profile@yes == {left}", f"profile@yes == {right}"

    assert holds(f"{a} AND {b}") is (left and right)
    assert holds(f"{a} OR {b}") is (left or right)
    assert holds(f"NOT ({a})") is not left
    assert holds(f"NOT ({a} AND {b})") is not (left and right)
    assert holds(f"{a} AND (NOT ({b}))") is (left and not right)


def test_values_nested_too_deep_to_compare_are_an_evaluation_error() -> None:
    deep: list[object] = []
    for _ in range(5_000):
        deep = [deep]
    other: list[object] = []
    for _ in range(5_000):
        other = [other]

    with pytest.raises(ConditionEvaluationError, match="nested deeper"):
        parse("profile@a == event@a").evaluate({"profile": {"a": deep}, "event": {"a": other}}, now=NOW)


def test_times_in_the_repeated_hour_of_a_clock_change_are_equal_when_they_are_the_same_instant() -> None:
    from zoneinfo import ZoneInfo

    twice = datetime(2024, 10, 27, 2, 30, tzinfo=ZoneInfo("Europe/Berlin"), fold=1)
    profile = {"local": twice, "utc": datetime(2024, 10, 27, 1, 30, tzinfo=UTC)}

    assert parse("profile@local == profile@utc").evaluate({"profile": profile}, now=NOW)


def test_a_time_whose_utc_equivalent_has_no_year_is_an_evaluation_error() -> None:
    edge = datetime.min.replace(tzinfo=timezone(timedelta(hours=1)))

    with pytest.raises(ConditionEvaluationError, match="outside the years"):
        parse("profile@edge < now()").evaluate({"profile": {"edge": edge}}, now=NOW)
