"""What the notation takes and refuses, its canonical text, and its limits."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from domain.condition_patterns import PATTERN_LIMIT
from domain.condition_syntax import NESTING_LIMIT, TEXT_LIMIT
from domain.condition_text import NUMBER_LIMIT
from domain.condition_times import WRITTEN_DATE_LIMIT
from domain.conditions import Condition, ConditionEvaluationError, ConditionSyntaxError, parse

NOW = datetime(2024, 5, 1, 12, 0, tzinfo=UTC)

# (as written, canonical)
CANONICAL = [
    ("profile@a==1", "profile@a == 1"),
    ("profile@a = 1", "profile@a == 1"),
    ("profile@a!=1", "profile@a != 1"),
    ("profile@a =< 1", "profile@a <= 1"),
    ("profile@a => 1", "profile@a >= 1"),
    ("profile@a<1", "profile@a < 1"),
    ("profile@a between 1 and 2", "profile@a BETWEEN 1 AND 2"),
    ("profile@a not between 1 and 2", "profile@a NOT BETWEEN 1 AND 2"),
    (
        "profile@a BETWEEN 1 AND 2 AND profile@b BETWEEN 3 AND 4",
        "profile@a BETWEEN 1 AND 2 AND profile@b BETWEEN 3 AND 4",
    ),
    ("profile@a BETWEEN 1 AND 2 OR profile@b EMPTY", "profile@a BETWEEN 1 AND 2 OR profile@b EMPTY"),
    ("profile@a is null", "profile@a IS NULL"),
    ("profile@a Is Not Null", "profile@a IS NOT NULL"),
    ("profile@a exists", "profile@a EXISTS"),
    ("profile@a not\n exists", "profile@a NOT EXISTS"),
    ("profile@a empty", "profile@a EMPTY"),
    ("profile@a not empty", "profile@a NOT EMPTY"),
    ("profile@a contains 'x'", 'profile@a CONTAINS "x"'),
    ("profile@a not contains 'x'", 'profile@a NOT CONTAINS "x"'),
    ("profile@a starts\twith 'x'", 'profile@a STARTS WITH "x"'),
    ("profile@a not starts with 'x'", 'profile@a NOT STARTS WITH "x"'),
    ("profile@a ends with 'x'", 'profile@a ENDS WITH "x"'),
    ("profile@a not ends with 'x'", 'profile@a NOT ENDS WITH "x"'),
    ("profile@a in[1,2]", "profile@a IN [1, 2]"),
    ("profile@a not in [ profile@b , now() ]", "profile@a NOT IN [profile@b, now()]"),
    ("profile@a matches '^x'", 'profile@a MATCHES "^x"'),
    ("profile@a not matches '^x'", 'profile@a NOT MATCHES "^x"'),
    ("not(profile@a exists)", "NOT (profile@a EXISTS)"),
    ("NOT (NOT (profile@a EXISTS))", "NOT (NOT (profile@a EXISTS))"),
    ("((profile@a exists))", "profile@a EXISTS"),
    (
        "(profile@a exists and profile@b exists) or profile@c exists",
        "(profile@a EXISTS AND profile@b EXISTS) OR profile@c EXISTS",
    ),
    (
        "profile@a exists and not (profile@b exists or profile@c empty)",
        "profile@a EXISTS AND NOT (profile@b EXISTS OR profile@c EMPTY)",
    ),
    ("PROFILE@a exists", "profile@a EXISTS"),
    ("profile@['a'] exists", "profile@a EXISTS"),
    ("profile@a[\"b c\"]['d'].0 exists", 'profile@a["b c"].d.0 EXISTS'),
    ("profile@a['it\\'s'] exists", 'profile@a["it\'s"] EXISTS'),
    ('profile@["a.b"][""]["\\"]"] exists', 'profile@["a.b"][""]["\\"]"] EXISTS'),
    ("profile@_a.$b.c-d.été.имя exists", "profile@_a.$b.c-d.été.имя EXISTS"),
    ("profile@and exists AND profile@null exists", "profile@and EXISTS AND profile@null EXISTS"),
    ("now( ) > DateTime( 'x' )", 'now() > datetime("x")'),
    ("now.timezone.offset('a','b') - now() > 1d", 'now.timezone.offset("a", "b") - now() > 1d'),
    ("profile@a > now() -1d", "profile@a > now() - 1d"),
    ("profile@a == -1", "profile@a == -1"),
]
LITERALS = [
    ("null", "null"),
    ("NULL", "null"),
    ("True", "true"),
    ("FALSE", "false"),
    ("1", "1"),
    ("+1", "1"),
    ("-2.5", "-2.5"),
    (".5", "0.5"),
    ("-.5", "-0.5"),
    ("007", "7"),
    ("1.0", "1.0"),
    ("1e3", "1000.0"),
    ("1E-7", "1e-07"),
    ("1e22", "1e+22"),
    ("9" * 30, "9" * 30),
    ('"a"', '"a"'),
    ("'a'", '"a"'),
    ('""', '""'),
    ("''", '""'),
    (r'"a\"b"', r'"a\"b"'),
    ("'a\"b'", r'"a\"b"'),
    (r"'it\'s'", '"it\'s"'),
    (r'"\\ \/ \n \t \u00e9 \ud83d\ude00"', '"\\\\ / \\n \\t é 😀"'),
    ("'AND OR ( ) @'", '"AND OR ( ) @"'),
    ('"tab\there"', '"tab\\there"'),
    ("[1, 'a', true]", '[1, "a", true]'),
    ("[ ]", "[]"),
    ("[[1], [null]]", "[[1], [null]]"),
    ("[15m 5s, 1d]", "[15m 5s, 1d]"),
    ("15m 5s 2h 1d", "1d 2h 15m 5s"),
    ("90S", "1m 30s"),
    ("1.5h", "1h 30m"),
    ("0.25s", "0.25s"),
    ("-15m", "-15m"),
    ("0d", "0s"),
]


@pytest.mark.parametrize(("written", "canonical"), CANONICAL)
def test_every_form_has_one_canonical_text(written: str, canonical: str) -> None:
    assert str(parse(written)) == canonical
    assert parse(canonical) == parse(written)


@pytest.mark.parametrize(("written", "canonical"), LITERALS)
def test_every_literal_has_one_canonical_text(written: str, canonical: str) -> None:
    condition = parse(f"profile@a == {written}")

    assert str(condition) == f"profile@a == {canonical}"
    assert parse(str(condition)) == condition


@pytest.mark.parametrize("keyword", ["AND", "and", "And", "\nAND\r\n", "\tand\u00a0"])
def test_keywords_are_case_insensitive_and_stand_in_any_white_space(keyword: str) -> None:
    assert str(parse(f"profile@a EMPTY {keyword} profile@b EMPTY")) == "profile@a EMPTY AND profile@b EMPTY"


# (text, line, column, part of the message)
MALFORMED = [
    ("", 1, 1, "the condition is empty"),
    (" \n ", 1, 1, "the condition is empty"),
    ("profile@a == 1 AND profile@b == 2 OR profile@c == 3", 1, 35, "cannot be mixed without parentheses"),
    ("profile@a == 1 OR profile@b == 2\nAND profile@c == 3", 2, 1, "cannot be mixed without parentheses"),
    ("profile@a == 1 AND (profile@b == 2 OR profile@c == 3 AND profile@d == 4)", 1, 54, "cannot be mixed"),
    ("profile@a == 1 profile@b == 2", 1, 16, "expected the end or AND or OR, found 'profile'"),
    ("profile@a == 1 AND", 1, 19, "ends too early"),
    ("AND profile@a == 1", 1, 1, "AND joins two tests, and there is none before it"),
    ("profile@a == 1 AND or profile@b == 1", 1, 20, "or joins two tests"),
    ("profile@a", 1, 10, "ends too early; expected an operator"),
    ("profile@a ==", 1, 13, "ends too early"),
    ("profile@a == ==", 1, 14, "expected a function or a field or a value, found '='"),
    ("profile@a === 1", 1, 13, "found '='"),
    ("profile@a <> 1", 1, 12, "found '>'"),
    ("profile@a BETWEEN 1", 1, 20, "ends too early; expected AND"),
    ("profile@a BETWEEN 1 OR 2", 1, 21, "expected AND, found 'OR'"),
    ("profile@a IS 1", 1, 14, "found '1'"),
    ("profile@a IS EMPTY", 1, 14, "found 'EMPTY'"),
    ("profile@a STARTS 'x'", 1, 18, "expected WITH"),
    ("profile@a IN 1", 1, 14, "found '1'"),
    ("profile@a IN profile@b", 1, 14, "found 'profile'"),
    ("profile@a IN [1", 1, 16, 'expected "]"'),
    ("profile@a IN [1,]", 1, 17, "found ']'"),
    ("profile@a MATCHES profile@b", 1, 19, "found 'profile'"),
    ("profile@a == [profile@b]", 1, 15, "a list holds literals"),
    ("profile@a == [now()]", 1, 15, "a list holds literals"),
    ("profile@a IN [[profile@b]]", 1, 16, "a list holds literals"),
    ("now() EXISTS", 1, 1, "only a field can be tested with EXISTS"),
    ("now() - 1d NOT EXISTS", 1, 1, "only a field"),
    ("1 == profile@a", 1, 1, "begins with a field or a function call"),
    ("'a' CONTAINS profile@a", 1, 1, "begins with a field or a function call"),
    ("NOT profile@a EXISTS", 1, 5, "NOT stands before parentheses"),
    ("profile@a EXISTS AND NOT", 1, 25, "NOT stands before parentheses"),
    ("(profile@a EXISTS", 1, 18, 'ends too early; expected ")"'),
    ("profile@a EXISTS)", 1, 17, "expected the end, found ')'"),
    ("()", 1, 2, "found ')'"),
    ("foo@a == 1", 1, 1, 'no source "foo" here; known are: profile, event'),
    ("profile@a == 1 AND\n  profile@b == foo@a", 2, 16, 'no source "foo"'),
    ("profile@... EXISTS", 1, 1, "a whole object cannot be tested"),
    ("profile@a EXISTS AND event@... EXISTS", 1, 22, "a whole object cannot be tested"),
    ("profile@ EXISTS", 1, 1, "a field is written source@path"),
    ("profile.a == 1", 1, 1, "a field is written source@path"),
    ("profile == 1", 1, 1, "a field is written source@path"),
    ("profile@a == yes", 1, 14, "a field is written source@path"),
    ("profile@a. EXISTS", 1, 10, "a path is names with one dot between them"),
    ("profile@a..b EXISTS", 1, 10, "a path is names with one dot between them"),
    ("profile@.a EXISTS", 1, 1, "a field is written source@path"),
    ("profile@a[0] EXISTS", 1, 10, "found '['"),
    ("profile@a[b] EXISTS", 1, 10, "found '['"),
    ("profile@a€b EXISTS", 1, 1, 'write other names as ["a€b"]'),
    ("profile@a['\\q'] EXISTS", 1, 1, "an escape that JSON does not have"),
    ('profile@a == "x', 1, 14, "the string is not closed on its line"),
    ("profile@a == 'x\n'", 1, 14, "the string is not closed on its line"),
    ("profile@a == “x”", 1, 14, "straight quotes"),
    (r'profile@a == "\x"', 1, 14, "an escape that JSON does not have"),
    (r'profile@a == "\u12"', 1, 14, "an escape that JSON does not have"),
    (r'profile@a MATCHES "\d+"', 1, 19, 'a backslash itself is written "\\\\"'),
    (r'profile@a == "\ud800"', 1, 14, "half of a surrogate pair"),
    ("profile@a == '\ud800'", 1, 14, "half of a surrogate pair"),
    ("profile@a == 1.", 1, 14, "found '1'"),
    ("profile@a == 1.2.3", 1, 14, "found '1'"),
    ("profile@a == 12x", 1, 14, "found '12x'"),
    ("profile@a == 15M5", 1, 14, "found '15M5'"),
    ("profile@a == 1w", 1, 14, "found '1w'"),
    ("profile@a == 1e999", 1, 14, "the number is too large"),
    ("profile@a == 9999999999999d", 1, 14, "the duration is too long"),
    ("profile@a MATCHES '('", 1, 19, "not a regular expression"),
    (r"profile@a MATCHES '(a)\\1'", 1, 19, "not a regular expression"),
    ("profile@a MATCHES '(?=a)'", 1, 19, "not a regular expression"),
    ("profile@a MATCHES 'a{2000}'", 1, 19, "not a regular expression"),
    ("profile@a MATCHES '((\\\\pL{50}){20}){20}'", 1, 19, "not a regular expression"),
    ("profile@a == today()", 1, 14, "there is no function today()"),
    ("profile@a == now", 1, 14, "a function call name(…)"),
    ("profile@a == lowercase()", 1, 14, "lowercase() takes 1 argument(s), not 0"),
    ("profile@a == now(1, 2)", 1, 14, "now() takes 0 or 1 argument(s), not 2"),
    ("profile@a == now(", 1, 18, "ends too early"),
    ("profile@a - 1 > 2", 1, 13, "found '1'"),
    ("profile@a # comment", 1, 11, "found '#'"),
    ("profile@a == 1; DROP", 1, 15, "found ';'"),
    ("profile@a ANDprofile@b", 1, 11, "expected an operator"),
    ("\x00", 1, 1, "found"),
]


@pytest.mark.parametrize(("text", "line", "column", "message"), MALFORMED)
def test_a_malformed_text_is_refused_with_its_place_and_the_reason(
    text: str, line: int, column: int, message: str
) -> None:
    with pytest.raises(ConditionSyntaxError) as error:
        parse(text)

    assert message in error.value.message
    assert (error.value.line, error.value.column) == (line, column)


def evaluate(condition: Condition, text: str) -> bool:
    return condition.evaluate({"profile": {"a": text, "b": text}}, now=NOW)


def test_a_text_at_the_limit_is_taken_and_a_longer_one_is_refused_at_the_limit() -> None:
    start = 'profile@a == "'
    text = start + "x" * (TEXT_LIMIT - len(start) - 1) + '"'

    assert len(str(parse(text))) == TEXT_LIMIT
    with pytest.raises(ConditionSyntaxError, match="longer than 10,000 characters") as error:
        parse(text + " ")
    assert (error.value.line, error.value.column) == (1, TEXT_LIMIT + 1)


def test_a_text_whose_canonical_form_would_be_too_long_is_refused_too() -> None:
    test = "profile@a=1"
    text = " OR ".join([test] * (TEXT_LIMIT // len(test + " OR ")))

    assert len(text) < TEXT_LIMIT
    with pytest.raises(ConditionSyntaxError, match="longer than"):
        parse(text)


def test_brackets_at_the_limit_are_taken_and_the_first_deeper_one_is_refused() -> None:
    def nested(depth: int, opening: str = "(") -> str:
        return opening * depth + "profile@a EXISTS" + ")" * depth

    assert str(parse(nested(NESTING_LIMIT))) == "profile@a EXISTS"
    deepest = parse(nested(NESTING_LIMIT, "NOT("))
    assert parse(str(deepest)) == deepest
    assert evaluate(deepest, "x") is True
    with pytest.raises(ConditionSyntaxError, match="brackets nest deeper than 50") as error:
        parse(nested(NESTING_LIMIT + 1))
    assert error.value.column == NESTING_LIMIT + 1


@pytest.mark.parametrize(
    "text",
    [
        "(" * 10_000,
        "(" * 4_900 + "profile@a==1" + ")" * 4_900,
        "profile@a == " + "[" * 9_000,
        "profile@a == " + "lowercase(" * 900,
        "NOT (" * 1_900,
        "(" * 1_000_000,
        "x" * 1_000_000,
        'profile@a == "' + "\\" * 9_000,
        "profile@" + "a." * 4_900,
        "profile@" + '["' * 4_900,
        "profile@a" + " " * 9_000 + "x",
        "profile@a == " + "1s " * 3_000 + "x",
        "profile@a == " + "1" * 4_900 + "." + "1" * 4_900 + "x",
    ],
)
@pytest.mark.timeout(20)
def test_hostile_texts_are_refused(text: str) -> None:
    with pytest.raises(ConditionSyntaxError):
        parse(text)


@pytest.mark.timeout(20)
def test_as_many_tests_as_fit_are_parsed_and_evaluated() -> None:
    text = " OR ".join(f"profile@a == {number}" for number in range(500))

    assert evaluate(parse(text), "x") is False


def test_numbers_and_patterns_have_limits() -> None:
    assert parse(f"profile@a == {'9' * NUMBER_LIMIT}")
    with pytest.raises(ConditionSyntaxError, match="the number is longer than"):
        parse(f"profile@a == {'9' * (NUMBER_LIMIT + 1)}")
    assert parse(f"profile@a MATCHES '{'x' * PATTERN_LIMIT}'")
    with pytest.raises(ConditionSyntaxError, match="the pattern is longer than"):
        parse(f"profile@a MATCHES '{'x' * (PATTERN_LIMIT + 1)}'")


@pytest.mark.parametrize(
    "pattern", ["(a+)+$", "(a|aa)+$", "^(([a-z])+.)+[A-Z]([a-z])+$", "(.*)(.*)(.*)(.*)[^a]$", "(x+x+)+y"]
)
@pytest.mark.timeout(20)
def test_patterns_that_hang_other_engines_answer_on_a_megabyte(pattern: str) -> None:
    assert evaluate(parse(f"profile@a MATCHES {json.dumps(pattern)}"), "a" * 1_000_000 + "!") is (
        pattern == "(.*)(.*)(.*)(.*)[^a]$"
    )


@pytest.mark.timeout(20)
def test_a_pattern_that_would_take_long_on_a_megabyte_is_refused() -> None:
    condition = parse('profile@a MATCHES "(a?){500}a{500}b"')

    assert evaluate(condition, "a" * 1_000) is False
    with pytest.raises(ConditionEvaluationError, match="too long for this pattern"):
        evaluate(condition, "a" * 1_000_000)


A_LONG_LIST = [1] * 120_000  # about what fits into a profile
TOO_MUCH = {
    "searching a long list": "profile@list CONTAINS {0}2",
    "comparing long lists": "profile@list == profile@other",
    "comparing objects of long lists": "profile@object == profile@object_of_other",
    "a long list among others": "profile@list IN [profile@other, profile@list_{0}]",
    "a long text in another case": 'lowercase(profile@text) == "{0}"',
    "a pattern on a long text": 'profile@text MATCHES "(x+x+)+y{0}"',
}


@pytest.mark.timeout(20)
@pytest.mark.parametrize("test", TOO_MUCH.values(), ids=TOO_MUCH)
def test_as_many_tests_as_fit_cannot_each_run_over_a_whole_profile(test: str) -> None:
    other = [*A_LONG_LIST[1:], 2]
    profile = {"list": A_LONG_LIST, "other": other, "text": "İ" * 120_000}
    context = {"profile": {**profile, "object": {"a": A_LONG_LIST}, "object_of_other": {"a": other}}}
    one, many = (" OR ".join(test.format(n) for n in range(count)) for count in (2, 150))

    assert parse(one).evaluate(context, now=NOW) is False
    with pytest.raises(ConditionEvaluationError, match="too much to do"):
        parse(many).evaluate(context, now=NOW)
    # What one evaluation has used up is no loss of the next.
    assert parse(one).evaluate(context, now=NOW) is False


@pytest.mark.timeout(20)
@pytest.mark.parametrize("operator", ["==", "CONTAINS", "STARTS WITH", "ENDS WITH", "<"])
def test_megabyte_strings_are_compared(operator: str) -> None:
    text = "a" * 1_000_000
    condition = parse(f"profile@a {operator} profile@b")
    context = {"profile": {"a": text, "b": text[1:] + "b"}}

    assert condition.evaluate(context, now=NOW) is (operator == "<")


def test_a_long_text_is_no_written_date() -> None:
    condition = parse("datetime(profile@a) > now()")

    assert evaluate(condition, " " * 10_000 + "tomorrow") is True
    with pytest.raises(ConditionEvaluationError, match="not a time"):
        evaluate(condition, "1 day ago " * WRITTEN_DATE_LIMIT)


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    "text", ["1/" * 49, "1 " * 49, "in " * 33, "12:" * 33, "monday " * 14, "(" * 100, "1.1.1" * 20, "9" * 99]
)
def test_hostile_dates_are_refused(text: str) -> None:
    with pytest.raises(ConditionEvaluationError, match="not a time"):
        evaluate(parse("datetime(profile@a) > now()"), text)


def test_half_a_surrogate_pair_in_the_data_is_no_error() -> None:
    assert evaluate(parse('profile@a MATCHES "b$" AND profile@a CONTAINS "b" AND profile@a != "b"'), "\ud800b") is True
