"""The time of a call by our clock, from what a device says by its own."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.call_times import corrected_time

NOW = datetime(2026, 11, 22, 9, 40, tzinfo=UTC)


def test_what_passed_between_making_and_sending_is_taken_off_the_time_of_receipt() -> None:
    assert corrected_time("2001-01-01T00:00:00Z", "2001-01-01T00:00:05.5Z", now=NOW) == NOW - timedelta(seconds=5.5)


def test_times_may_be_in_different_zones_or_in_none_which_is_utc() -> None:
    assert corrected_time("2001-01-01T02:00:00+02:00", "2001-01-01T00:01:00Z", now=NOW) == NOW - timedelta(minutes=1)
    assert corrected_time("2001-01-01T00:00:00", "2001-01-01T00:01:00Z", now=NOW) == NOW - timedelta(minutes=1)


def test_the_answer_is_in_utc_whatever_zone_now_is_in() -> None:
    elsewhere = NOW.astimezone(timezone(timedelta(hours=9)))
    found = corrected_time("2001-01-01T00:00:00Z", "2001-01-01T00:00:00Z", now=elsewhere)
    assert found == NOW
    assert found.isoformat() == "2026-11-22T09:40:00+00:00"


@pytest.mark.parametrize(
    ("original", "sent"),
    [
        (None, "2001-01-01T00:00:00Z"),
        ("2001-01-01T00:00:00Z", None),
        ("", "2001-01-01T00:00:00Z"),
        ("yesterday", "2001-01-01T00:00:00Z"),
        ("2001-01-01T00:00:00Z", "1763804400000"),
        ("2001-13-01T00:00:00Z", "2001-01-01T00:00:00Z"),
        ("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"),
        ("9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00+14:00"),
    ],
)
def test_without_two_times_that_can_be_read_there_is_none(original: str | None, sent: str | None) -> None:
    assert corrected_time(original, sent, now=NOW) is None


@given(st.text(max_size=40), st.text(max_size=40))
def test_no_text_can_make_it_fail(original: str, sent: str) -> None:
    corrected_time(original, sent, now=NOW)


@given(st.datetimes(timezones=st.timezones()), st.datetimes(timezones=st.timezones()))
def test_no_time_can_make_it_fail(original: datetime, sent: datetime) -> None:
    corrected_time(original.isoformat(), sent.isoformat(), now=NOW)
