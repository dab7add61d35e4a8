from __future__ import annotations

import base64
import html
import json
import re
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.masking import MAX_EXCERPT_CHARACTERS, Masker
from connectors.messages import OutboundRequest, OutboundResponse

SECRET = 'p4ss/w+rd-"ü"&<x>=~\\end'


def _basic(user: str) -> str:
    return base64.b64encode(f"{user}:{SECRET}".encode()).decode()


SPELLINGS = {
    "plain": SECRET,
    "percent-encoded": quote(SECRET, safe=""),
    "percent-encoded in lower case": re.sub("%..", lambda match: match[0].lower(), quote(SECRET, safe="")),
    "percent-encoded in a path": quote(SECRET),
    "form-encoded": quote_plus(SECRET),
    "json": json.dumps(SECRET)[1:-1],
    "json in unicode": json.dumps(SECRET, ensure_ascii=False)[1:-1],
    "json with escaped slashes": json.dumps(SECRET)[1:-1].replace("/", "\\/"),
    "html": html.escape(SECRET),
}


def _request(**parts: object) -> OutboundRequest:
    return OutboundRequest(**({"method": "POST", "url": "https://example.com/"} | parts))  # type: ignore[arg-type]


@pytest.mark.parametrize("spelling", SPELLINGS.values(), ids=SPELLINGS.keys())
def test_a_secret_is_masked_in_every_spelling_and_place(spelling: str) -> None:
    masker = Masker([SECRET])
    shown = masker.request(
        _request(
            url=f"https://example.com/x{spelling}y", headers=(("X-A", f"a {spelling} b"),), content=spelling.encode()
        )
    )
    assert shown == {
        "method": "POST",
        "url": "https://example.com/x***y",
        "headers": {"X-A": "a *** b"},
        "body": "***",
    }
    assert masker.text(f"cannot use {spelling}!") == "cannot use ***!"


@pytest.mark.parametrize("user", ["", "a", "ab", "abc"])
@pytest.mark.parametrize("alphabet", [base64.b64encode, base64.urlsafe_b64encode])
def test_a_secret_inside_base64_is_masked_wherever_it_starts(user: str, alphabet: object) -> None:
    encoded = alphabet(f"{user}:{SECRET}:more".encode()).decode()  # type: ignore[operator]
    shown = Masker([SECRET]).text(encoded)
    assert "***" in shown and len(shown.replace("***", "")) < len(encoded) - len(SECRET)


@given(st.text(min_size=4, max_size=40), st.text(max_size=20), st.text(max_size=20))
def test_no_secret_survives_in_a_text_around_it(secret: str, before: str, after: str) -> None:
    assert secret not in Masker([secret]).text(before + secret + after).replace("***", "") or secret in before + after


@pytest.mark.parametrize(
    "name",
    [
        "Authorization",
        "authorization",
        "Proxy-Authorization",
        "Cookie",
        "Set-Cookie",
        "X-Api-Key",
        "X-API-KEY",
        "apikey",
        "Api-Key",
        "X-Postmark-Server-Token",
        "X-Auth-Token",
        "X-Shopify-Access-Token",
        "X-Client-Secret",
        "X-Session",
    ],
)
def test_a_header_that_carries_credentials_by_its_name_is_always_masked(name: str) -> None:
    masker = Masker([])
    assert masker.request(_request(headers=((name, "abc"),)))["headers"] == {name: "***"}
    assert masker.response(OutboundResponse(200, {name.lower(): "abc"}))["headers"] == {name.lower(): "***"}


@pytest.mark.parametrize(
    "name", ["Content-Type", "Idempotency-Key", "webhook-id", "webhook-signature", "X-Author", "X-Tokenizer", "ETag"]
)
def test_a_header_that_only_looks_a_little_like_one_is_shown(name: str) -> None:
    assert Masker([]).request(_request(headers=((name, "abc"),)))["headers"] == {name: "abc"}


def test_a_repeated_header_is_shown_joined() -> None:
    shown = Masker([]).request(_request(headers=(("X-A", "1"), ("X-A", "2"))))
    assert shown["headers"] == {"X-A": "1, 2"}


def test_the_token_of_a_scheme_is_masked_when_it_stands_alone() -> None:
    masker = Masker(["Bearer abcdefgh12345678"])
    assert masker.text('{"error": "bad token abcdefgh12345678"}') == '{"error": "bad token ***"}'
    assert masker.text("Bearer of news") == "Bearer of news"


def test_a_secret_that_another_one_begins_with_leaves_no_rest() -> None:
    assert Masker(["abcd", "abcdefgh"]).text("abcdefgh abcd") == "*** ***"


def test_a_secret_below_four_characters_is_masked_only_where_it_is_a_whole_header_value() -> None:
    masker = Masker(["ab", ""])
    shown = masker.request(_request(headers=(("X-A", "ab"), ("X-B", "cab")), content=b"a table"))
    assert shown["headers"] == {"X-A": "***", "X-B": "cab"}
    assert shown["body"] == "a table"


def test_user_info_and_telling_parameters_are_masked_in_a_url() -> None:
    masker = Masker([])
    assert masker.request(_request(url="amqps://user:pass@host/"))["url"] == "amqps://***@host/"
    shown = masker.request(_request(url="https://h/?a=b&api_key=abc&Token=d#e"))["url"]
    assert shown == "https://h/?a=b&api_key=***&Token=***#e"


def test_a_body_that_holds_a_url_and_an_email_address_is_left_alone() -> None:
    body = '{"url":"https://example.com","email":"a@b.c"}'
    assert Masker([]).request(_request(content=body.encode()))["body"] == body


def test_a_long_body_is_an_excerpt_and_says_so() -> None:
    shown = Masker([]).response(OutboundResponse(200, {}, b"x" * (MAX_EXCERPT_CHARACTERS + 1)))
    assert shown["body"] == "x" * MAX_EXCERPT_CHARACTERS and shown["truncated"] is True


@pytest.mark.parametrize("filler", ["x", "ü", "😀"])
@pytest.mark.parametrize("shift", range(1, len(SECRET)))
def test_a_secret_across_the_cut_is_masked_whole(filler: str, shift: int) -> None:
    body = filler * (MAX_EXCERPT_CHARACTERS - shift) + SECRET + "tail" * 100
    shown = Masker([SECRET]).request(_request(content=body.encode()))["body"]
    assert shown.strip(filler).startswith("***"[: min(shift, 3)])
    assert SECRET[:shift] not in shown or shift < 2


def test_a_text_that_postgresql_would_refuse_is_made_storable() -> None:
    assert Masker([]).text("a\0b\ud800c") == "a\N{REPLACEMENT CHARACTER}b?c"


@given(st.binary(max_size=200))
def test_any_body_becomes_text_that_json_and_postgresql_take(content: bytes) -> None:
    shown = Masker(["secret"]).response(OutboundResponse(200, {}, content))
    assert "\0" not in json.loads(json.dumps(shown).encode())["body"]
