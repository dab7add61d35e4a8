"""Settings: the only reader of the environment.

    DatabaseSettings        what `python -m storage.migrations` needs
    └── Settings            what the API and the worker need
    LaptopSettings          what `make up` needs

Variables are `SLUICE_<FIELD>`, except the standard `DATABASE_URL` and `TEMPORAL_*`.
"""

from __future__ import annotations

import os
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, overload
from urllib.parse import unquote, urlsplit

from pydantic import AliasChoices, BeforeValidator, Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from runtime.database_url import postgresql_url
from runtime.keyring import parse_key_ring

__all__ = ["DatabaseSettings", "LaptopSettings", "Settings", "SettingsError", "inherited_environment", "load_settings"]

Network = IPv4Network | IPv6Network


def _split(value: object) -> object:
    return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


CommaSeparated = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)]
Port = Annotated[int, Field(ge=0, le=65535)]


class _Environment(BaseSettings):
    # An empty variable counts as unset: compose passes `${VAR:-}` for every optional one.
    model_config = SettingsConfigDict(
        env_prefix="SLUICE_", env_ignore_empty=True, populate_by_name=True, frozen=True, hide_input_in_errors=True
    )


class DatabaseSettings(_Environment):
    # A plain string, since storage takes one; its password is kept out of repr and of error messages.
    database_url: str = Field(repr=False, validation_alias="DATABASE_URL", description="PostgreSQL 15 or newer")
    database_pool_size: int = Field(
        20, ge=1, le=500, description="connections per process; replicas x this must stay below max_connections"
    )

    @field_validator("database_url")
    @classmethod
    def _one_form(cls, value: str) -> str:
        return postgresql_url(value)


class Settings(DatabaseSettings):
    # HTTP
    api_host: str = Field("127.0.0.1", description="loopback unless the operator says otherwise")
    api_port: Port = 8000
    admin_key: SecretStr | None = Field(
        None, min_length=16, description="registered as the first admin key; under 16 characters it could be guessed"
    )
    request_body_limit_bytes: int = Field(
        1_048_576, ge=1024, description="1 MiB holds a full batch (500 KB in the Segment spec) twice over"
    )

    # Secrets
    encryption_keys: SecretStr = Field(description="`key_id:base64,…` for credentials at rest; the first one writes")
    payload_keys: SecretStr | None = Field(None, description="`key_id:base64,…`; encrypts Temporal payloads when set")
    codec_trusted_origins: CommaSeparated = Field((), description="origins of the Temporal Web UI that may decode")

    # Outbound
    outbound_allow: CommaSeparated = Field((), description="hosts and CIDRs exempt from the private-address guard")

    # Temporal
    temporal_address: str | None = Field(None, description="overrides TEMPORAL_ADDRESS and the TOML profile")
    temporal_ui_url: str = Field("http://localhost:8233", description="where a browser finds the Web UI; for links")
    temporal_connect_seconds: float = Field(
        60, gt=0, description="a cluster that starts beside us needs up to a minute; longer is a wrong address"
    )

    # Worker
    worker_concurrency: int = Field(
        100, ge=1, le=2000, description="activities at once in one worker process; each may hold a database connection"
    )
    worker_pumps: int = Field(
        500, ge=1, le=5000, description="destinations one worker process sends events to at the same time"
    )
    worker_metrics_port: Port = Field(9464, description="Prometheus; 0 turns it off")
    worker_metrics_host: str = Field("127.0.0.1", description="loopback unless the operator says otherwise")
    graceful_shutdown_seconds: float = Field(
        40, ge=0, description="an attempt may take its 30 s timeout and must still be recorded"
    )

    # Logs
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["json", "console"] = "json"

    @field_validator("encryption_keys", "payload_keys")
    @classmethod
    def _key_ring(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not parse_key_ring(value.get_secret_value()):
            raise ValueError("must hold at least one `key_id:base64`")
        return value

    @property
    def encryption_key_ring(self) -> dict[str, bytes]:
        """Key id → 32 bytes; the first one writes."""
        return parse_key_ring(self.encryption_keys.get_secret_value())

    @property
    def payload_key_ring(self) -> dict[str, bytes]:
        """Key id → 32 bytes; the first one writes; empty when payloads are not encrypted."""
        return parse_key_ring(self.payload_keys.get_secret_value()) if self.payload_keys else {}

    @property
    def outbound_networks(self) -> tuple[Network, ...]:
        return tuple(network for network in map(_network, self.outbound_allow) if network)

    @property
    def outbound_hosts(self) -> tuple[str, ...]:
        return tuple(entry.lower() for entry in self.outbound_allow if _network(entry) is None)

    @property
    def secret_values(self) -> tuple[str, ...]:
        """Every secret of this process, for the log's redaction."""
        keys = (self.encryption_keys, self.payload_keys)
        material = [part.partition(":")[2] for key in keys if key for part in key.get_secret_value().split(",")]
        password = urlsplit(self.database_url).password or ""
        admin_key = self.admin_key.get_secret_value() if self.admin_key else ""
        return tuple(filter(None, (admin_key, password, unquote(password), *material)))


class LaptopSettings(_Environment):
    home: Path = Field(Path(".sluice"), description="keys, logs and both servers' data")
    api_port: Port = 8000
    temporal_port: Port = 7233
    temporal_ui_port: Port = 8233
    postgres_port: Port = Field(0, description="0 keeps the free port that was found at the first start")
    worker_metrics_port: Port = Field(0, description="0 takes 9464 or, if that is in use, any free port")
    admin_key: SecretStr | None = Field(None, min_length=16, description="generated once when not given")
    encryption_keys: SecretStr | None = Field(None, description="generated once when not given")
    payload_keys: SecretStr | None = None
    outbound_allow: CommaSeparated = ()
    temporal_ui_url: str | None = None
    database_url: str | None = Field(None, repr=False, validation_alias="DATABASE_URL")
    temporal_address: str | None = Field(
        None, validation_alias=AliasChoices("SLUICE_TEMPORAL_ADDRESS", "TEMPORAL_ADDRESS")
    )
    ready_seconds: float = Field(90, gt=0, description="a cold laptop's first start, initdb included, takes half of it")
    graceful_shutdown_seconds: float = Field(40, ge=0, description="as for the worker, which it is passed on to")


class SettingsError(SystemExit):
    """Start-up cannot go on. It is a SystemExit so that the process ends with these lines and no traceback."""


_Loaded = TypeVar("_Loaded", bound=_Environment)


@overload
def load_settings() -> Settings: ...
@overload
def load_settings(kind: type[_Loaded]) -> _Loaded: ...
def load_settings(kind: type[_Environment] = Settings) -> _Environment:
    """Read the environment. Raises SettingsError that lists every variable at fault by name and never shows a value."""
    try:
        return kind()
    except ValidationError as error:
        lines = sorted(
            f"  {_variable(kind, problem)}: {problem['msg'].removeprefix('Value error, ')}"
            for problem in error.errors()
        )
        raise SettingsError("The settings are not usable:\n" + "\n".join(lines)) from None


def inherited_environment() -> dict[str, str]:
    """The environment as a child process should start from."""
    return dict(os.environ)


def _variable(kind: type[_Environment], problem: Any) -> str:
    name = str(problem["loc"][0])
    field = kind.model_fields.get(name)
    alias = field.validation_alias if field else None
    if isinstance(alias, AliasChoices):
        return str(alias.choices[0])
    return name if name.isupper() else f"SLUICE_{name.upper()}"


def _network(entry: str) -> Network | None:
    try:
        return ip_network(entry, strict=False)
    except ValueError:
        return None
