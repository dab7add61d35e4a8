"""What it costs to decide: our conditions against cel-python on the same question. `python -m benchmarks.rules`"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable
from datetime import UTC, datetime

import celpy
from celpy.adapter import json_to_cel

from domain.conditions import parse

GOAL = 10.0  # times as fast as cel-python
ROUNDS = 15  # the median of this many is reported
REPEATS = 400  # evaluations a round
NOW = datetime(2024, 5, 1, 12, 0, tzinfo=UTC)
PROFILE: dict[str, object] = {
    "plan": "pro",
    "age": 42,
    "score": 7.5,
    "active": True,
    "country": "DE",
    "tags": ["trial", "beta", "eu"],
    "email": "ada.lovelace@example.com",
    "name": "Ada Lovelace",
    "data": {"contact": {"email": {"business": "ada@example.com"}}},
}
# Ten terms, all true, so that neither side gains by stopping early.
OURS = """
    profile@plan == "pro" AND profile@age >= 18 AND profile@age < 65 AND profile@score > 5.5 AND profile@active == true
    AND profile@country IN ["DE", "AT", "CH"] AND profile@tags CONTAINS "beta"
    AND profile@email ENDS WITH "@example.com" AND profile@name STARTS WITH "Ada"
    AND profile@data.contact.email.business EXISTS
"""
CEL = """
    profile.plan == "pro" && profile.age >= 18 && profile.age < 65 && profile.score > 5.5 && profile.active == true
    && profile.country in ["DE", "AT", "CH"] && "beta" in profile.tags && profile.email.endsWith("@example.com")
    && profile.name.startsWith("Ada") && has(profile.data.contact.email.business)
"""


def conditions() -> dict[str, float]:
    """Microseconds to evaluate the ten terms once parsed; cel-python's own conversion of the values is not counted."""
    condition = parse(OURS, sources=("profile",))
    context = {"profile": PROFILE}
    environment = celpy.Environment(runner_class=celpy.CompiledRunner)  # the faster of its two
    program = environment.program(environment.compile(CEL))
    activation = {"profile": json_to_cel(PROFILE)}
    assert condition.evaluate(context, now=NOW)
    assert program.evaluate(activation)
    ours, theirs = interleaved(lambda: condition.evaluate(context, now=NOW), lambda: program.evaluate(activation))
    return {
        "ours_us": round(ours, 2),
        "cel_python_us": round(theirs, 2),
        "times_as_fast": round(theirs / ours, 1),
        "goal": GOAL,
    }


def interleaved(one: Callable[[], object], other: Callable[[], object]) -> tuple[float, float]:
    """The median microseconds of each, measured in turns, so that a busy machine slows both."""
    rounds = [(microseconds(one), microseconds(other)) for _ in range(ROUNDS)]
    return statistics.median(a for a, _ in rounds), statistics.median(b for _, b in rounds)


def microseconds(run: Callable[[], object]) -> float:
    started = time.perf_counter()
    for _ in range(REPEATS):
        run()
    return (time.perf_counter() - started) / REPEATS * 1e6


if __name__ == "__main__":
    print(json.dumps({"conditions": conditions()}, indent=2))
