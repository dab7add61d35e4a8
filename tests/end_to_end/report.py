"""The figures of the crash tests, as a Markdown table in the file that RELIABILITY_REPORT names."""

from __future__ import annotations

import os
from pathlib import Path

from tests.end_to_end.crash import PROFILES, Crash, Stage

VARIABLE = "RELIABILITY_REPORT"
HEADER = (
    "| killed | stage | profiles | requests | duplicates | ready again after | all delivered after |\n"
    "|---|---|---:|---:|---:|---:|---:|\n"
)


class Report:
    """One row for each cell. Times are seconds from the kill."""

    def __init__(self) -> None:
        self._rows: list[str] = []

    def add(self, crash: Crash, stage: Stage) -> None:
        cells = (
            crash.name,
            stage.name,
            str(PROFILES),
            str(len(stage.requests)),
            str(len(stage.duplicates)),
            _seconds(crash.back_after_seconds),
            _seconds(stage.seconds),
        )
        self._rows.append(f"| {' | '.join(cells)} |\n")

    def write(self) -> None:
        if path := os.environ.get(VARIABLE):
            Path(path).write_text(HEADER + "".join(self._rows))


def _seconds(value: float | None) -> str:
    return "never" if value is None else f"{value:.1f} s"


report = Report()
