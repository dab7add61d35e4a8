"""The worker's own figures, beside the SDK's on the same Prometheus endpoint."""

from __future__ import annotations

from temporalio.common import MetricMeter

from storage.attempts import Ended

ATTEMPTS = "sluice_attempts"
ATTEMPT_SECONDS = "sluice_attempt_seconds"


class Metering:
    """`meter` is the SDK runtime's; without one nothing is counted."""

    def __init__(self, meter: MetricMeter = MetricMeter.noop) -> None:
        self._attempts = meter.create_counter(ATTEMPTS, "Attempts that ended, by destination and outcome")
        self._seconds = meter.create_histogram_float(ATTEMPT_SECONDS, "How long the exchange took")

    def attempted(self, destination_id: str, ended: Ended) -> None:
        labels = {"destination": destination_id}
        self._attempts.add(1, {**labels, "outcome": str(ended.outcome)})
        if ended.duration_ms is not None:
            self._seconds.record(ended.duration_ms / 1000, labels)
