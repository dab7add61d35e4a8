"""A destination's declaration, checked and compiled: what a draft is refused by, and what deliveries run on."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from connectors.base import Connector
from connectors.validation import validated
from domain.conditions import Condition, parse
from domain.destinations import DestinationSpec
from domain.errors import ConditionSyntaxError, ErrorDetail, InvalidInput
from domain.mappings import CONDITION_SOURCES, CompiledMapping, compile_mapping
from domain.mappings import Mapping as MappingSpec
from domain.objects import Scope


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
    settings = None
    try:
        settings = validated(connector.definition.settings, spec.settings, path="settings")
    except InvalidInput as error:
        mistakes.extend(error.details)
    prerequisite = _prerequisite(spec, mistakes)
    mappings: dict[str, CompiledMapping] = {}
    for index, mapping in enumerate(spec.mappings):
        try:
            _check_action(mapping, connector, f"mappings.{index}")
            mappings[mapping.id] = compile_mapping(mapping, path=f"mappings.{index}")
        except InvalidInput as error:
            mistakes.extend(error.details)
    if mistakes:
        first = mistakes[0]
        raise InvalidInput(f"{first.path}: {first.message}", details=mistakes)
    return CompiledDestination(spec, connector, settings, prerequisite, mappings)


def _prerequisite(spec: DestinationSpec, mistakes: list[ErrorDetail]) -> Condition | None:
    if not spec.prerequisite or not spec.prerequisite.strip():
        return None
    try:
        return parse(spec.prerequisite, sources=CONDITION_SOURCES)
    except ConditionSyntaxError as error:
        mistakes.append(ErrorDetail("prerequisite", error.message, error.line, error.column))
        return None


def _check_action(mapping: MappingSpec, connector: Connector, path: str) -> None:
    if connector.definition.action(mapping.action) is None:
        known = ", ".join(action.slug for action in connector.definition.actions)
        message = f"the connector has no action {mapping.action!r}; there is {known}"
        raise InvalidInput(message, details=[ErrorDetail(f"{path}.action", message)])
