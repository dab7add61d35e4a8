"""Reading settings and secrets as a connector declares them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from domain.errors import ErrorDetail, InvalidInput

__all__ = ["validated"]

Model = TypeVar("Model", bound=BaseModel)


def validated(model: type[Model], data: Mapping[str, Any], *, path: str) -> Model:
    """`data` as the model; raises InvalidInput whose details have dotted paths below `path` and never hold a value."""
    try:
        return model.model_validate(dict(data))
    except ValidationError as error:
        details = [_detail(each, path) for each in error.errors(include_input=False, include_url=False)]
        raise InvalidInput(f"{details[0].path}: {details[0].message}", details=details) from None


def _detail(error: Any, path: str) -> ErrorDetail:
    where = ".".join([path, *(str(part) for part in error["loc"] if part != "[key]")])
    context = error.get("ctx", {})
    message = error["msg"].removeprefix("Value error, ")  # pydantic's mark of a validator of ours
    return ErrorDetail(where, message, context.get("line"), context.get("column"))
