"""The JSON of batches: read as any JSON is, but a call that cannot be kept is alone with its fault."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.call_json import parse_batch
from api.json_bodies import parse_json
from domain.errors import SluiceError
from domain.profiles import MAX_DEPTH

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)
# Fragments that are no JSON, or JSON that cannot be kept, among others that can.
PIECES = st.sampled_from(
    [
        "NaN",
        "1e999",
        "1.5",
        "7",
        '"\\u0000"',
        '"\\ud83d\\ude00"',
        '"\\ud83d"',
        '{"a":1,"a":2}',
        '{"a":1}',
        "[]",
        "}",
        '"é"',
    ]
)


def outcome(parse: Any, body: bytes) -> Any:
    try:
        return parse(body)
    except SluiceError as error:
        return type(error), error.message


def nested(depth: int) -> str:
    return "[" * depth + "]" * depth


@given(VALUES, st.booleans())
def test_what_can_be_kept_is_read_as_any_body_is(value: Any, ascii_only: bool) -> None:
    body = json.dumps({"batch": value}, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    expected = outcome(parse_json, body)
    if isinstance(expected, dict):
        assert parse_batch(body) == expected


@given(st.text(max_size=60) | st.binary(max_size=60).map(lambda body: body.decode("latin-1")))
def test_no_body_makes_it_fail(text: str) -> None:
    for body in (text.encode("utf-8", "surrogatepass"), b'{"batch": [%b]}' % text.encode("utf-8", "surrogatepass")):
        outcome(parse_batch, body)


@given(st.lists(PIECES, max_size=6))
def test_each_call_is_kept_or_refused_as_if_it_were_alone(pieces: list[str]) -> None:
    body = ('{"batch": [' + ", ".join(pieces) + "]}").encode()
    found = outcome(parse_batch, body)
    if "}" in pieces:
        assert isinstance(found, tuple)
        return
    alone = [outcome(parse_json, piece.encode()) for piece in pieces]
    refused = [isinstance(each, SluiceError) for each in found["batch"]]
    assert refused == [isinstance(each, tuple) for each in alone]
    kept = [each for each in found["batch"] if not isinstance(each, SluiceError)]
    assert kept == [each for each in alone if not isinstance(each, tuple)]


@pytest.mark.parametrize("around", ['"x": NaN', '"x": "\\u0000"', '"x": {"a": 1, "a": 2}', f'"x": {nested(MAX_DEPTH)}'])
def test_what_is_wrong_around_the_calls_is_wrong_with_all_of_them(around: str) -> None:
    body = f'{{"batch": [1], {around}}}'.encode()
    error, _ = outcome(parse_json, body)
    assert outcome(parse_batch, body)[0] is error


def test_depth_counts_from_the_call_itself() -> None:
    for depth, kept in (
        (1, True),
        (MAX_DEPTH - 2, True),
        (MAX_DEPTH - 1, True),
        (MAX_DEPTH, True),
        (MAX_DEPTH + 1, False),
    ):
        [call] = parse_batch(f'{{"batch": [{nested(depth)}]}}'.encode())["batch"]
        assert isinstance(call, SluiceError) is not kept, depth


def test_a_number_that_python_will_not_read_costs_its_own_call() -> None:
    first, second = parse_batch(b'{"batch": [%b, 1]}' % (b"9" * 5_000))["batch"]
    assert isinstance(first, SluiceError)
    assert second == 1
