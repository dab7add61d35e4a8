"""What previews and tests read and answer."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from activities.explaining import Explanation
from activities.rehearsing import Rehearsal
from activities.testing import Tested
from api.rehearsals import Rehearsed
from api.subjects import CALL_EXAMPLE, SubjectBody

SHOWN_CHANGES = 100  # of one mapping; a first sync "changes" everything there is


class TryBody(SubjectBody):
    model_config = ConfigDict(json_schema_extra={"example": {"call": CALL_EXAMPLE, "draft": True}})

    draft: bool | None = Field(
        None,
        strict=True,
        description="true: the draft (409 if there is none); false: the published revision (409 if there is none);"
        " left out: the draft if there is one, else the published revision",
    )


class FaultAnswer(BaseModel):
    """What went wrong, and the dotted path into the declaration where; line and column count from 1."""

    code: str
    message: str
    path: str
    line: int | None
    column: int | None

    @staticmethod
    def of(explanation: Explanation) -> FaultAnswer | None:
        error = explanation.error
        if error is None:
            return None
        return FaultAnswer(
            code=explanation.reason or "",
            message=error.message,
            path=error.path,
            line=error.line,
            column=error.column,
        )


class TriedProfile(BaseModel):
    id: str
    version: int | None = Field(description="null for a profile that is not stored: it was made of the call's traits")


class PrerequisiteAnswer(BaseModel):
    """`holds` is null when it could not be evaluated, which `error` explains."""

    condition: str
    holds: bool | None
    message: str | None
    error: FaultAnswer | None


class ChangeAnswer(BaseModel):
    path: str
    old: Any
    new: Any


class RequestAnswer(BaseModel):
    """Secrets masked; the body is an excerpt."""

    method: str
    url: str
    headers: dict[str, str]
    body: str


class ResponseAnswer(BaseModel):
    status: int
    headers: dict[str, str]
    body: str
    truncated: bool


class PreviewedMapping(BaseModel):
    """`reason` and `message` are those that a delivery or a sync would have; null when all is well."""

    mapping_id: str
    name: str
    source: Literal["profile", "events"]
    action: str
    matched: bool = Field(description="the mapping takes it, even if `error` says that no request could be made of it")
    reason: str | None
    message: str | None
    error: FaultAnswer | None
    changes: list[ChangeAnswer] | None = Field(
        description=f"since this mapping last delivered the profile, at most {SHOWN_CHANGES}; null for events"
    )
    request: RequestAnswer | None


class TestedMapping(PreviewedMapping):
    delivery_id: str = Field(description="of the log's entry of kind `test`; also the idempotency key")
    status: Literal["delivered", "failed", "skipped"]
    outcome: Literal["delivered", "retry", "definitive", "skipped"] = Field(
        description="`retry`: real traffic would be tried again"
    )
    response: ResponseAnswer | None
    duration_ms: float | None


class _Answer(BaseModel):
    destination_id: str
    draft: bool
    revision: int | None = Field(description="the published revision that was used; null for the draft")
    profile: TriedProfile
    event: dict[str, Any] | None = Field(description="the `event` object as conditions and templates see it")
    prerequisite: PrerequisiteAnswer | None


class PreviewAnswer(_Answer):
    mappings: list[PreviewedMapping]

    @staticmethod
    def of(rehearsed: Rehearsed) -> PreviewAnswer:
        mappings = [PreviewedMapping(**_previewed(each)) for each in rehearsed.mappings]
        return PreviewAnswer(**_common(rehearsed), mappings=mappings)


class TestAnswer(_Answer):
    mappings: list[TestedMapping]

    @staticmethod
    def of(rehearsed: Rehearsed, tested: list[Tested]) -> TestAnswer:
        return TestAnswer(**_common(rehearsed), mappings=[_tested(each) for each in tested])


def _common(rehearsed: Rehearsed) -> dict[str, Any]:
    declaration, subject = rehearsed.declaration, rehearsed.subject
    return {
        "destination_id": declaration.destination_id,
        "draft": declaration.revision is None,
        "revision": declaration.revision,
        "profile": TriedProfile(id=subject.profile_id, version=subject.profile_version),
        "event": subject.event,
        "prerequisite": _prerequisite(rehearsed),
    }


def _prerequisite(rehearsed: Rehearsed) -> PrerequisiteAnswer | None:
    explanation, condition = rehearsed.prerequisite, rehearsed.compiled.prerequisite
    if explanation is None or condition is None:
        return None
    return PrerequisiteAnswer(
        condition=condition.text,
        holds=None if explanation.status == "failed" else explanation.status == "matched",
        message=explanation.message,
        error=FaultAnswer.of(explanation),
    )


def _previewed(rehearsal: Rehearsal) -> dict[str, Any]:
    mapping, explanation = rehearsal.mapping, rehearsal.explanation
    changes = rehearsal.changes
    return {
        "mapping_id": mapping.id,
        "name": mapping.name,
        "source": mapping.source,
        "action": mapping.action,
        "matched": rehearsal.matched,
        "reason": explanation.reason,
        "message": explanation.message,
        "error": FaultAnswer.of(explanation),
        "changes": None if changes is None else [ChangeAnswer(**each) for each in changes[:SHOWN_CHANGES]],
        "request": rehearsal.request,
    }


def _tested(tested: Tested) -> TestedMapping:
    ended, shown = tested.ended, _previewed(tested.rehearsal)
    sent = {"reason": ended.reason, "message": ended.message, "request": ended.request or shown["request"]}
    return TestedMapping.model_validate(
        {
            **shown,
            **sent,
            "delivery_id": tested.rehearsal.delivery_id,
            "status": ended.status.value,
            "outcome": ended.outcome.value,
            "response": ended.response,
            "duration_ms": ended.duration_ms,
        }
    )
