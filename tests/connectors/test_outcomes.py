from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.messages import OutboundResponse
from connectors.outcomes import MAX_RETRY_AFTER_SECONDS, classify_by_status, classify_error
from domain.errors import AddressRefused, DeliveryError, NetworkError, RenderError

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)

RETRIED = {408, 423, 425, 429}


@pytest.mark.parametrize("status", [*range(100, 600), 0, 42, 600, 999])
def test_every_status_has_the_outcome_that_the_rule_names(status: int) -> None:
    if 200 <= status < 300:
        expected = "delivered"
    elif 400 <= status < 500 and status not in RETRIED:
        expected = "definitive"
    else:
        expected = "retry"
    outcome = classify_by_status(OutboundResponse(status), now=NOW)
    assert (outcome.kind, outcome.code) == (expected, f"http_{status}")


def test_the_message_is_the_status_in_words() -> None:
    assert classify_by_status(OutboundResponse(503), now=NOW).message == "503 Service Unavailable"
    assert classify_by_status(OutboundResponse(599), now=NOW).message == "599"


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("0", 0.0),
        ("7", 7.0),
        (" 120 ", 120.0),
        ("1.5", 1.5),
        ("-5", None),
        ("", None),
        ("soon", None),
        ("1e3", None),
        ("inf", None),
        ("nan", None),
        ("٣", None),
        ("9" * 400, MAX_RETRY_AFTER_SECONDS),
        ("86401", MAX_RETRY_AFTER_SECONDS),
        (format_datetime(NOW + timedelta(seconds=90), usegmt=True), 90.0),
        (format_datetime(NOW - timedelta(seconds=90), usegmt=True), 0.0),
        (format_datetime(NOW + timedelta(days=400), usegmt=True), MAX_RETRY_AFTER_SECONDS),
        ("Sun, 01 Mar 2026 13:02:00 +0100", 120.0),
        ("Sunday, 01-Mar-26 12:02:00 GMT", 120.0),
        ("Sun Mar  1 12:02:00 2026", 120.0),
        ("Sun, 99 Mar 2026 12:02:00 GMT", None),
    ],
)
def test_retry_after_is_seconds_or_a_date_and_never_more_than_a_day(header: str, seconds: float | None) -> None:
    response = OutboundResponse(429, {"retry-after": header})
    assert classify_by_status(response, now=NOW).retry_after_seconds == seconds


@pytest.mark.parametrize("status", [301, 408, 429, 500, 503])
def test_retry_after_counts_on_every_retryable_answer(status: int) -> None:
    assert classify_by_status(OutboundResponse(status, {"retry-after": "5"}), now=NOW).retry_after_seconds == 5.0


@pytest.mark.parametrize("status", [200, 202, 400, 404])
def test_retry_after_means_nothing_on_an_answer_that_is_not_retried(status: int) -> None:
    assert classify_by_status(OutboundResponse(status, {"retry-after": "5"}), now=NOW).retry_after_seconds is None


@given(st.integers(), st.text())
def test_no_answer_makes_the_rule_fail(status: int, header: str) -> None:
    outcome = classify_by_status(OutboundResponse(status, {"retry-after": header}), now=NOW)
    wait = outcome.retry_after_seconds
    assert wait is None or 0 <= wait <= MAX_RETRY_AFTER_SECONDS


@pytest.mark.parametrize("kind", ["connect_failed", "dns_failed", "tls_failed", "timeout", "connection_reset"])
def test_a_network_failure_is_retried_and_named_by_its_kind(kind: str) -> None:
    outcome = classify_error(NetworkError("no luck", kind=kind))
    assert (outcome.kind, outcome.code, outcome.message) == ("retry", kind, "no luck")


def test_a_refused_address_is_definitive() -> None:
    outcome = classify_error(AddressRefused("10.0.0.1 is private"))
    assert (outcome.kind, outcome.code) == ("definitive", "address_refused")


def test_what_could_not_be_rendered_or_built_is_definitive() -> None:
    assert classify_error(RenderError("bad", 1, 2)).kind == "definitive"
    assert classify_error(DeliveryError("bad")).kind == "definitive"
