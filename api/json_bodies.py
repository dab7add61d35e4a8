"""JSON as RFC 8259 has it and as PostgreSQL and Temporal can keep it: nothing is quietly changed or dropped."""

from __future__ import annotations

import json
import math
from typing import Any, NoReturn

from domain.errors import BadRequest, ErrorDetail, InvalidInput
from domain.profiles import MAX_DEPTH

__all__ = ["parse_json"]


def parse_json(body: bytes) -> Any:
    """Raises BadRequest for what is not JSON, InvalidInput for values that cannot be stored."""
    try:
        value = json.loads(
            body.decode("utf-8"),
            parse_constant=_no_constant,
            parse_float=_finite,
            object_pairs_hook=_no_duplicates,
        )
    except UnicodeDecodeError as error:
        raise BadRequest(f"the body is not UTF-8: byte {error.start}") from None
    except json.JSONDecodeError as error:
        detail = ErrorDetail("", error.msg, error.lineno, error.colno)
        raise BadRequest(
            f"the body is not JSON: {error.msg} at line {error.lineno}, column {error.colno}", details=[detail]
        ) from None
    except RecursionError:
        raise _too_deep() from None
    except ValueError:  # Python's own bound on the digits of a number
        raise BadRequest("the body holds a number of more than 4,300 digits") from None
    _check(value)
    return value


def _no_constant(name: str) -> NoReturn:
    raise BadRequest(f"the body is not JSON: {name} is not a JSON number")


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise BadRequest(f"the body holds a number that is too large: {text[:40]}")
    return number


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise BadRequest(f"the body has the member {twice[:100]!a} twice in one object")
    return members


def _check(root: Any) -> None:
    """Iterative, so that no input can exhaust the stack."""
    todo: list[tuple[Any, int, tuple[str, ...]]] = [(root, 1, ())]
    while todo:
        value, depth, path = todo.pop()
        if isinstance(value, str):
            _check_text(value, path)
        elif isinstance(value, dict | list):
            if depth > MAX_DEPTH:
                raise _too_deep()
            members = value.items() if isinstance(value, dict) else enumerate(value)
            for name, member in members:
                if isinstance(name, str):
                    _check_text(name, path)
                if isinstance(member, str | dict | list):
                    todo.append((member, depth + 1, (*path, str(name))))


def _check_text(text: str, path: tuple[str, ...]) -> None:
    if text.isascii():
        fault = "\x00" in text and "the character U+0000 cannot be stored"
    else:
        lone = any("\ud800" <= character <= "\udfff" for character in text)
        fault = (lone and "half a surrogate pair is no character") or (
            "\x00" in text and "the character U+0000 cannot be stored"
        )
    if fault:
        # The name at fault may itself be what cannot be written.
        where = ".".join(path).encode("ascii", "backslashreplace").decode()
        raise InvalidInput(f"{where}: {fault}" if where else fault, details=[ErrorDetail(where, fault)])


def _too_deep() -> InvalidInput:
    message = f"the body is nested deeper than {MAX_DEPTH} levels"
    return InvalidInput(message, details=[ErrorDetail("", message)])
