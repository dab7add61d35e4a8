"""Secrets at rest: any key of the ring reads, the first one writes, and a sealed value belongs to one owner."""

from __future__ import annotations

import os

import pytest

from storage.secrets import SecretBox, SecretsUnreadable

OLD, NEW = os.urandom(32), os.urandom(32)
SECRETS = {"token": "planted-secret", "headers": {"X": "ü"}}


def test_what_is_sealed_opens_again() -> None:
    box = SecretBox({"old": OLD})
    assert box.open(box.seal(SECRETS, owner="crm"), owner="crm") == SECRETS


def test_nothing_shows_and_nothing_repeats() -> None:
    box = SecretBox({"old": OLD})
    first, second = box.seal(SECRETS, owner="crm"), box.seal(SECRETS, owner="crm")
    assert b"planted-secret" not in first
    assert first != second


def test_an_older_key_still_reads_and_the_first_one_writes() -> None:
    sealed = SecretBox({"old": OLD}).seal(SECRETS, owner="crm")
    box = SecretBox({"new": NEW, "old": OLD})
    assert box.open(sealed, owner="crm") == SECRETS
    assert (box.is_current(sealed), box.is_current(box.seal(SECRETS, owner="crm"))) == (False, True)


def test_a_value_moved_to_another_owner_does_not_open() -> None:
    box = SecretBox({"old": OLD})
    with pytest.raises(SecretsUnreadable, match="damaged or belong"):
        box.open(box.seal(SECRETS, owner="crm"), owner="chat")


def test_a_key_that_left_the_ring_is_named() -> None:
    sealed = SecretBox({"old": OLD}).seal(SECRETS, owner="crm")
    with pytest.raises(SecretsUnreadable, match="'old'"):
        SecretBox({"new": NEW}).open(sealed, owner="crm")


def test_another_key_under_the_same_name_does_not_open_it() -> None:
    sealed = SecretBox({"key": OLD}).seal(SECRETS, owner="crm")
    with pytest.raises(SecretsUnreadable):
        SecretBox({"key": NEW}).open(sealed, owner="crm")


def test_no_changed_byte_goes_unnoticed() -> None:
    box = SecretBox({"old": OLD})
    sealed = box.seal(SECRETS, owner="crm")
    for place in range(len(sealed)):
        damaged = sealed[:place] + bytes([sealed[place] ^ 1]) + sealed[place + 1 :]
        with pytest.raises(SecretsUnreadable):
            box.open(damaged, owner="crm")


@pytest.mark.parametrize("length", range(20))
def test_a_value_cut_short_does_not_open(length: int) -> None:
    box = SecretBox({"old": OLD})
    with pytest.raises(SecretsUnreadable):
        box.open(box.seal(SECRETS, owner="crm")[:length], owner="crm")


def test_a_ring_without_keys_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        SecretBox({})
