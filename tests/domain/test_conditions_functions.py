"""The functions of conditions, and the times and durations they read."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from domain.condition_functions import FUNCTIONS
from domain.condition_times import read_duration, write_duration
from domain.conditions import ConditionEvaluationError, ConditionSyntaxError, parse

NOW = datetime(2024, 5, 1, 12, 0, tzinfo=UTC)  # a Wednesday
PROFILE: dict[str, object] = {
    "null": None,
    "one": 1,
    "yes": True,
    "mixed": "HeLLo",
    "sharp": "straße",
    "list": [1, 2, 3],
    "object": {"a": 1},
    "iso": "2024-05-01T10:00:00Z",
    "zoned": "2024-05-01T12:00:00+02:00",
    "naive": "2024-05-01T10:00:00",
    "unix": 1714557600,
    "fraction": 1714557600.5,
    "unixtext": "1714557600",
    "millis": 1714557600000,
    "infinite": float("inf"),
    "nan": float("nan"),
    "huge": 10**400,
    "time": datetime(2024, 5, 1, 10, 0, tzinfo=UTC),
    "offset": "-2h",
    "hour": timedelta(hours=1),
    "zone": "Europe/Berlin",
    "prose": "no date at all",
}


def holds(text: str, now: datetime = NOW) -> bool:
    return parse(text).evaluate({"profile": PROFILE}, now=now)


@pytest.mark.parametrize(
    "text",
    [
        'now() == datetime("2024-05-01T12:00:00Z")',
        "utcnow() == now()",
        'now("Europe/Berlin") == now()',
        'now("europe/berlin") == now()',
        "now(profile@zone) == now()",
        'now.timezone("America/New_York") == now()',
        'now.offset("-15m") == datetime("2024-05-01T11:45:00Z")',
        'now.offset("15m") == datetime("2024-05-01T12:15:00Z")',
        'now.offset("+1h 30m") == datetime("2024-05-01T13:30:00Z")',
        'now.offset("-1d") == datetime("2024-04-30T12:00:00Z")',
        "now.offset(-15m) == datetime('2024-05-01T11:45:00Z')",
        "now.offset(profile@offset) == profile@time",
        "now.offset(profile@hour) == datetime('2024-05-01T13:00:00Z')",
        'now.timezone.offset("Asia/Tokyo", "+1h") == now.offset("1h")',
        "datetime(profile@iso) == profile@time",
        "datetime(profile@zoned) == profile@time",
        "datetime(profile@naive) == profile@time",
        "datetime(profile@unix) == profile@time",
        "datetime(profile@unixtext) == profile@time",
        "datetime(profile@time) == profile@time",
        "datetime(profile@fraction) > profile@time",
        'datetime("2024-05-01") == datetime("20240501")',
        'datetime("2024-05-01 10:00") == profile@time',
        'datetime("-1") < datetime("0")',
        'datetime.offset(profile@iso, "2h") == now()',
        'datetime.offset(profile@iso, "-1d") == datetime("2024-04-30T10:00:00Z")',
        'datetime.timezone(profile@iso, "Asia/Tokyo") == profile@time',
        "datetime.from_timestamp(profile@unix) == profile@time",
        "datetime.from_timestamp(profile@unixtext) == profile@time",
        "datetime.from_timestamp(0) == datetime('1970-01-01')",
        "lowercase(profile@mixed) == 'hello'",
        "uppercase(profile@mixed) == 'HELLO'",
        "uppercase(profile@sharp) == 'STRASSE'",
        "lowercase(profile@null) IS NULL",
        "uppercase(profile@null) IS NULL",
        "length(profile@mixed) == 5",
        "length(profile@sharp) == 6",
        "length(profile@list) == 3",
        "length(profile@object) == 1",
        "length([]) == 0",
        "length('') == 0",
        "uppercase(lowercase(profile@mixed)) == 'HELLO'",
        "datetime.offset(datetime.offset(now(), '1h'), '-1h') == now()",
        "NOW() == UtcNow()",
        "datetime(profile@iso) BETWEEN now.offset('-1d') AND now()",
    ],
)
def test_functions_give_what_they_promise(text: str) -> None:
    assert holds(text)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("3 May 2024", "2024-05-03"),
        ("May 3, 2024", "2024-05-03"),
        ("3 May 2024 14:30", "2024-05-03T14:30"),
        ("3 May 2024 14:30 +02:00", "2024-05-03T12:30"),
        ("05/03/2024", "2024-05-03"),
        ("yesterday", "2024-04-30T12:00"),
        ("2 days ago", "2024-04-29T12:00"),
        ("in 3 hours", "2024-05-01T15:00"),
        ("10:30", "2024-05-01T10:30"),
    ],
)
def test_dates_that_people_write_are_read_with_now_as_their_base(written: str, meant: str) -> None:
    assert holds(f'datetime("{written}") == datetime("{meant}")')


def test_a_relative_date_moves_with_now() -> None:
    text = 'datetime("2 days ago") == datetime("1999-12-30") AND datetime("10:30") == datetime("2000-01-01T10:30")'

    assert holds(text, now=datetime(2000, 1, 1, tzinfo=UTC))
    assert not holds(text)


IN_ANOTHER_PLACE = """
from datetime import UTC, datetime
from domain.conditions import parse
text = 'datetime("2 days ago") == datetime("1999-12-30") AND datetime("3 May 2024 2pm") == datetime("2024-05-03 14:00")'
assert parse(text).evaluate({}, now=datetime(2000, 1, 1, tzinfo=UTC))
"""


def test_a_written_date_means_the_same_whatever_the_zone_and_locale_of_the_machine() -> None:
    environment = {
        **os.environ,
        "TZ": "Pacific/Auckland",
        "LC_ALL": "de_DE.UTF-8",
        "PYTHONPATH": str(Path(__file__).parents[2]),
    }

    subprocess.run([sys.executable, "-c", IN_ANOTHER_PLACE], env=environment, check=True)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("datetime(profile@prose) > now()", "is not a time"),
        ('datetime("") > now()', "is not a time"),
        ("datetime(profile@null) > now()", "null is not a time"),
        ("datetime(profile@yes) > now()", "a bool is not a time"),
        ("datetime(profile@list) > now()", "a list is not a time"),
        ("datetime(profile@object) > now()", "an object is not a time"),
        ("datetime(profile@hour) > now()", "a duration is not a time"),
        ("datetime(profile@millis) > now()", "not milliseconds"),
        ("datetime(profile@infinite) > now()", "no time"),
        ("datetime(profile@nan) > now()", "no time"),
        ("datetime(profile@huge) > now()", "no time"),
        ("datetime.from_timestamp(profile@huge) > now()", "no time"),
        ("datetime.from_timestamp(profile@iso) > now()", "unix seconds are needed"),
        ("datetime.from_timestamp(profile@yes) > now()", "not a bool"),
        ("datetime.from_timestamp(profile@null) > now()", "not null"),
        ('now("Mars/Olympus") > now()', "not a time zone"),
        ('now("") > now()', "not a time zone"),
        ('now("../../etc/passwd") > now()', "not a time zone"),
        ("now(1) > now()", "name of a time zone is needed"),
        ("now(null) > now()", "not null"),
        ('now.timezone("x") > now()', "not a time zone"),
        ('now.timezone.offset("x", "1h") > now()', "not a time zone"),
        ('datetime.timezone(now(), "x") > now()', "not a time zone"),
        ('now.offset("banana") > now()', "not a duration"),
        ('now.offset("15") > now()', "not a duration"),
        ('now.offset("") > now()', "not a duration"),
        ("now.offset(15) > now()", "is needed, not a number"),
        ("now.offset(profile@null) > now()", "not null"),
        ('now.offset("99999999999999d") > now()', "too long"),
        ('now.offset("4000000d") > now()', "outside the years"),
        ('now.offset("-4000000d") > now()', "outside the years"),
        ('datetime.offset("0001-01-01", "-1d") > now()', "outside the years"),
        ('datetime("0001-01-01T00:00:00+01:00") > now()', "outside the years"),
        ("lowercase(profile@one) == 'a'", "needs a string, not a number"),
        ("uppercase(profile@list) == 'a'", "needs a string, not a list"),
        ("length(profile@one) == 1", "needs a string, a list or an object"),
        ("length(profile@null) == 1", "not null"),
        ("now() - profile@one > 1h", "not a number from a time"),
        ("profile@iso - profile@iso > 1h", "use datetime"),
    ],
)
def test_what_a_function_cannot_take_is_an_evaluation_error(text: str, message: str) -> None:
    with pytest.raises(ConditionEvaluationError, match=message) as error:
        holds(text)

    assert (error.value.line, error.value.column) == (1, 1)


@pytest.mark.parametrize(
    ("text", "column"),
    [
        ("lowercase(profile@absent) == 'a'", 11),
        ("lowercase(uppercase(profile@absent)) == 'a'", 21),
        ("length(profile@absent) == 0", 8),
        ("length(profile@absent) EMPTY", 8),
        ("length(profile@absent) IS NULL", 8),
        ("datetime(profile@absent) != now()", 10),
        ("profile@one != length(profile@absent)", 23),
        ("now.offset(profile@absent) > now()", 12),
        ("now() - profile@absent > 1h", 9),
    ],
)
def test_a_missing_argument_is_an_evaluation_error_that_names_the_field(text: str, column: int) -> None:
    with pytest.raises(ConditionEvaluationError, match="profile@absent is missing") as error:
        holds(text)

    assert error.value.column == column


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_function_refuses_too_few_and_too_many_arguments_when_parsed(name: str) -> None:
    function = FUNCTIONS[name]
    for count in {function.fewest - 1, function.most + 1} - {-1}:
        with pytest.raises(ConditionSyntaxError, match=r"argument"):
            parse(f"{name}({', '.join(['1'] * count)}) == 1")


@pytest.mark.parametrize("name", ["today", "now.zone", "datetime.now", "len", "lower", "eval", "__import__"])
def test_an_unknown_function_is_a_syntax_error(name: str) -> None:
    with pytest.raises(ConditionSyntaxError, match="there is no function"):
        parse(f"profile@a == 1 AND {name}() == 1")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("now() - datetime(profile@iso) == 2h", True),
        ("now() - datetime(profile@iso) > 15m 5s", True),
        ("datetime(profile@iso) - now() < 0s", True),
        ("datetime(profile@iso) - now() == -2h", True),
        ("now() - 1d == now.offset('-1d')", True),
        ("now() - profile@hour == datetime('2024-05-01T11:00')", True),
        ("profile@time >= now() - 2h", True),
        ("profile@time > now() - 1h 59m", False),
        ("now() - profile@time BETWEEN 1h AND 3h", True),
    ],
)
def test_a_difference_of_two_times_is_a_duration(text: str, expected: bool) -> None:
    assert holds(text) is expected


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("15m", 900),
        ("5s", 5),
        ("2h", 7_200),
        ("1d", 86_400),
        ("15m 5s 2h 1d", 94_505),
        ("-15m", -900),
        ("+15m", 900),
        ("-1h 30m", -5_400),
        ("1.5h", 5_400),
        ("0.5s", 0.5),
        ("1h30m", 5_400),
        ("2 days", 172_800),
        ("1 week", 604_800),
        ("3 HOURS, 1 Minute", 10_860),
        (" 90 sec ", 90),
    ],
)
def test_durations_are_read_as_people_write_them(text: str, seconds: float) -> None:
    assert read_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("seconds", [0, 1, 61, 3_600, 86_400, 90_061, 0.5, 59.999999, -1, -0.25, -90_061.5])
def test_a_written_duration_reads_back_as_itself(seconds: float) -> None:
    length = timedelta(seconds=seconds)

    assert read_duration(write_duration(length)) == length
