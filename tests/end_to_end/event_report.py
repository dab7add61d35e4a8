"""The figures of the crash tests of events, as Markdown in the file that EVENT_RELIABILITY_REPORT names."""

from __future__ import annotations

import os
from pathlib import Path

from tests.end_to_end.event_crash import EVENTS, EventCrash, Stage

VARIABLE = "EVENT_RELIABILITY_REPORT"
HEADER = (
    "| killed | stage | events | requests | duplicates | ready again after | all delivered after |\n"
    "|---|---|---:|---:|---:|---:|---:|\n"
)


class EventReport:
    """One row for each cell of the matrix, times in seconds from the kill; then `lines`, of the load test."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._rows: list[str] = []

    def add(self, crash: EventCrash, stage: Stage) -> None:
        cells = (
            crash.name,
            stage.name,
            str(EVENTS),
            str(len(stage.evidence.seen)),
            str(stage.evidence.duplicates),
            _seconds(crash.back_after_seconds),
            _seconds(stage.seconds),
        )
        self._rows.append(f"| {' | '.join(cells)} |\n")

    def write(self) -> None:
        if path := os.environ.get(VARIABLE):
            Path(path).write_text(HEADER + "".join(self._rows) + "".join(f"\n{line}\n" for line in self.lines))


def _seconds(value: float | None) -> str:
    return "never" if value is None else f"{value:.1f} s"


report = EventReport()
