"""The kinds of field that settings and credentials are made of, beside pydantic's own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    SecretStr,
    ValidationInfo,
)
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from connectors.headers import is_header_name, is_header_value
from domain.errors import TemplateSyntaxError
from domain.templates import TextTemplate, compile_text

__all__ = [
    "ConnectorModel",
    "HeaderName",
    "LeafTemplate",
    "Public",
    "Secret",
    "SecretHeaderValue",
    "reveal",
    "secret_values",
]


MAX_LEAF_CHARACTERS = 16_384  # as long as a URL may be


class ConnectorModel(BaseModel):
    """Base of settings, credentials and inputs: unknown fields are refused, values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, arbitrary_types_allowed=True)


Secret = Annotated[SecretStr, Field(json_schema_extra={"secret": True})]
"""Encrypted at rest, masked wherever it shows, never answered by the API (JSON Schema: `writeOnly`, `secret`)."""

Public = Field(json_schema_extra={"public": True})
"""`Annotated[str, Public]`: may be handed to browsers, for destinations in web mode."""

# The framing of the request and its signature are ours; letting them be set would break or forge either.
_RESERVED_HEADERS = frozenset(
    {
        "connection",
        "content-length",
        "expect",
        "host",
        "keep-alive",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "webhook-id",
        "webhook-signature",
        "webhook-timestamp",
    }
)


def _usable_header_name(name: str) -> str:
    if not is_header_name(name):
        raise ValueError("not a header name")
    if name.lower() in _RESERVED_HEADERS:
        raise ValueError(f"the header {name} is set by Sluice")
    return name


HeaderName = Annotated[str, AfterValidator(_usable_header_name)]


def _one_line(secret: SecretStr) -> SecretStr:
    if not is_header_value(secret.get_secret_value()):
        raise ValueError("a header value cannot hold line breaks or control characters")
    return secret


SecretHeaderValue = Annotated[Secret, AfterValidator(_one_line)]


class _LeafSchema:
    """Reads a text as a Liquid template and compiles it; in JSON it is its text again."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        text = core_schema.str_schema(max_length=MAX_LEAF_CHARACTERS)
        return core_schema.with_info_after_validator_function(
            _compiled, text, serialization=core_schema.plain_serializer_function_ser_schema(_text)
        )

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"type": "string", "maxLength": MAX_LEAF_CHARACTERS, "format": "liquid"}


LeafTemplate = Annotated[TextTemplate, _LeafSchema()]
"""A setting that is a Liquid template; one that does not compile is a `template_syntax_error` with line and column."""


def _compiled(text: str, info: ValidationInfo) -> TextTemplate:
    try:
        return compile_text(text, path=f"settings.{info.field_name}")
    except TemplateSyntaxError as error:
        where = {"line": error.line, "column": error.column, "reason": error.message}
        raise PydanticCustomError("template_syntax_error", "{reason}", where) from error


def _text(template: TextTemplate) -> str:
    return template.text


def reveal(model: BaseModel) -> dict[str, Any]:
    """The model as JSON data with its secrets in clear: for encryption and nothing else."""
    revealed = _revealed(model)
    assert isinstance(revealed, dict)  # noqa: S101  (a model reveals as an object)
    return revealed


def secret_values(model: BaseModel) -> frozenset[str]:
    """Every secret in the model, nested ones included."""
    return frozenset(_secrets_in(model))


def _revealed(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return {name: _revealed(getattr(value, name)) for name in type(value).model_fields}
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    if isinstance(value, TextTemplate):
        return value.text
    if isinstance(value, dict):
        return {key: _revealed(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_revealed(each) for each in value]
    return value


def _secrets_in(value: Any) -> Iterator[str]:
    if isinstance(value, SecretStr):
        yield value.get_secret_value()
    elif isinstance(value, BaseModel):
        for name in type(value).model_fields:
            yield from _secrets_in(getattr(value, name))
    elif isinstance(value, dict):
        for each in value.values():
            yield from _secrets_in(each)
    elif isinstance(value, (list, tuple)):
        for each in value:
            yield from _secrets_in(each)
