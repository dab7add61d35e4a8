"""Why a mapping applies to something or does not: one answer, in the same words for syncs, deliveries, previews and tests."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from activities.compilation import CompiledDestination
from domain.deliveries import Reason
from domain.errors import ConditionEvaluationError, DeliveryError, ErrorDetail, RenderError, SluiceError
from domain.objects import Scope
from domain.reasons import shortened

PREREQUISITE = "prerequisite"


@dataclass(frozen=True, slots=True)
class Explanation:
    """`skipped`: a filter, a condition or the scope refused; `failed`: that could not be said, and `error` says where."""

    status: Literal["matched", "skipped", "failed"]
    reason: str | None = None
    message: str | None = None
    error: ErrorDetail | None = None


MATCHED = Explanation("matched")


def explain(compiled: CompiledDestination, mapping_id: str, scope: Scope, *, now: datetime) -> Explanation:
    """Whether what `scope` holds is to be sent by this mapping; never raises for what people wrote. KeyError: no such mapping."""
    mapping = compiled.mappings[mapping_id]
    if mapping.mapping.enabled:
        prerequisite = explain_prerequisite(compiled, scope, now=now)
        if prerequisite.status != "matched":
            return prerequisite
        if mapping.mapping.source == "profile" and scope["event"] is not None:
            return Explanation("skipped", "event_scope", "the mapping takes profile changes, and this is an event")
    try:
        refusal = mapping.refusal(scope, now=now)
    except ConditionEvaluationError as error:
        index = list(compiled.mappings).index(mapping_id)
        return failure(error, path=f"mappings.{index}.condition")
    return Explanation("skipped", refusal.code, refusal.message) if refusal else MATCHED


def explain_prerequisite(compiled: CompiledDestination, scope: Scope, *, now: datetime) -> Explanation:
    """Whether the destination takes anything of this profile at all."""
    try:
        false_part = compiled.false_prerequisite(scope, now=now)
    except ConditionEvaluationError as error:
        return failure(error, path=PREREQUISITE)
    if false_part is None:
        return MATCHED
    return Explanation("skipped", Reason.PREREQUISITE_FALSE, f"the prerequisite does not hold: {shortened(false_part)}")


def failure(error: SluiceError, *, path: str = "") -> Explanation:
    """What went wrong, with the place in the declaration if it is known; what is not the delivery's fault is configuration."""
    if isinstance(error, ConditionEvaluationError | RenderError):
        path = error.path or path
        message = f"{error.message} (line {error.line}, column {error.column})"
        return Explanation("failed", error.code, message, ErrorDetail(path, error.message, error.line, error.column))
    code = error.code if isinstance(error, DeliveryError) else Reason.CONFIGURATION_ERROR
    where = error.details[0] if error.details else ErrorDetail(path, error.message)
    return Explanation("failed", code, error.message, where)
