"""The worker's figures, as Prometheus reads them from the SDK's endpoint."""

from __future__ import annotations

import urllib.request
from types import SimpleNamespace
from typing import Any

from temporalio.runtime import PrometheusConfig, Runtime, TelemetryConfig

from activities.metering import Metering
from runtime.laptop.ports import free_port


def test_attempts_are_counted_beside_the_sdks_own_figures() -> None:
    port = free_port()
    metrics = PrometheusConfig(bind_address=f"127.0.0.1:{port}", durations_as_seconds=True, unit_suffix=True)
    runtime = Runtime(telemetry=TelemetryConfig(metrics=metrics))  # its endpoint ends with it
    metering = Metering(runtime.metric_meter)
    for outcome, duration in (("delivered", 12.0), ("delivered", 13.0), ("skipped", None)):
        ended: Any = SimpleNamespace(outcome=outcome, duration_ms=duration)
        metering.attempted("crm", ended)
    page = urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics").read().decode()
    assert 'sluice_attempts{destination="crm",outcome="delivered",service_name="temporal-core-sdk"} 2' in page
    assert 'sluice_attempts{destination="crm",outcome="skipped",service_name="temporal-core-sdk"} 1' in page
    assert 'sluice_attempt_seconds_count{destination="crm",service_name="temporal-core-sdk"} 2' in page
