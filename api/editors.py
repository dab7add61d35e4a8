"""For editors: is this condition sound, and what does this template make of somebody's data? Nothing is stored."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Annotated, Any, Literal, Self

from fastapi import Body as RequestBody
from pydantic import BaseModel, ConfigDict, Field, model_validator

from activities.explaining import failure
from activities.subjects import Subject
from api.auth import requires
from api.parameters import Text
from api.preview_bodies import FaultAnswer
from api.problem_docs import problems
from api.routing import router
from api.services import ServicesDep
from api.subjects import CALL_EXAMPLE, SubjectBody
from domain.advice import Advice, advise, paths_to_look_up
from domain.bodies import RenderedBody
from domain.conditions import parse
from domain.errors import ConditionSyntaxError, RenderError, TemplateSyntaxError
from domain.mappings import AnyBody, Rendered, compile_body_or_inputs
from domain.objects import Scope
from domain.templates import compile_text
from storage.profile_samples import ProfileSample

routes = router(tag="editors")

OPERATE = [requires("operate")]
MAX_CONDITION_CHARS = 10_000  # as in a destination
MAX_TEMPLATE_CHARS = 65_536  # twice what a template may have, so that the refusal is the template's own

Source = Literal["profile", "user", "event"]


class ValidateCondition(BaseModel):
    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"example": {"condition": 'profile@email exists AND event@properties.plan == "pro"'}},
    )

    condition: Text = Field(max_length=MAX_CONDITION_CHARS)
    sources: list[Source] = Field(
        ["profile", "user", "event"], min_length=1, max_length=3, description="the objects it may read"
    )


class EditorFault(BaseModel):
    message: str
    line: int
    column: int


class AdviceAnswer(BaseModel):
    """`path` is the field it is about, empty for a whole part of the condition; the position is where that part begins."""

    code: Literal["never_false", "never_true", "type_mismatch", "unknown_path"]
    message: str
    path: str
    line: int
    column: int


class LookedAt(BaseModel):
    """What the advice about paths rests on."""

    profiles: int
    complete: bool = Field(description="these were all stored profiles; else a random sample of them")


class ValidatedCondition(BaseModel):
    """`looked_at` is null when no profile was looked at: no path is in question, or it would have taken too long."""

    valid: bool
    canonical: str | None = Field(description="the same condition in its one written form")
    paths: list[str] = Field(description="the fields it reads")
    errors: list[EditorFault]
    warnings: list[AdviceAnswer]
    looked_at: LookedAt | None


class RenderTemplate(SubjectBody):
    """A mapping's body (or named inputs), or one text such as a URL or a header value."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "body": {
                    "format": "json",
                    "template": {"email": "{{ user.email }}", "plan": "{{ event.properties.plan }}"},
                },
                "call": CALL_EXAMPLE,
            }
        }
    )

    body: AnyBody | None = Field(None, description="as in a mapping")
    template: Text | None = Field(None, max_length=MAX_TEMPLATE_CHARS, description="one text")
    as_: Literal["leaf", "text", "url", "header"] = Field(
        "leaf",
        alias="as",
        description="how `template` is rendered; a `leaf` keeps its native type, as within a JSON body",
    )

    @model_validator(mode="after")
    def _one_template(self) -> Self:
        if (self.body is None) == (self.template is None):
            raise ValueError("give either body or template")
        return self


class RenderedTemplate(BaseModel):
    """`value` is the data that was rendered; `content` are its bytes as they would be sent, as text."""

    value: Any
    content: str | None
    content_type: str | None
    query: list[tuple[str, str]]
    error: FaultAnswer | None


@routes.post("/v1/conditions/validate", dependencies=OPERATE, responses=problems(429))
async def validate_condition(body: ValidateCondition, services: ServicesDep) -> ValidatedCondition:
    """Syntax errors, the paths read, and advice: what can never be false, compares a string with a number, or reads a path
    that no stored profile has (a bounded look at some of them, of which the answer says how many)."""
    sources = tuple(dict.fromkeys(body.sources))
    try:
        condition, paths = await services.aside.run(
            lambda: (parse(body.condition, sources), paths_to_look_up(body.condition, sources))
        )
    except ConditionSyntaxError as error:
        fault = EditorFault(message=error.message, line=error.line, column=error.column)
        return ValidatedCondition(valid=False, canonical=None, paths=[], errors=[fault], warnings=[], looked_at=None)
    sample = await services.profile_samples.look_up(paths) if paths else None
    # Where nothing is stored yet, every path is unknown: that is no advice.
    seen = sample.types if sample and sample.looked_at else None
    advice = await services.aside.run(lambda: advise(body.condition, sources, seen))
    return ValidatedCondition(
        valid=True,
        canonical=str(condition),
        paths=list(condition.paths),
        errors=[],
        warnings=[_advice(each) for each in advice],
        looked_at=_looked_at(sample),
    )


@routes.post("/v1/templates/render", dependencies=OPERATE, responses=problems(404, 429))
async def render_template(body: Annotated[RenderTemplate, RequestBody()], services: ServicesDep) -> RenderedTemplate:
    """What a template makes of a call, a stored event or a stored profile; a mistake in it is `error`, with its position."""
    subject = await services.subjects.find(body)
    return await services.aside.run(lambda: _rendered(body, subject))


def _rendered(body: RenderTemplate, subject: Subject) -> RenderedTemplate:
    view = subject.scope(destination_id="preview", mapping_id="preview", delivery_id="preview")
    try:
        value = _renderer(body)(view)
    except TemplateSyntaxError as error:
        fault = FaultAnswer(
            code=error.code, message=error.message, path=error.path, line=error.line, column=error.column
        )
        return RenderedTemplate(value=None, content=None, content_type=None, query=[], error=fault)
    except RenderError as error:
        fault_of = FaultAnswer.of(failure(error))
        return RenderedTemplate(value=None, content=None, content_type=None, query=[], error=fault_of)
    if not isinstance(value, RenderedBody):
        return RenderedTemplate(value=_showable(value), content=None, content_type=None, query=[], error=None)
    content = None if value.content is None else value.content.decode(errors="replace")
    return RenderedTemplate(
        value=_showable(value.value),
        content=content,
        content_type=value.content_type,
        query=_showable(value.query),
        error=None,
    )


def _showable(value: Any) -> Any:
    """Half a surrogate pair, which a template may write as an escape, cannot be in our answer's UTF-8."""
    return json.loads(json.dumps(value, ensure_ascii=False).encode(errors="replace"))


def _renderer(body: RenderTemplate) -> Callable[[Scope], Rendered | Any]:
    """Raises TemplateSyntaxError."""
    if body.body is not None:
        return compile_body_or_inputs(body.body, path="body")
    text = compile_text(body.template or "", path="template")
    return {"leaf": text.render, "text": text.render_text, "url": text.render_url, "header": text.render_header}[
        body.as_
    ]


def _advice(advice: Advice) -> AdviceAnswer:
    return AdviceAnswer(
        code=advice.code, message=advice.message, path=advice.path, line=advice.line, column=advice.column
    )


def _looked_at(sample: ProfileSample | None) -> LookedAt | None:
    return LookedAt(profiles=sample.looked_at, complete=sample.complete) if sample else None
