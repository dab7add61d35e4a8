"""A mapping: which data of whom goes to one action of a destination, when, and in what shape (see docs)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Discriminator, Field, JsonValue, Tag, model_validator

from domain.bodies import Body, RenderedBody, compile_body
from domain.changes import Change, differences, touches
from domain.conditions import Condition
from domain.conditions import parse as parse_condition
from domain.errors import ConditionSyntaxError
from domain.json_templates import compile_json
from domain.mapping_filters import EventFilter, UserFilter
from domain.objects import Scope
from domain.reasons import shortened
from domain.template_limits import LIMITS, Limits

__all__ = [
    "AnyBody",
    "CompiledMapping",
    "Inputs",
    "Mapping",
    "Refusal",
    "Rendered",
    "compile_body_or_inputs",
    "compile_mapping",
    "differences",
]

SLUG = r"^[a-z0-9][a-z0-9_-]{0,62}$"
CONDITION_SOURCES = ("profile", "user", "event")
FIELD = r"^[^.\s][^\x00-\x1f]*$"
MAX_FIELDS = 200  # more fields than that is "any change"

RefusalCode = Literal["disabled", "event_scope", "users", "condition", "fields"]
Rendered = RenderedBody | dict[str, Any] | None


class Inputs(BaseModel):
    """Instead of a body: the action's named inputs, each a JSON template."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    inputs: dict[str, JsonValue]


def _kind_of_body(value: object) -> str:
    inputs = isinstance(value, Inputs) or (isinstance(value, dict) and "inputs" in value)
    return "inputs" if inputs else "body"


AnyBody = Annotated[Annotated[Body, Tag("body")] | Annotated[Inputs, Tag("inputs")], Discriminator(_kind_of_body)]


class Mapping(BaseModel):
    """A mapping as people write it. Without an `id` it gets one made from its name."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str = Field(default="", pattern=SLUG, validate_default=False)
    name: str = Field(default="", max_length=200)
    enabled: bool = True
    source: Literal["profile", "events"]
    events: EventFilter = EventFilter()
    users: UserFilter = UserFilter()
    condition: str | None = Field(default=None, max_length=10_000)
    fields: list[Annotated[str, Field(pattern=FIELD, max_length=500)]] | None = Field(
        default=None, max_length=MAX_FIELDS
    )
    action: str = Field(min_length=1, max_length=100)
    body: AnyBody | None = None

    @model_validator(mode="before")
    @classmethod
    def _named(cls, data: Any) -> Any:
        if not isinstance(data, dict) or data.get("id") or not isinstance(data.get("name"), str):
            return data
        return {**data, "id": re.sub(r"[^a-z0-9]+", "-", data["name"].lower()).strip("-")[:63]}

    @model_validator(mode="after")
    def _filters_suit_source(self) -> Self:
        if not self.id:
            raise ValueError("a mapping has an id or a name to make one from")
        if self.source == "events" and self.fields:
            raise ValueError("fields belong to mappings of profile changes; this one takes events")
        if self.source == "profile" and self.events.mode != "all":
            raise ValueError("an event filter belongs to mappings of events; this one takes profile changes")
        return self


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a mapping does not apply; the message is for people."""

    code: RefusalCode
    message: str


@dataclass(frozen=True, slots=True)
class CompiledMapping:
    """A mapping ready to decide and to render."""

    mapping: Mapping
    condition: Condition | None
    _render: Callable[[Scope], Rendered]

    def refusal(self, scope: Scope, *, now: datetime, changes: Iterable[Change] | None = None) -> Refusal | None:
        """The first filter that does not hold, or None; ConditionEvaluationError.

        `changes` default to the scope's; None there too means nothing was synced before, so that everything is new.
        """
        if not self.mapping.enabled:
            return Refusal("disabled", "the mapping is disabled")
        if self.mapping.source == "events" and (reason := self.mapping.events.refusal(scope["event"])):
            return Refusal("event_scope", reason)
        if reason := self.mapping.users.refusal(scope["user"]):
            return Refusal("users", reason)
        if reason := self._false_part(scope, now):
            return Refusal("condition", f"the condition does not hold: {shortened(reason)}")
        return self._field_refusal(scope["changes"] if changes is None else changes)

    def render(self, scope: Scope) -> Rendered:
        """The body, or the dict of named inputs, or None for a mapping with neither; RenderError."""
        return self._render(scope)

    def _false_part(self, scope: Scope, now: datetime) -> str | None:
        if self.condition is None:
            return None
        context = {"profile": scope["user"], "user": scope["user"], "event": scope["event"] or {}}
        if self.condition.evaluate(context, now=now):
            return None
        return self.condition.explain(context, now=now) or str(self.condition)

    def _field_refusal(self, changes: Iterable[Change] | None) -> Refusal | None:
        fields = self.mapping.fields
        if not fields or changes is None or touches(changes, fields):
            return None
        return Refusal("fields", f"none of these fields changed: {shortened(', '.join(fields))}")


def compile_mapping(mapping: Mapping, *, path: str = "", limits: Limits = LIMITS) -> CompiledMapping:
    """Compile condition and templates; ConditionSyntaxError or TemplateSyntaxError with the place in the mapping."""
    prefix = f"{path}." if path else ""
    return CompiledMapping(
        mapping,
        _compile_condition(mapping.condition, f"{prefix}condition"),
        compile_body_or_inputs(mapping.body, f"{prefix}body", limits),
    )


def _compile_condition(text: str | None, path: str) -> Condition | None:
    if not text or not text.strip():
        return None
    try:
        return parse_condition(text, sources=CONDITION_SOURCES)
    except ConditionSyntaxError as error:
        raise ConditionSyntaxError(error.message, error.line, error.column, path=path) from error


def compile_body_or_inputs(
    body: Body | Inputs | None, path: str, limits: Limits = LIMITS
) -> Callable[[Scope], Rendered]:
    """What renders it, raising RenderError; TemplateSyntaxError with the place below `path`."""
    if body is None:
        return lambda _: None
    if isinstance(body, Inputs):
        return compile_json(body.inputs, path=f"{path}.inputs", limits=limits).render
    return compile_body(body, path=path, limits=limits).render
