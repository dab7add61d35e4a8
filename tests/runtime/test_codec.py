"""Encrypted payloads: what goes in comes out, with the right key only."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from temporalio.api.common.v1 import Payload

from domain.errors import BadRequest
from runtime.codec import AesGcmCodec, PayloadKeyUnknown, PayloadUnreadable, decode_json, encode_json

OLD, NEW = b"o" * 32, b"n" * 32


def a_payload(data: bytes = b'{"profile":"ada"}') -> Payload:
    return Payload(metadata={"encoding": b"json/plain"}, data=data)


@given(st.binary(max_size=4096), st.dictionaries(st.text(max_size=20), st.binary(max_size=50), max_size=4))
def test_any_payload_survives_the_round_trip(data: bytes, metadata: dict[str, bytes]) -> None:
    codec = AesGcmCodec({"k": OLD})
    payload = Payload(metadata={**metadata, "encoding": b"json/plain"}, data=data)
    assert codec.decrypt(codec.encrypt(payload)) == payload


async def test_the_converter_interface_keeps_the_order() -> None:
    codec = AesGcmCodec({"k": OLD})
    payloads = [a_payload(str(number).encode()) for number in range(5)]
    assert await codec.decode(await codec.encode(payloads)) == payloads


def test_nothing_of_the_content_is_visible_and_no_two_look_alike() -> None:
    codec = AesGcmCodec({"k": OLD})
    first, second = codec.encrypt(a_payload()), codec.encrypt(a_payload())
    assert b"ada" not in first.SerializeToString()
    assert first.metadata["encoding"] == b"binary/encrypted"
    assert first.metadata["encryption-key-id"] == b"k"
    assert first.data != second.data


def test_after_rotation_the_new_key_writes_and_the_old_one_still_reads() -> None:
    written_before = AesGcmCodec({"old": OLD}).encrypt(a_payload())
    rotated = AesGcmCodec({"new": NEW, "old": OLD})
    assert rotated.decrypt(written_before) == a_payload()
    assert rotated.encrypt(a_payload()).metadata["encryption-key-id"] == b"new"


def test_an_unknown_key_is_named_with_those_known() -> None:
    with pytest.raises(PayloadKeyUnknown, match="'old'; known: new"):
        AesGcmCodec({"new": NEW}).decrypt(AesGcmCodec({"old": OLD}).encrypt(a_payload()))


def test_a_payload_passed_off_under_another_key_id_is_refused_even_if_the_key_is_the_same() -> None:
    sealed = AesGcmCodec({"a": OLD}).encrypt(a_payload())
    sealed.metadata["encryption-key-id"] = b"b"
    with pytest.raises(PayloadUnreadable):
        AesGcmCodec({"b": OLD}).decrypt(sealed)


@pytest.mark.parametrize("position", [0, 11, 12, -1])
def test_one_changed_byte_is_noticed(position: int) -> None:
    codec = AesGcmCodec({"k": OLD})
    sealed = codec.encrypt(a_payload())
    damaged = bytearray(sealed.data)
    damaged[position] ^= 1
    sealed.data = bytes(damaged)
    with pytest.raises(PayloadUnreadable):
        codec.decrypt(sealed)


def test_a_payload_cut_short_is_refused() -> None:
    codec = AesGcmCodec({"k": OLD})
    sealed = codec.encrypt(a_payload())
    for length in (0, 5, 12, 20):
        with pytest.raises(PayloadUnreadable):
            codec.decrypt(Payload(metadata=sealed.metadata, data=sealed.data[:length]))


def test_what_was_never_encrypted_passes() -> None:
    assert AesGcmCodec({"k": OLD}).decrypt(a_payload()) == a_payload()


def test_no_key_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="at least one key"):
        AesGcmCodec({})


def test_the_body_the_web_ui_posts_is_decoded_in_the_same_shape() -> None:
    codec = AesGcmCodec({"k": OLD})
    plain = {"payloads": [{"metadata": {"encoding": _base64("json/plain")}, "data": _base64('"hello"')}]}
    sealed = encode_json(codec, plain)
    assert sealed["payloads"][0]["metadata"]["encoding"] == _base64("binary/encrypted")
    assert decode_json(codec, sealed) == plain


def test_an_empty_list_stays_a_list() -> None:
    assert decode_json(AesGcmCodec({"k": OLD}), {"payloads": []}) == {"payloads": []}


@pytest.mark.parametrize("body", [None, [], "x", 1, {"payloads": 1}, {"payloads": [1]}, {"payloads": [{"data": 7}]}])
def test_any_other_body_is_a_bad_request(body: Any) -> None:
    with pytest.raises(BadRequest):
        decode_json(AesGcmCodec({"k": OLD}), body)


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
