"""Properties of conditions over generated texts, data and plain noise."""

from __future__ import annotations

import math
import random
import re
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from domain.condition_functions import FUNCTIONS
from domain.condition_text import write_string
from domain.conditions import ConditionEvaluationError, ConditionSyntaxError, parse

NOW = datetime(2024, 5, 1, 12, 0, tzinfo=UTC)
NAMES = ["a", "b", "c", "_id", "$set", "with-dash", "имя", "0", "1"]
ORDERS = ["==", "=", "!=", "<", "<=", "=<", ">", ">=", "=>"]
NOISE = [
    *[
        "profile@a",
        "event@b.c",
        "profile@",
        "profile@...",
        "foo@a",
        "AND",
        "OR",
        "NOT",
        "and",
        "(",
        ")",
        "[",
        "]",
        ",",
        "-",
        ".",
        "@",
    ],
    *[
        "==",
        "=",
        "!=",
        "<",
        "=>",
        "BETWEEN",
        "IS",
        "NULL",
        "EXISTS",
        "EMPTY",
        "CONTAINS",
        "STARTS",
        "ENDS",
        "WITH",
        "IN",
        "MATCHES",
    ],
    *[
        "1",
        "-2.5",
        ".5",
        "1e9",
        "15m",
        "2h 1d",
        '"x"',
        "'y'",
        '"',
        "'",
        "\\",
        "true",
        "now()",
        "now",
        "datetime(",
        "lowercase",
        "length(",
    ],
    *["\n", "\t", " ", "\u00a0", "é", "\x00", "\ud800", "“", "[[", '["a b"]', "9" * 400],
]

words = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
strings = words.map(write_string) | words.map(
    lambda s: "'" + write_string(s)[1:-1].replace('\\"', '"').replace("'", "\\'") + "'"
)
numbers = st.integers(-(10**20), 10**20).map(str) | st.floats(allow_nan=False, allow_infinity=False).map(repr)
durations = st.lists(
    st.tuples(st.integers(0, 999), st.sampled_from("smhd")).map(lambda p: f"{p[0]}{p[1]}"), min_size=1, max_size=3
).map(" ".join)
scalars = st.sampled_from(["null", "true", "FALSE"]) | strings | numbers | durations
lists = st.recursive(
    st.lists(scalars, max_size=3).map(lambda items: f"[{', '.join(items)}]"),
    lambda inner: st.lists(scalars | inner, max_size=3).map(lambda items: f"[{','.join(items)}]"),
    max_leaves=4,
)
segments = st.sampled_from(NAMES).map(lambda name: f".{name}") | words.map(lambda name: f"[{write_string(name)}]")
fields = st.tuples(st.sampled_from(["profile", "EVENT"]), st.sampled_from(NAMES), st.lists(segments, max_size=3)).map(
    lambda parts: f"{parts[0]}@{parts[1]}{''.join(parts[2])}"
)


def calls(arguments: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    def of(name: str) -> st.SearchStrategy[str]:
        function = FUNCTIONS[name]
        return st.lists(arguments, min_size=function.fewest, max_size=function.most).map(
            lambda a: f"{name}({', '.join(a)})"
        )

    return st.sampled_from(sorted(FUNCTIONS)).flatmap(of)


parts = st.recursive(fields, lambda inner: calls(inner | scalars), max_leaves=3) | calls(scalars)
operands = parts | st.tuples(parts, parts | durations).map(" - ".join)
values = scalars | lists | operands
negations = st.sampled_from(["", "NOT "])
patterns = st.sampled_from(["^a", "b$", "[a-z]+", r"\d", "(x|y)*", ""]).map(write_string)
tests = st.one_of(
    st.tuples(operands, st.sampled_from(ORDERS), values).map(" ".join),
    st.builds("{} {}BETWEEN {} AND {}".format, operands, negations, values, values),
    st.builds("{} IS {}NULL".format, operands, negations),
    st.builds("{} {}EXISTS".format, fields, negations),
    st.builds("{} {}EMPTY".format, operands, negations),
    st.builds(
        "{} {}{} {}".format, operands, negations, st.sampled_from(["CONTAINS", "STARTS WITH", "ends  with"]), values
    ),
    st.builds("{} {}IN [{}]".format, operands, negations, st.lists(values, max_size=3).map(", ".join)),
    st.builds("{} {}MATCHES {}".format, operands, negations, patterns),
)
conditions = st.recursive(
    tests,
    lambda inner: st.one_of(
        st.builds(
            lambda word, items: word.join(f"({item})" for item in items),
            st.sampled_from([" AND ", "\nor "]),
            st.lists(inner, min_size=2, max_size=3),
        ),
        inner.map("NOT ({})".format),
        inner.map("(({}))".format),
    ),
    max_leaves=6,
)

times = st.datetimes(
    timezones=st.none() | st.just(UTC) | st.integers(-23, 23).map(lambda h: timezone(timedelta(hours=h)))
)
leaves = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(10**300, 10**400)
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["a", "-15m", "Europe/Berlin", "2024-05-01", "yesterday", "1714557600"])
    | times
    | st.dates()
    | st.timedeltas()
    | st.binary(max_size=3)
    | st.builds(object)
)
objects = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(NAMES) | words, inner, max_size=4)
        | st.tuples(inner, inner)
    ),
    max_leaves=10,
)
profiles = st.dictionaries(st.sampled_from(NAMES), objects, max_size=len(NAMES))
contexts = st.fixed_dictionaries({}, optional={"profile": profiles | objects, "event": profiles})

unhurried = settings(
    deadline=None, max_examples=300, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much]
)


@unhurried
@given(conditions)
@example('profile@a["\\u2028"] == "\\u0000\\u007f\\u0085"')
@example("profile@a == -0.0 AND profile@b == 5e-324")
@example("profile@a == -1d 1s")
def test_the_canonical_text_says_the_same_and_is_its_own_canonical_text(text: str) -> None:
    condition = parse(text)
    again = parse(str(condition))

    assert again == condition
    assert hash(again) == hash(condition)
    assert str(again) == str(condition)
    assert again.paths == condition.paths


@unhurried
@given(conditions, contexts)
def test_evaluation_answers_or_raises_an_evaluation_error_and_nothing_else(
    text: str, context: dict[str, object]
) -> None:
    condition = parse(text)
    try:
        answer: bool | None = condition.evaluate(context, now=NOW)
    except ConditionEvaluationError as error:
        assert 1 <= error.line <= text.count("\n") + 1
        assert 1 <= error.column <= len(text)
        answer = None

    assert answer in (True, False, None)
    assert outcome(str(condition), context) == answer


def outcome(text: str, context: dict[str, object]) -> bool | None:
    try:
        return parse(text).evaluate(context, now=NOW)
    except ConditionEvaluationError:
        return None


@unhurried
@given(conditions, contexts)
def test_explain_is_silent_exactly_when_the_condition_holds(text: str, context: dict[str, object]) -> None:
    answer = outcome(text, context)
    if answer is None:
        with pytest.raises(ConditionEvaluationError):
            parse(text).explain(context, now=NOW)
    else:
        refused = parse(text).explain(context, now=NOW)
        assert (refused is None) is answer
        if refused is not None:
            assert refused in text
            assert outcome(refused, context) is False


@unhurried
@given(conditions, contexts)
def test_not_turns_an_answer_round_and_leaves_an_error(text: str, context: dict[str, object]) -> None:
    answer = outcome(text, context)

    assert outcome(f"NOT ({text})", context) == (None if answer is None else not answer)


@unhurried
@given(tests, tests, contexts)
def test_and_and_or_are_those_of_truth_values_with_errors_from_the_left(
    one: str, other: str, context: dict[str, object]
) -> None:
    left, right = outcome(one, context), outcome(other, context)

    assert outcome(f"{one} AND {other}", context) == (right if left else left)
    assert outcome(f"{one} OR {other}", context) == (right if left is False else left)


NEGATED = [
    ("== {}", "!= {}"),
    ("BETWEEN {} AND {}", "NOT BETWEEN {} AND {}"),
    ("IN [{}]", "NOT IN [{}]"),
    ("CONTAINS {}", "NOT CONTAINS {}"),
    ("STARTS WITH {}", "NOT STARTS WITH {}"),
    ("ENDS WITH {}", "NOT ENDS WITH {}"),
    ("IS NULL", "IS NOT NULL"),
    ("EMPTY", "NOT EMPTY"),
]


@unhurried
@given(operands, st.sampled_from(NEGATED), values, contexts)
def test_each_not_form_is_the_negation_of_its_form(
    operand: str, forms: tuple[str, str], value: str, context: dict[str, object]
) -> None:
    plain, negated = (outcome(f"{operand} {form.format(value, value)}", context) for form in forms)

    assert negated == (None if plain is None else not plain)


comparable = st.integers() | st.floats(allow_nan=False) | st.booleans()


@given(st.tuples(comparable, comparable) | st.tuples(words, words) | st.tuples(st.timedeltas(), st.timedeltas()))
def test_of_two_values_of_one_kind_exactly_one_of_less_equal_and_greater_holds(pair: tuple[object, object]) -> None:
    context: dict[str, object] = {"profile": {"a": pair[0], "b": pair[1]}}
    answers = [outcome(f"profile@a {order} profile@b", context) for order in ("<", "==", ">")]

    assert sorted(map(bool, answers)) == [False, False, True]
    assert outcome("profile@a <= profile@b", context) is (answers[0] or answers[1])
    assert outcome("profile@a >= profile@b", context) is (answers[2] or answers[1])


def refusal(text: str) -> ConditionSyntaxError | None:
    """How `text` is refused, if it is; anything but a syntax error inside the text escapes."""
    try:
        condition = parse(text)
    except ConditionSyntaxError as error:
        lines = text.split("\n")
        assert 1 <= error.line <= len(lines)
        assert 1 <= error.column <= len(lines[error.line - 1]) + 1
        assert error.message
        return error
    assert parse(str(condition)) == condition
    return None


@unhurried
@given(st.text(max_size=60) | st.lists(st.sampled_from(NOISE), max_size=12).map(" ".join))
@example("profile@a == 1 AND\n")
@example("profile@\u200b EXISTS")
@example("profile@a == 1\x0b\x0c\u2028")
@example("profile@a == 1 \r\r AND")
def test_any_text_is_parsed_or_refused_at_a_place_inside_it(text: str) -> None:
    refusal(text)


@pytest.mark.parametrize("seed", range(4))
def test_a_thousand_damaged_conditions_are_parsed_or_refused(seed: int) -> None:
    source = random.Random(seed)
    refused = 0
    for _ in range(1_000):
        tokens = re.split(
            r"( )",
            'profile@a.b["c d"] >= datetime("2024-05-01") AND NOT (event@x IN [1, 15m 5s] OR event@y MATCHES "^a")',
        )
        for _ in range(source.randint(1, 4)):
            place = source.randrange(len(tokens))
            tokens[place : place + source.randint(0, 2)] = source.choices(NOISE, k=source.randint(0, 2))
        refused += refusal("".join(tokens)) is not None

    assert 0 < refused < 1_000


def test_generated_conditions_reach_every_outcome() -> None:
    """The generators above are of use only if they do not produce errors, or one answer, all the time."""
    seen: set[bool | None] = set()

    @unhurried
    @given(conditions, contexts)
    def collect(text: str, context: dict[str, object]) -> None:
        seen.add(outcome(text, context))

    collect()
    assert seen == {True, False, None}


def test_the_largest_float_is_a_literal() -> None:
    largest = math.nextafter(math.inf, 0)

    assert outcome(f"profile@a == {largest!r}", {"profile": {"a": largest}}) is True
