"""The worker's own figures, beside the SDK's on the same Prometheus endpoint."""

from __future__ import annotations

from temporalio.common import MetricCounter, MetricHistogramFloat, MetricMeter

from domain.deliveries import AttemptOutcome
from storage.attempts import Ended

ATTEMPTS = "sluice_attempts"
ATTEMPT_SECONDS = "sluice_attempt_seconds"


# Series whose attributes are kept ready, since making them costs more than counting: a hundred bytes each.
MAX_KEPT = 10_000


class Metering:
    """`meter` is the SDK runtime's; without one nothing is counted."""

    def __init__(self, meter: MetricMeter = MetricMeter.noop) -> None:
        self._attempts = meter.create_counter(ATTEMPTS, "Attempts that ended, by destination and outcome")
        self._seconds = meter.create_histogram_float(ATTEMPT_SECONDS, "How long the exchange took")
        self._kept: dict[tuple[str, str], tuple[MetricCounter, MetricHistogramFloat]] = {}

    def attempted(self, destination_id: str, ended: Ended) -> None:
        attempts, seconds = self._series(destination_id, ended.outcome)
        attempts.add(1)
        if ended.duration_ms is not None:
            seconds.record(ended.duration_ms / 1000)

    def _series(self, destination_id: str, outcome: AttemptOutcome) -> tuple[MetricCounter, MetricHistogramFloat]:
        key = (destination_id, outcome)
        if key not in self._kept:
            if len(self._kept) >= MAX_KEPT:
                self._kept.clear()
            labels = {"destination": destination_id}
            self._kept[key] = (
                self._attempts.with_additional_attributes({**labels, "outcome": str(outcome)}),
                self._seconds.with_additional_attributes(labels),
            )
        return self._kept[key]
