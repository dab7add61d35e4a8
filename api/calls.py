"""Calls and batches of them, as the bodies of requests bring them."""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, WithJsonSchema
from pydantic_core import to_json

from api.call_json import parse_batch
from api.json_bodies import parse_json
from domain.calls import MAX_CALL_BYTES, Call, CallType
from domain.errors import ErrorDetail, InvalidInput, SluiceError, TooLarge

__all__ = ["MAX_BATCH_BYTES", "MAX_BATCH_CALLS", "MAX_EXPANDED_BYTES", "BatchBody", "read_batch", "read_call"]

MAX_BATCH_BYTES = 500 * 1024  # what the Segment spec allows, so what its SDKs keep to
MAX_BATCH_CALLS = 2_500  # the same
# With the batch's own context in every call: so much is stored by one statement, however little was sent.
MAX_EXPANDED_BYTES = 4 * MAX_BATCH_BYTES

M = TypeVar("M", bound=BaseModel)
_Raw = Annotated[Any, WithJsonSchema(Call.model_json_schema())]
_Clock = Annotated[str | None, BeforeValidator(lambda value: value if isinstance(value, str) else None)]


class BatchBody(BaseModel):
    """What is around the calls, which are read one by one. SDKs send more members than these."""

    model_config = ConfigDict(extra="ignore")

    batch: list[_Raw] = Field(description=f"at most {MAX_BATCH_CALLS} calls, each with its type")
    context: dict[str, Any] | None = Field(None, description="for every call; members of the call's own go before it")
    sentAt: _Clock = Field(None, description="for every call that has none")  # noqa: N815 - the spec's name

    def completed(self, raw: Any) -> Any:
        """The call with what it shares with the others."""
        if not isinstance(raw, dict) or (self.context is None and self.sentAt is None):
            return raw
        own = raw.get("context")
        context = {**(self.context or {}), **own} if isinstance(own, dict) else own or self.context
        return {**raw, "context": context, "sentAt": raw.get("sentAt") or self.sentAt}


def read_call(body: bytes, kind: CallType) -> Call:
    """One call, whose type may be left out. Raises BadRequest, InvalidInput, TooLarge."""
    _check_size(len(body), MAX_CALL_BYTES, "a call")
    raw = parse_json(body)
    if isinstance(raw, dict) and raw.get("type") is None:
        raw = {**raw, "type": kind}
    call = _validated(Call, raw)
    if call.type != kind:
        message = f"this address takes {kind} calls; send others to /v1/batch"
        raise InvalidInput(f"type: {message}", details=[ErrorDetail("type", message)])
    return call


def read_batch(body: bytes) -> list[Call | SluiceError]:
    """In the place of each call that is refused, why. Raises for a batch that is refused as a whole, as read_call does."""
    _check_size(len(body), MAX_BATCH_BYTES, "a batch")
    batch = _validated(BatchBody, parse_batch(body))
    count, shared = len(batch.batch), _size_of(batch.context) if batch.context else 0
    if count > MAX_BATCH_CALLS:
        raise TooLarge(f"a batch may have {MAX_BATCH_CALLS} calls; this one has {count}")
    _check_size(len(body) + count * shared, MAX_EXPANDED_BYTES, "a batch with its context in every call")
    measured = len(body) > MAX_CALL_BYTES  # else none of its calls can be too large
    return [_one_of(batch, raw, shared, measured=measured) for raw in batch.batch]


def _one_of(batch: BatchBody, raw: Any, shared: int, *, measured: bool) -> Call | SluiceError:
    if isinstance(raw, SluiceError):
        return raw
    try:
        if measured:
            _check_size(_size_of(raw) + shared, MAX_CALL_BYTES, "a call")
        return _validated(Call, batch.completed(raw))
    except SluiceError as error:
        return error


def _validated(model: type[M], raw: Any) -> M:
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        details = [_detail(each) for each in error.errors(include_url=False, include_input=False)]
    first = details[0]
    raise InvalidInput(f"{first.path}: {first.message}" if first.path else first.message, details=details)


def _detail(error: Any) -> ErrorDetail:
    # pydantic writes this before the words of our own validators.
    return ErrorDetail(".".join(str(part) for part in error["loc"]), error["msg"].removeprefix("Value error, "))


def _size_of(value: Any) -> int:
    """Bytes of JSON, as short as it can be written."""
    return len(to_json(value))


def _check_size(size: int, limit: int, what: str) -> None:
    if size > limit:
        raise TooLarge(f"{what} may have {limit} bytes of JSON; this one has {size}")
