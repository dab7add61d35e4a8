"""What a mapping sends: a body in one of five formats, compiled from its template."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue, model_validator

from domain.body_encodings import Pairs, omit_members, to_form_bytes, to_json_bytes, to_pairs, to_text_bytes
from domain.errors import RenderError
from domain.json_templates import compile_json
from domain.objects import Scope
from domain.template_limits import LIMITS, Limits
from domain.templates import TextTemplate, compile_text

Format = Literal["json", "json_text", "form", "query", "text"]
Omit = Literal["none", "null", "empty"]

JSON_TYPE = "application/json"
FORM_TYPE = "application/x-www-form-urlencoded"
TEXT_TYPE = "text/plain; charset=utf-8"


class Body(BaseModel):
    """The body as people write it. `content_type` replaces the format's own (json and text formats)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Format = "json"
    template: JsonValue
    omit: Omit = "none"
    content_type: str | None = Field(default=None, min_length=1, max_length=200, pattern=r"^[!-~]+/[ -~]+$")

    @model_validator(mode="after")
    def _template_suits_format(self) -> Self:
        if self.format in ("json_text", "text") and not isinstance(self.template, str):
            raise ValueError(f"the template of the format {self.format} is one text")
        if self.format in ("form", "query") and not isinstance(self.template, dict):
            raise ValueError(f"the template of the format {self.format} is a map of names to values")
        return self


@dataclass(frozen=True, slots=True)
class RenderedBody:
    """What goes out: `value` is the data (text for text), `content` its bytes, `query` pairs to add to the URL."""

    value: Any
    content: bytes | None = None
    content_type: str | None = None
    query: Pairs = ()


@dataclass(frozen=True, slots=True)
class CompiledBody:
    """A body ready to render. `render` raises RenderError only."""

    body: Body
    _render_value: Callable[[Scope], Any]

    def render(self, scope: Scope) -> RenderedBody:
        value = omit_members(self._render_value(scope), self.body.omit)
        if self.body.format == "query":
            return RenderedBody(value, query=to_pairs(value))
        if self.body.format == "form":
            return RenderedBody(value, to_form_bytes(to_pairs(value)), FORM_TYPE)
        if self.body.format == "text":
            return RenderedBody(value, to_text_bytes(value), self.body.content_type or TEXT_TYPE)
        return RenderedBody(value, to_json_bytes(value), self.body.content_type or JSON_TYPE)


def compile_body(body: Body, *, path: str = "body", limits: Limits = LIMITS) -> CompiledBody:
    """Compile; TemplateSyntaxError whose path ends at the leaf."""
    path = f"{path}.template" if path else "template"
    if body.format == "text":
        return CompiledBody(body, _compile_leaf(body, path, limits).render_text)
    if body.format == "json_text":
        leaf = _compile_leaf(body, path, limits)
        return CompiledBody(body, lambda scope: _parsed(leaf.render_json_text(scope), path))
    template = compile_json(body.template, path=path, limits=limits)
    return CompiledBody(body, template.render)


def _compile_leaf(body: Body, path: str, limits: Limits) -> TextTemplate:
    assert isinstance(body.template, str)  # noqa: S101 - validated with the model
    return compile_text(body.template, path=path, limits=limits)


def _parsed(text: str, path: str) -> Any:
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        message = (
            f"what the template renders is not JSON: {error.msg} at line {error.lineno}, column {error.colno} of it"
        )
        raise RenderError(
            f"{message}, near {_excerpt(text, error.pos)}", error.lineno, error.colno, path=path
        ) from error
    except (ValueError, RecursionError) as error:
        raise RenderError(f"what the template renders is not JSON: {error}", 1, 1, path=path) from error


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON value")


def _excerpt(text: str, position: int) -> str:
    return repr(text[max(0, position - 20) : position + 20])
