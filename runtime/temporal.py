"""The Temporal connection, found by the standard TEMPORAL_* environment or TOML profile, encrypted if keys are set."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections.abc import Iterable

import structlog
from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest, ListSearchAttributesRequest
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.converter import DataConverter, DefaultFailureConverterWithEncodedAttributes
from temporalio.envconfig import ClientConfigProfile, ClientConnectConfig
from temporalio.runtime import (
    LogForwardingConfig,
    LoggingConfig,
    PrometheusConfig,
    Runtime,
    TelemetryConfig,
    TelemetryFilter,
)
from temporalio.service import RPCError, RPCStatusCode

from domain.errors import Unavailable
from runtime.codec import AesGcmCodec
from runtime.settings import Settings, SettingsError

__all__ = ["connect", "data_converter", "register_search_attributes", "worker_runtime"]

_DEFAULT_ADDRESS = "localhost:7233"  # what every Temporal tool assumes
_RETRY_SECONDS = 0.5
_NOT_OURS_TO_CHANGE = (RPCStatusCode.PERMISSION_DENIED, RPCStatusCode.UNIMPLEMENTED)  # Temporal Cloud answers so

_log = structlog.get_logger("runtime.temporal")


async def connect(settings: Settings, *, runtime: Runtime | None = None, lazy: bool = False) -> Client:
    """Return a connected client; `client.namespace` is the namespace in force.

    `lazy` returns at once and connects at the first call, so that ingest works while Temporal is down; a worker needs
    a connected client. Raises Unavailable after `temporal_connect_seconds`, SettingsError on an unreadable profile.
    """
    config = _connect_config(settings)
    converter = data_converter(settings.payload_key_ring)
    loop = asyncio.get_running_loop()
    deadline = loop.time() + settings.temporal_connect_seconds
    while True:
        try:
            return await Client.connect(**config, data_converter=converter, runtime=runtime, lazy=lazy)
        except (RuntimeError, RPCError) as error:
            address = config["target_host"]
            if loop.time() > deadline:
                raise Unavailable(f"Temporal at {address} did not answer: {_reason(error)}") from error
            _log.warning("temporal_not_reachable_yet", address=address, reason=_reason(error))
        await asyncio.sleep(_RETRY_SECONDS)


def data_converter(key_ring: dict[str, bytes]) -> DataConverter:
    """Pydantic models as JSON; with keys, payloads and failure messages are encrypted."""
    if not key_ring:
        return pydantic_data_converter
    return dataclasses.replace(
        pydantic_data_converter,
        payload_codec=AesGcmCodec(key_ring),
        failure_converter_class=DefaultFailureConverterWithEncodedAttributes,
    )


async def register_search_attributes(client: Client, keyword_names: Iterable[str]) -> None:
    """Create those Keyword search attributes that the namespace lacks; harmless to repeat and to race."""
    wanted = dict.fromkeys(keyword_names, IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD)
    operator = client.operator_service
    try:
        present = await operator.list_search_attributes(ListSearchAttributesRequest(namespace=client.namespace))
        missing = {name: kind for name, kind in wanted.items() if name not in present.custom_attributes}
        if missing:
            request = AddSearchAttributesRequest(namespace=client.namespace, search_attributes=missing)
            await operator.add_search_attributes(request)
    except RPCError as error:
        if error.status in _NOT_OURS_TO_CHANGE:
            _log.warning("create_search_attributes_by_hand", names=list(wanted), type="Keyword", reason=error.message)
        elif error.status is not RPCStatusCode.ALREADY_EXISTS:
            raise


def worker_runtime(settings: Settings) -> Runtime:
    """The SDK runtime whose Prometheus endpoint carries the SDK's metrics and ours (`runtime.metric_meter`).

    The port is bound here. Raises SettingsError when it is in use.
    """
    if not settings.worker_metrics_port:
        return Runtime(telemetry=TelemetryConfig(logging=_core_log()))
    address = f"{settings.worker_metrics_host}:{settings.worker_metrics_port}"
    metrics = PrometheusConfig(bind_address=address, durations_as_seconds=True, unit_suffix=True)
    try:
        return Runtime(telemetry=TelemetryConfig(logging=_core_log(), metrics=metrics))
    except (RuntimeError, ValueError) as error:
        raise SettingsError(f"SLUICE_WORKER_METRICS_PORT: cannot serve metrics on {address}: {error}") from error


def _core_log() -> LoggingConfig:
    """What the SDK's core has to say goes through our logging: one line of JSON each, secrets masked."""
    levels = TelemetryFilter(core_level="WARN", other_level="ERROR")
    return LoggingConfig(filter=levels, forwarding=LogForwardingConfig(logging.getLogger("temporalio.core")))


def _connect_config(settings: Settings) -> ClientConnectConfig:
    try:
        config = ClientConfigProfile.load().to_client_connect_config()
    except RuntimeError as error:
        raise SettingsError(f"The Temporal profile (TEMPORAL_*) is not usable: {error}") from error
    config["target_host"] = settings.temporal_address or config.get("target_host") or _DEFAULT_ADDRESS
    return config


def _reason(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
