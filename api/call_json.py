"""The JSON of calls. What is wrong with one of them stays its own, so that it never costs the others of its batch."""

from __future__ import annotations

import json
from typing import Any, NoReturn

from api.json_bodies import parse_json
from domain.errors import BadRequest, SluiceError

__all__ = ["parse_calls"]


def parse_calls(body: bytes) -> Any:
    """Like parse_json, but what is wrong within one item of `batch` only puts the error in the place of that item.

    Python writes NaN as if it were JSON, and U+0000 is JSON but cannot be stored: SDKs send both. Raises as parse_json does.
    """
    try:
        return parse_json(body)
    except SluiceError:
        parsed = _loosely(body)
        if not isinstance(parsed, dict) or not isinstance(parsed.get("batch"), list):
            raise
    around = _strictly({**parsed, "batch": []})
    if isinstance(around, SluiceError):
        raise around
    return {**around, "batch": [_strictly(each) for each in parsed["batch"]]}


def _loosely(body: bytes) -> Any:
    """With an error in the place of what Python would change or refuse; None where nothing can be made of it."""
    try:
        return json.loads(body.decode("utf-8"), parse_int=_integer, object_pairs_hook=_members)
    except (ValueError, RecursionError):
        return None


def _strictly(value: Any) -> Any:
    try:
        return parse_json(json.dumps(value, default=_raise).encode())
    except SluiceError as error:
        return error
    except RecursionError:
        return BadRequest("it is nested too deeply")


def _integer(digits: str) -> int | BadRequest:
    try:
        return int(digits)
    except ValueError:  # Python's own bound
        return BadRequest("it holds a number of more than 4,300 digits")


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any] | BadRequest:
    members = dict(pairs)
    return members if len(members) == len(pairs) else BadRequest("it has a member twice in one object")


def _raise(fault: Any) -> NoReturn:
    raise fault
