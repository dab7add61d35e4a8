"""What it costs to decide and to render, against the obvious alternatives in the same run. `python -m benchmarks.rules`

Conditions: ten terms, against cel-python on the same question. Rendering: the profile sync of docs/mappings.md, against
`json.loads(Template.render())` with plain python-liquid, which escapes nothing.
"""

from __future__ import annotations

import json
import platform
import statistics
import time
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import version
from typing import NamedTuple

import celpy
import liquid
from celpy.adapter import json_to_cel

from domain.bodies import Body, compile_body
from domain.conditions import parse
from domain.objects import scope

CONDITION_GOAL = 10.0  # times as fast as cel-python
RENDERING_GOAL = 2.0  # times the plain render's time, at most
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

TEMPLATE = {
    "profile": {
        "name": "{{user.properties.fullName}}",
        "email": "{{user.properties.email}}",
        "email_verified": "{{user.properties.emailVerified}}",
        "locale": "{{user.properties.locale}}",
    }
}
USER = {
    "id": "user-1",
    "userId": "user-1",
    "anonymousId": None,
    "email": "ada@example.com",
    "properties": {"fullName": "Ada Lovelace", "email": "ada@example.com", "emailVerified": True, "locale": "en-GB"},
    "computedProperties": {},
    "segments": ["trial"],
    "createdAt": "2024-04-01T08:00:00+00:00",
    "updatedAt": "2024-05-01T12:00:00+00:00",
}
RENDERED = {
    "profile": {"name": "Ada Lovelace", "email": "ada@example.com", "email_verified": "true", "locale": "en-GB"}
}


class Comparison(NamedTuple):
    """Microseconds a call, each the median of the rounds."""

    ours: float
    theirs: float


def conditions() -> Comparison:
    """One evaluation, parsed before; cel-python's own conversion of the values is not counted."""
    condition = parse(OURS, sources=("profile",))
    context = {"profile": PROFILE}
    environment = celpy.Environment(runner_class=celpy.CompiledRunner)  # the faster of its two
    program = environment.program(environment.compile(CEL))
    activation = {"profile": json_to_cel(PROFILE)}
    assert condition.evaluate(context, now=NOW)
    assert program.evaluate(activation)
    return interleaved(lambda: condition.evaluate(context, now=NOW), lambda: program.evaluate(activation))


def rendering() -> Comparison:
    """One rendering to JSON data, compiled before. Ours also makes the objects that a template sees."""
    body = Body(format="json", template=TEMPLATE)
    ours = compile_body(body)
    plain = liquid.Environment().from_string(json.dumps(TEMPLATE))
    assert ours.render(scope(user=USER)).value == RENDERED
    assert json.loads(plain.render(user=USER)) == RENDERED
    return interleaved(lambda: ours.render(scope(user=USER)), lambda: json.loads(plain.render(user=USER)))


def interleaved(one: Callable[[], object], other: Callable[[], object]) -> Comparison:
    """Measured in turns, so that a busy machine slows both."""
    rounds = [(microseconds(one), microseconds(other)) for _ in range(ROUNDS)]
    return Comparison(statistics.median(a for a, _ in rounds), statistics.median(b for _, b in rounds))


def microseconds(run: Callable[[], object]) -> float:
    started = time.perf_counter()
    for _ in range(REPEATS):
        run()
    return (time.perf_counter() - started) / REPEATS * 1e6


def table() -> str:
    decided, rendered = conditions(), rendering()
    faster, slower = decided.theirs / decided.ours, rendered.ours / rendered.theirs
    return "\n".join(
        [
            f"Python {platform.python_version()}, cel-python {version('cel-python')}, python-liquid {version('python-liquid')}",
            "",
            "| what | Sluice, µs | the other, µs | ratio | goal |",
            "|---|---|---|---|---|",
            f"| a condition of ten terms, against cel-python | {decided.ours:.1f} | {decided.theirs:.1f} "
            f"| {faster:.1f} times as fast | ≥ {CONDITION_GOAL:g} |",
            f"| the profile sync, against `json.loads(Template.render())` | {rendered.ours:.1f} | {rendered.theirs:.1f} "
            f"| {slower:.2f} of its time | ≤ {RENDERING_GOAL:g} |",
        ]
    )


if __name__ == "__main__":
    print(table())
