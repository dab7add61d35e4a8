"""The one edge where our errors become Temporal's."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from temporalio.exceptions import ApplicationError, ApplicationErrorCategory

from domain.errors import SluiceError

P = ParamSpec("P")
R = TypeVar("R")

RETRY = "delivery_retry"  # the type of the error by which an attempt asks Temporal for the next one


def as_application_errors(function: Callable[P, Awaitable[R]]) -> Callable[P, Awaitable[R]]:
    """Our errors leave an activity with their code as type; those that time can cure stay retryable."""

    @wraps(function)
    async def translated(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return await function(*args, **kwargs)
        except SluiceError as error:
            raise ApplicationError(error.message, type=error.code, non_retryable=not error.retryable) from error

    return translated


def retry_later(message: str, code: str | None, seconds: float, *details: Any) -> ApplicationError:
    """Asks for the next attempt in `seconds`. Benign: a receiver that is down is no fault of the worker's."""
    return ApplicationError(
        f"{code}: {message}",
        *details,
        type=RETRY,
        next_retry_delay=timedelta(seconds=seconds),
        category=ApplicationErrorCategory.BENIGN,
    )
