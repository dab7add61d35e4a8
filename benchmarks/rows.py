"""The lines of a result, and the figures in them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Row", "listed", "percentile", "percentiles", "table"]


@dataclass(frozen=True, slots=True)
class Row:
    """`met` is None where there is no goal; `rounds` are the figures that the median is of, or what else explains it."""

    what: str
    median: str
    rounds: str = ""
    goal: str = ""
    met: bool | None = None

    def __str__(self) -> str:
        verdict = "" if self.met is None else "yes" if self.met else "**no**"
        return f"| {self.what} | {self.median} | {self.goal} | {verdict} | {self.rounds} |"


def table(rows: Sequence[Row]) -> str:
    return "\n".join(["| what | median | goal | met | rounds |", "|---|---|---|---|---|", *map(str, rows)])


def listed(figures: Sequence[float]) -> str:
    return ", ".join(f"{each:,.0f}" if each >= 10 else f"{each:.2f}" for each in figures)


def percentile(figures: Sequence[float], percent: float) -> float:
    """The smallest figure that so many percent are not above."""
    ordered = sorted(figures)
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]


def percentiles(seconds: Sequence[float]) -> str:
    """p50 / p99, in milliseconds."""
    return f"{percentile(seconds, 50) * 1000:.1f} / {percentile(seconds, 99) * 1000:.1f}"
