"""Strict JSON: what would be changed or lost on its way to the database is refused at the door."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.json_bodies import parse_json
from domain.errors import BadRequest, InvalidInput, SluiceError

NOT_JSON = {
    "nothing": b" ",
    "half an object": b'{"a":',
    "a comment": b"{} // no",
    "single quotes": b"{'a': 1}",
    "NaN": b'{"a": NaN}',
    "Infinity": b'{"a": Infinity}',
    "minus Infinity": b"[-Infinity]",
    "a number that is infinite": b'{"a": 1e999}',
    "a number of ten thousand digits": b"1" * 10_000,
    "a member twice": b'{"a": 1, "b": {"c": 1, "c": 2}}',
    "Latin-1": '"é"'.encode("latin-1"),
    "a byte order mark": b"\xef\xbb\xbf{}",
    "UTF-16": "{}".encode("utf-16"),
    "two documents": b"{} {}",
}


@pytest.mark.parametrize("case", NOT_JSON)
def test_it_is_no_json_with(case: str) -> None:
    with pytest.raises(BadRequest):
        parse_json(NOT_JSON[case])


def test_the_place_of_a_syntax_error_is_told() -> None:
    with pytest.raises(BadRequest) as refused:
        parse_json(b'{\n  "a": ?\n}')
    assert [(detail.line, detail.column) for detail in refused.value.details] == [(2, 8)]


UNSTORABLE = {
    "NUL in a value": (b'{"a": {"b": ["x", "\\u0000"]}}', "a.b.1"),
    "NUL in a name": (b'{"a": {"\\u0000": 1}}', "a"),
    "NUL beside other letters": ('{"a": "é\\u0000"}'.encode(), "a"),
    "half a surrogate pair": (b'{"a": "\\ud83d"}', "a"),
    "half a surrogate pair in a name": (b'{"\\ude00": 1}', ""),
}


@pytest.mark.parametrize("case", UNSTORABLE)
def test_it_cannot_be_stored_with(case: str) -> None:
    body, path = UNSTORABLE[case]
    with pytest.raises(InvalidInput) as refused:
        parse_json(body)
    assert [detail.path for detail in refused.value.details] == [path]
    json.dumps(refused.value.message).encode()


def nested(levels: int) -> bytes:
    return b"[" * levels + b"]" * levels


def test_thirty_two_levels_are_enough_and_one_more_is_too_many() -> None:
    parse_json(nested(32))
    for levels in (33, 1_000, 400_000):
        with pytest.raises(InvalidInput, match="deeper than 32"):
            parse_json(nested(levels))


def test_a_surrogate_pair_is_a_character() -> None:
    assert parse_json(b'"\\ud83d\\ude00"') == "😀"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(JSON)
def test_what_is_storable_json_is_read_as_it_is(value: object) -> None:
    text = json.dumps(value, ensure_ascii=False)
    if "\\u0000" not in text:
        assert parse_json(text.encode()) == value


@given(st.binary(max_size=200))
def test_nothing_else_than_a_refusal_comes_of_any_bytes(body: bytes) -> None:
    try:
        parse_json(body)
    except SluiceError as error:
        assert error.status in (400, 422)
