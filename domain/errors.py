"""Every error the product can answer with, as one tree.

    SluiceError
    ├── InvalidInput            422  the caller's data is wrong; `details` says where
    │   ├── ConditionSyntaxError
    │   ├── TemplateSyntaxError
    │   └── MappingInvalid
    ├── BadRequest              400  the request itself cannot be read (not JSON, not UTF-8, …)
    ├── Unauthenticated         401
    ├── Forbidden               403
    ├── NotFound                404
    ├── Conflict                409
    ├── TooLarge                413
    ├── TooManyRequests         429  `retry_after_seconds` says when to come back
    ├── Unavailable             503  a part we depend on does not answer; nothing was applied
    └── DeliveryError                what one delivery or sync can end with
        ├── ConditionEvaluationError
        ├── RenderError
        ├── AddressRefused
        └── NetworkError

Each class has a stable `code`, the HTTP `status` the API answers with, and whether it is `retryable`. They are translated at
exactly two edges: activities → `ApplicationError`, API → `application/problem+json`. Nobody branches on message text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class ErrorDetail:
    """One place where something is wrong: `path` is a dotted path into the input, line and column count from 1."""

    path: str
    message: str
    line: int | None = None
    column: int | None = None


class SluiceError(Exception):
    code: ClassVar[str] = "internal_error"
    status: ClassVar[int] = 500
    retryable: ClassVar[bool] = False

    def __init__(self, message: str, *, details: Sequence[ErrorDetail] = ()) -> None:
        super().__init__(message)
        self.message = message
        self.details = tuple(details)


class InvalidInput(SluiceError):
    code = "invalid_input"
    status = 422


class _Positioned(SluiceError):
    """An error at a line and column (both from 1) of a text that a person wrote."""

    def __init__(self, message: str, line: int, column: int, *, path: str = "") -> None:
        super().__init__(message, details=[ErrorDetail(path, message, line, column)])
        self.line = line
        self.column = column
        self.path = path


class ConditionSyntaxError(_Positioned, InvalidInput):
    code = "condition_syntax_error"


class TemplateSyntaxError(_Positioned, InvalidInput):
    code = "template_syntax_error"


class MappingInvalid(InvalidInput):
    code = "mapping_invalid"


class BadRequest(SluiceError):
    code = "bad_request"
    status = 400


class Unauthenticated(SluiceError):
    code = "unauthenticated"
    status = 401


class Forbidden(SluiceError):
    code = "forbidden"
    status = 403


class NotFound(SluiceError):
    code = "not_found"
    status = 404


class Conflict(SluiceError):
    code = "conflict"
    status = 409


class TooLarge(SluiceError):
    code = "too_large"
    status = 413


class TooManyRequests(SluiceError):
    code = "too_many_requests"
    status = 429
    retryable = True

    def __init__(self, message: str, retry_after_seconds: float) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class Unavailable(SluiceError):
    code = "unavailable"
    status = 503
    retryable = True


class DeliveryError(SluiceError):
    """What one delivery can end with; it never touches another."""

    code = "delivery_error"


class ConditionEvaluationError(_Positioned, DeliveryError):
    code = "condition_error"


class RenderError(_Positioned, DeliveryError):
    code = "render_error"


class AddressRefused(DeliveryError):
    """The outbound address guard refused to connect. Definitive: it needs an operator, not time; retry by hand once allowed."""

    code = "address_refused"


class NetworkError(DeliveryError):
    """No usable answer: connection refused or reset, DNS failure, TLS failure, timeout. `code` is narrowed per instance."""

    code = "network_error"
    retryable = True

    def __init__(self, message: str, *, kind: str = "network_error") -> None:
        super().__init__(message)
        self.kind = kind
