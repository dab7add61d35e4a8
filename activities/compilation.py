"""A destination's declaration, checked and compiled: what a draft is refused by, and what deliveries run on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from connectors.base import Connector
from connectors.validation import validated
from domain.conditions import Condition, parse
from domain.destinations import DestinationSpec
from domain.errors import ConditionSyntaxError, ErrorDetail, InvalidInput
from domain.mappings import CONDITION_SOURCES, CompiledMapping, Inputs, compile_mapping
from domain.mappings import Mapping as MappingSpec
from domain.objects import Scope

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class CompiledDestination:
    """`mappings` by id, in the order in which they were written, disabled ones included."""

    spec: DestinationSpec
    connector: Connector
    settings: Any
    prerequisite: Condition | None
    mappings: dict[str, CompiledMapping]

    def false_prerequisite(self, scope: Scope, *, now: datetime) -> str | None:
        """The part of the prerequisite that does not hold, or None if all does. Raises ConditionEvaluationError."""
        if self.prerequisite is None:
            return None
        context = {"profile": scope["user"], "user": scope["user"], "event": scope.get("event") or {}}
        if self.prerequisite.evaluate(context, now=now):
            return None
        return self.prerequisite.explain(context, now=now) or str(self.prerequisite)


def compile_destination(spec: DestinationSpec, connector: Connector) -> CompiledDestination:
    """Raises InvalidInput that names every mistake at once, each with its path, line and column."""
    mistakes: list[ErrorDetail] = []
    settings = _attempted(mistakes, lambda: validated(connector.definition.settings, spec.settings, path="settings"))
    prerequisite = _attempted(mistakes, lambda: _prerequisite(spec))
    mappings: dict[str, CompiledMapping] = {}
    for index, mapping in enumerate(spec.mappings):
        found = _mistakes(mapping, connector, f"mappings.{index}")
        mistakes.extend(found)
        if not found:
            mappings[mapping.id] = compile_mapping(mapping, path=f"mappings.{index}")
    if mistakes:
        first = mistakes[0]
        raise InvalidInput(f"{first.path}: {first.message}", details=mistakes)
    return CompiledDestination(spec, connector, settings, prerequisite, mappings)


def _attempted(mistakes: list[ErrorDetail], work: Callable[[], T]) -> T | None:
    try:
        return work()
    except InvalidInput as error:
        mistakes.extend(error.details)
        return None


def _prerequisite(spec: DestinationSpec) -> Condition | None:
    if not spec.prerequisite or not spec.prerequisite.strip():
        return None
    try:
        return parse(spec.prerequisite, sources=CONDITION_SOURCES)
    except ConditionSyntaxError as error:
        raise ConditionSyntaxError(error.message, error.line, error.column, path="prerequisite") from error


def _mistakes(mapping: MappingSpec, connector: Connector, path: str) -> list[ErrorDetail]:
    """All of them: the condition's and the body's are independent of each other."""
    mistakes: list[ErrorDetail] = []
    _attempted(mistakes, lambda: _check_action(mapping, connector, path))
    for half in ({"body": None}, {"condition": None}):
        part = mapping.model_copy(update=half)
        _attempted(mistakes, lambda part=part: compile_mapping(part, path=path))  # type: ignore[misc]
    return mistakes


def _check_action(mapping: MappingSpec, connector: Connector, path: str) -> None:
    action = connector.definition.action(mapping.action)
    if action is None:
        known = ", ".join(action.slug for action in connector.definition.actions)
        raise _mistake(f"{path}.action", f"the connector has no action {mapping.action!r}; there is {known}")
    if not isinstance(mapping.body, Inputs):
        return
    if action.inputs is None:
        raise _mistake(f"{path}.body.inputs", f"the action {action.slug!r} takes a body, no named inputs")
    unknown = sorted(mapping.body.inputs.keys() - action.inputs.model_fields.keys())
    if unknown:
        known = ", ".join(action.inputs.model_fields)
        raise _mistake(
            f"{path}.body.inputs.{unknown[0]}", f"the action {action.slug!r} has no such input; there is {known}"
        )


def _mistake(path: str, message: str) -> InvalidInput:
    return InvalidInput(message, details=[ErrorDetail(path, message)])
