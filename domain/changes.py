"""The true difference between the profile state last synced and the state now."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypedDict

from domain.objects import ROOT_FIELDS

# Whose profile it is and when it was written says nothing about what changed in it.
_NOT_CONTENT = frozenset({"id", "userId", "createdAt", "updatedAt"})
# What a profile that was never synced is compared with: the members that every profile has, empty.
_NEVER_SYNCED: Mapping[str, Any] = {"properties": {}, "computedProperties": {}, "segments": []}


class Change(TypedDict):
    """One changed value: a dotted path, and null for what was or is not there."""

    path: str
    old: Any
    new: Any


def differences(old: Mapping[str, Any] | None, new: Mapping[str, Any]) -> list[Change]:
    """What changed, by path; objects are compared member by member, lists as a whole, and types as JSON has them."""
    if old is None:
        old = {name: empty for name, empty in _NEVER_SYNCED.items() if name in new}
    before = {name: value for name, value in old.items() if name not in _NOT_CONTENT}
    after = {name: value for name, value in new.items() if name not in _NOT_CONTENT}
    return _compare_objects("", before, after)


def touches(changes: Iterable[Mapping[str, Any]], fields: Iterable[str]) -> bool:
    """Whether a changed path equals, is below or is above one of the fields (`email` means `properties.email` too)."""
    wanted = [path for field in fields for path in _paths(field)]
    return any(_related(change["path"], path) for change in changes for path in wanted)


def _compare(path: str, old: Any, new: Any) -> list[Change]:
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        return _compare_objects(path, old, new)
    if isinstance(new, Mapping) and new and old is None:
        return _compare_objects(path, {}, new)
    if isinstance(old, Mapping) and old and new is None:
        return _compare_objects(path, old, {})
    return [] if _same(old, new) else [Change(path=path, old=old, new=new)]


def _compare_objects(path: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> list[Change]:
    prefix = f"{path}." if path else ""
    names = sorted({*old, *new})
    return [change for name in names for change in _compare(prefix + name, old.get(name), new.get(name))]


def _same(old: Any, new: Any) -> bool:
    """Equal as JSON: for Python, 1 == True, also inside lists."""
    if isinstance(old, bool) or isinstance(new, bool):
        return old is new
    if isinstance(old, list) and isinstance(new, list):
        return len(old) == len(new) and all(map(_same, old, new))
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        return old.keys() == new.keys() and all(_same(old[name], new[name]) for name in old)
    return bool(old == new)


def _paths(field: str) -> list[str]:
    root = field.split(".", 1)[0]
    if root not in ROOT_FIELDS:
        return [f"properties.{field}"]
    return [field, f"properties.{field}"] if root == "email" else [field]


def _related(path: str, field: str) -> bool:
    return f"{path}.".startswith(f"{field}.") or f"{field}.".startswith(f"{path}.")
