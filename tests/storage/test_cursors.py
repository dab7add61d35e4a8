"""Cursors are opaque, belong to one list, and cannot be made up."""

from __future__ import annotations

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import InvalidInput
from storage.cursors import decode_cursor, decode_id_cursor, decode_number_cursor, encode_cursor, page_of


def encoded(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


def forgeries() -> list[str]:
    """Strings that no list may take for its cursor."""
    return [
        "",
        "x",
        "not base64 at all",
        "ünï",
        encoded(None),
        encoded([]),
        encoded(["deliveries"]),
        encoded(["another list", "x"]),
        encoded(["deliveries", 1]),
        encoded({"deliveries": "x"}),
        encoded(["deliveries", "not an id"]) + "x",
        "A" * 1025,
    ]


@pytest.mark.parametrize("forgery", forgeries())
def test_a_forged_cursor_is_refused(forgery: str) -> None:
    with pytest.raises(InvalidInput):
        decode_cursor("deliveries", forgery)


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=100))
def test_a_cursor_leads_back_to_where_it_was_made(position: str) -> None:
    assert decode_cursor("kind", encode_cursor("kind", position)) == position


def test_a_cursor_is_good_for_its_own_list_only() -> None:
    with pytest.raises(InvalidInput):
        decode_cursor("keys", encode_cursor("deliveries", "x"))


@pytest.mark.parametrize("position", ["", "x", "1; drop table", "00000000-0000-0000-0000-00000000000g"])
def test_where_an_id_belongs_nothing_else_is_taken(position: str) -> None:
    with pytest.raises(InvalidInput):
        decode_id_cursor("keys", encode_cursor("keys", position))


@pytest.mark.parametrize("position", ["", "-1", "1.5", "9999999999", "٣"])
def test_where_a_number_belongs_nothing_else_is_taken(position: str) -> None:
    with pytest.raises(InvalidInput):
        decode_number_cursor("revisions", encode_cursor("revisions", position))


def test_the_last_page_has_no_next_one() -> None:
    assert page_of("kind", ["a", "b"], 2, str).next_cursor is None
    first = page_of("kind", ["a", "b", "c"], 2, str)
    assert (first.data, first.next_cursor) == (["a", "b"], encode_cursor("kind", "b"))
