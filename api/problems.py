"""Every error leaves as `application/problem+json` (RFC 9457), whoever raised it; here they are translated."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import iter_route_contexts
from pydantic import BaseModel, ConfigDict
from starlette.exceptions import HTTPException

from domain.errors import ErrorDetail, SluiceError, TooManyRequests, Unauthenticated, Unavailable

PROBLEM_JSON = "application/problem+json"
MAX_ERRORS = 100  # past that the list helps nobody, and a large body could ask for a very large answer
RETRY_AFTER_SECONDS = 1  # for 503: what we depend on is usually back within seconds

_CODES = {404: "not_found", 408: "request_timeout", 413: "too_large", 422: "invalid_input"}
# Python renamed these to the words of RFC 9110 in 3.13; ours do not depend on its version.
_TITLES = {413: "Content Too Large", 414: "URI Too Long", 422: "Unprocessable Content"}


class ProblemError(BaseModel):
    path: str
    message: str
    line: int | None = None
    column: int | None = None


class Problem(BaseModel):
    """What every error answer looks like. Branch on `code`; `message` is for people."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "type": "urn:sluice:problem:invalid_input",
                "title": "Unprocessable Content",
                "status": 422,
                "code": "invalid_input",
                "message": "mappings.0.action: Field required",
                "errors": [{"path": "mappings.0.action", "message": "Field required", "line": None, "column": None}],
            }
        }
    )

    type: str
    title: str
    status: int
    code: str
    message: str
    errors: list[ProblemError]


def problem(  # the members of a problem, no more
    status: int,
    code: str,
    message: str,
    errors: Iterable[ErrorDetail] = (),
    *,
    headers: Mapping[str, str] | None = None,
    **extension: Any,
) -> JSONResponse:
    body = {
        "type": f"urn:sluice:problem:{code}",
        "title": _title(status),
        "status": status,
        "code": code,
        "message": message,
        "errors": [asdict(error) for error in errors],
        **extension,
    }
    return JSONResponse(body, status, headers=dict(headers or {}), media_type=PROBLEM_JSON)


def problem_of(error: SluiceError) -> JSONResponse:
    return problem(error.status, error.code, error.message, error.details[:MAX_ERRORS], headers=_headers(error))


def answer_with_problems(app: FastAPI) -> None:
    """Register the handlers. What is none of these ends in the request middleware as a 500 or 503."""
    app.add_exception_handler(SluiceError, _on_sluice_error)
    app.add_exception_handler(RequestValidationError, _on_validation_error)
    app.add_exception_handler(HTTPException, _on_http_exception)


async def _on_sluice_error(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, SluiceError)  # noqa: S101  (what the handler was registered for)
    return problem_of(error)


async def _on_validation_error(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)  # noqa: S101
    details = [_detail(each, error.body) for each in list(error.errors())[:MAX_ERRORS]]
    first = details[0]
    return problem(422, "invalid_input", f"{first.path}: {first.message}" if first.path else first.message, details)


async def _on_http_exception(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)  # noqa: S101
    if error.status_code == 405:
        return _method_not_allowed(request)
    known = {404: "there is nothing at this address"}
    message = known.get(error.status_code, str(error.detail))
    code = _CODES.get(error.status_code) or _title(error.status_code).lower().replace(" ", "_").replace("-", "_")
    return problem(error.status_code, code, message, headers=error.headers)


def _method_not_allowed(request: Request) -> JSONResponse:
    """The router names the methods of the first route that fits; here those of all of them are named."""
    app: FastAPI = request.app
    fitting = [each for each in iter_route_contexts(app.routes) if each.path_regex.match(request.scope["path"])]
    allowed = ", ".join(sorted({method for each in fitting for method in each.methods or ()}))
    message = f"{request.method} is not possible at this address, but {allowed}"
    return problem(405, "method_not_allowed", message, headers={"Allow": allowed})


def _detail(error: Mapping[str, Any], body: Any) -> ErrorDetail:
    where, *rest = error["loc"]
    path = _path_in(body, rest, error["type"]) if where == "body" else [str(part) for part in rest]
    context = error.get("ctx") or {}
    # pydantic writes this before the words of our own validators.
    message = str(error["msg"]).removeprefix("Value error, ")
    return ErrorDetail(".".join(path), message, context.get("line"), context.get("column"))


def _path_in(body: Any, location: Sequence[str | int], kind: str) -> list[str]:
    """The location without the names of union members, which pydantic puts in but the caller never wrote."""
    path: list[str] = []
    for index, part in enumerate(location):
        if _leads_on(body, part):
            body = body[part]
        elif not (kind == "missing" and index == len(location) - 1):
            continue
        path.append(str(part))
    return path


def _leads_on(body: Any, part: str | int) -> bool:
    return (
        part in body
        if isinstance(body, dict)
        else isinstance(body, list) and isinstance(part, int) and part < len(body)
    )


def _headers(error: SluiceError) -> dict[str, str]:
    if isinstance(error, Unauthenticated):
        return {"WWW-Authenticate": 'Bearer realm="sluice"'}
    if isinstance(error, TooManyRequests):
        return {"Retry-After": str(max(1, round(error.retry_after_seconds)))}
    if isinstance(error, Unavailable):
        return {"Retry-After": str(RETRY_AFTER_SECONDS)}
    # The rest of the body was not read, so the connection cannot be used again.
    return {"Connection": "close"} if error.status in (408, 413) else {}


def _title(status: int) -> str:
    if status in _TITLES:
        return _TITLES[status]
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Error"
