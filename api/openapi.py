"""The OpenAPI document: FastAPI's, with the errors as they really are."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from api.problem_docs import problems
from api.problems import PROBLEM_JSON, Problem

DESCRIPTION = """
Sluice keeps the tools of a company in step with its customers' data.

Send an API key as `Authorization: Bearer sluice_…`. Errors are `application/problem+json`; branch on their `code`.
Unknown fields are refused. Lists take `limit` and `cursor` and answer `{"data": […], "next_cursor": …}`.
"""


def document(app: FastAPI) -> dict[str, Any]:
    """Made at the first call and kept."""
    if app.openapi_schema is None:
        schema = get_openapi(title=app.title, version=app.version, description=DESCRIPTION, routes=app.routes)
        _name_the_problem(schema)
        for path in schema["paths"].values():
            for operation in path.values():
                _document_errors(operation)
        app.openapi_schema = schema
    return app.openapi_schema


def _name_the_problem(schema: dict[str, Any]) -> None:
    schemas = schema.setdefault("components", {}).setdefault("schemas", {})
    schemas.pop("HTTPValidationError", None)
    schemas.pop("ValidationError", None)
    problem = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas.update(problem.pop("$defs"))
    schemas["Problem"] = problem


def _document_errors(operation: dict[str, Any]) -> None:
    """What the middlewares and the route class may answer, wherever it is that they may."""
    answers = operation["responses"]
    answers.pop("422", None)  # FastAPI's own shape, which never leaves
    statuses = {414, 431, 500, 503} if operation["tags"] != ["health"] else {500}
    if operation.get("security"):
        statuses |= {401, 403}
    if operation.get("requestBody"):
        statuses |= {400, 408, 413, 415, 422}
    if operation.get("parameters"):
        statuses |= {422}
    for status, answer in problems(*sorted(statuses)).items():
        answers.setdefault(str(status), answer)
    for status, answer in answers.items():
        if int(status) >= 400:
            answer["content"] = {PROBLEM_JSON: answer["content"][PROBLEM_JSON]}
