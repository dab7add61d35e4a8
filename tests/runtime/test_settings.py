"""What the environment may hold, and what is said when it is wrong."""

from __future__ import annotations

import base64
from ipaddress import ip_network

import pytest

from runtime.settings import DatabaseSettings, LaptopSettings, Settings, SettingsError, load_settings

KEY = base64.b64encode(b"k" * 32).decode()
OTHER_KEY = base64.b64encode(b"o" * 32).decode()
DATABASE_URL = "postgresql://sluice:pass%40word@db.example:5432/sluice"


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.setenv("DATABASE_URL", DATABASE_URL)
    monkeypatch.setenv("SLUICE_ENCRYPTION_KEYS", f"k1:{KEY}")
    return monkeypatch


def test_two_variables_are_enough(environment: pytest.MonkeyPatch) -> None:
    settings = load_settings()
    assert settings.database_url == DATABASE_URL
    assert settings.encryption_key_ring == {"k1": b"k" * 32}
    assert (settings.api_host, settings.api_port) == ("127.0.0.1", 8000)
    assert settings.payload_key_ring == {}
    assert settings.outbound_allow == ()


def test_migrations_need_only_the_database(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", DATABASE_URL)
    monkeypatch.delenv("SLUICE_ENCRYPTION_KEYS", raising=False)
    assert load_settings(DatabaseSettings).database_url == DATABASE_URL


def test_the_first_key_is_the_writing_one(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("SLUICE_PAYLOAD_KEYS", f"new:{OTHER_KEY},old:{KEY}")
    assert list(load_settings().payload_key_ring) == ["new", "old"]


def test_every_bad_variable_is_named_at_once_and_no_value_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "mysql://root:hunter22@db/x")
    monkeypatch.setenv("SLUICE_API_PORT", "eight thousand")
    monkeypatch.setenv("SLUICE_ENCRYPTION_KEYS", "k1:c2hvcnQtc2VjcmV0")
    monkeypatch.setenv("SLUICE_ADMIN_KEY", "tooshort")
    with pytest.raises(SettingsError) as caught:
        load_settings()
    message = str(caught.value)
    for name in ("DATABASE_URL", "SLUICE_API_PORT", "SLUICE_ENCRYPTION_KEYS", "SLUICE_ADMIN_KEY"):
        assert name in message
    assert "AES-256 needs 32" in message
    for value in ("hunter22", "eight thousand", "c2hvcnQtc2VjcmV0", "tooshort"):
        assert value not in message


def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DATABASE_URL", raising=False)
    monkeypatch.delenv("SLUICE_ENCRYPTION_KEYS", raising=False)
    with pytest.raises(SettingsError) as caught:
        load_settings()
    assert "DATABASE_URL: Field required" in str(caught.value)
    assert "SLUICE_ENCRYPTION_KEYS: Field required" in str(caught.value)


def test_an_empty_variable_counts_as_unset(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("SLUICE_PAYLOAD_KEYS", "")
    environment.setenv("SLUICE_ADMIN_KEY", "")
    settings = load_settings()
    assert settings.payload_keys is None
    assert settings.admin_key is None


def test_secrets_do_not_show_in_the_settings_printed(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("SLUICE_ADMIN_KEY", "the-admin-key-of-this-test")
    printed = repr(load_settings()) + str(load_settings())
    for secret in (KEY, "pass%40word", "the-admin-key-of-this-test"):
        assert secret not in printed


def test_every_secret_is_known_to_the_log_as_written_and_as_meant(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("SLUICE_ADMIN_KEY", "the-admin-key-of-this-test")
    environment.setenv("SLUICE_PAYLOAD_KEYS", f"new:{OTHER_KEY}")
    secrets = load_settings().secret_values
    assert set(secrets) == {"the-admin-key-of-this-test", "pass%40word", "pass@word", KEY, OTHER_KEY}


def test_the_outbound_list_tells_hosts_from_networks(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("SLUICE_OUTBOUND_ALLOW", "CRM.internal, 10.1.0.0/16 ,::1,192.168.0.7")
    settings = load_settings()
    assert settings.outbound_hosts == ("crm.internal",)
    assert settings.outbound_networks == tuple(map(ip_network, ("10.1.0.0/16", "::1", "192.168.0.7")))


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("postgres://u:p@h/db", "postgresql://u:p@h/db"),
        ("postgresql+asyncpg://u:p@h:6432/db", "postgresql://u:p@h:6432/db"),
        ("postgresql://u:p@h/db?sslmode=require", "postgresql://u:p@h/db?ssl=require"),
        ("postgresql:///db?host=/run/postgresql", "postgresql:///db?host=%2Frun%2Fpostgresql"),
    ],
)
def test_any_usual_form_of_a_database_url_is_taken(written: str, meant: str) -> None:
    settings = DatabaseSettings(database_url=written)
    assert settings.database_url == meant


@pytest.mark.parametrize("keys", ["", "k1", "k1:not base64!", f"k1:{KEY},k1:{OTHER_KEY}", f":{KEY}", f"a b:{KEY}"])
def test_a_key_ring_that_cannot_be_meant_is_refused(environment: pytest.MonkeyPatch, keys: str) -> None:
    with pytest.raises(ValueError, match="encryption_keys"):
        Settings(database_url=DATABASE_URL, encryption_keys=keys or ",")


def test_the_laptop_takes_the_standard_temporal_address_and_prefers_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEMPORAL_ADDRESS", "standard:7233")
    assert load_settings(LaptopSettings).temporal_address == "standard:7233"
    monkeypatch.setenv("SLUICE_TEMPORAL_ADDRESS", "ours:7233")
    assert load_settings(LaptopSettings).temporal_address == "ours:7233"
